// Name servers' data, written as in a zone file, for tests.

import type { DnsAnswer, DnsRecord, Question, Reply, ReplyRecord } from "../core/next-hop/dns.ts";
import { answerOf } from "../core/next-hop/dns.ts";
import { nameOf } from "../core/next-hop/hop.ts";

/**
 * One record a line: `name [ttl] TYPE data`; `name FAIL TYPE` for a server that cannot answer, `name SILENT TYPE` for one that
 * does not. Nothing about a name: no such name.
 */
export class Zone {
  readonly records: ReplyRecord[] = [];
  readonly #odd = new Map<string, "FAIL" | "SILENT">();
  readonly asked: string[] = [];

  constructor(text: string) {
    this.read(text);
  }

  read(text: string): void {
    for (const line of text.split("\n")) {
      const [name = "", ...rest] = line.trim().split(/\s+/);
      if (name === "") continue;
      const [second = "", third = ""] = rest;
      if (second === "FAIL" || second === "SILENT") {
        this.#odd.set(`${third} ${nameOf(name)}`, second);
        continue;
      }
      const hasTtl = /^\d+$/.test(second);
      const ttlSeconds = hasTtl ? Number(second) : 300;
      const [type = "", ...data] = hasTtl ? rest.slice(1) : rest;
      this.records.push({ name: nameOf(name), ttlSeconds, record: recordOf(type, data) });
    }
  }

  /** undefined: silence. */
  answer(question: Question): DnsAnswer | undefined {
    this.asked.push(`${question.type} ${question.name}`);
    const odd = this.#odd.get(`${question.type} ${question.name}`);
    if (odd === "SILENT") return undefined;
    if (odd === "FAIL") return { kind: "failed", because: "servfail" };
    return answerOf(question, this.reply(question));
  }

  /** As a resolver would reply: the whole chain of aliases. */
  reply({ type, name }: Question): Reply {
    const answers: ReplyRecord[] = [];
    let at = name;
    for (let hops = 0; hops < 20; hops++) {
      const here = this.records.filter((one) => one.name === at);
      answers.push(...here.filter(({ record }) => record.type === type || record.type === "CNAME"));
      const alias = here.find(({ record }) => record.type === "CNAME")?.record;
      if (alias?.type !== "CNAME") break;
      at = alias.target;
    }
    const isKnown = this.records.some((one) => one.name === at);
    const soa: ReplyRecord = { name: "example", ttlSeconds: 900, record: { type: "SOA", minimumSeconds: 60 } };
    return { code: isKnown ? 0 : 3, truncated: false, answers, authorities: answers.length === 0 ? [soa] : [] };
  }
}

function recordOf(type: string, data: readonly string[]): ReplyRecord["record"] {
  const [a = "", b = "", c = "", d = "", e = "", f = ""] = data;
  switch (type) {
    case "CNAME":
      return { type, target: nameOf(a) };
    case "A":
    case "AAAA":
      return { type, address: a } satisfies DnsRecord;
    case "SRV":
      return { type, priority: Number(a), weight: Number(b), port: Number(c), target: d };
    case "NAPTR":
      return {
        type,
        order: Number(a),
        preference: Number(b),
        flags: c.replaceAll('"', ""),
        services: d.replaceAll('"', ""),
        regexp: e.replaceAll('"', ""),
        replacement: f,
      };
    default:
      throw new Error(`a record of type ${type} in a test`);
  }
}
