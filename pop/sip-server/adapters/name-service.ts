// Whoever knows what a name means, in this order: what no server may be asked (RFC 6761), the hosts file, the operating system
// for names without a dot (its search list), name servers for all others.

import { lookup, Resolver } from "node:dns";
import { readFileSync, statSync } from "node:fs";
import type { NameService } from "../boundary/name-service.ts";
import type { DnsClientLimits } from "../core/limits.ts";
import type { DnsAnswer, Question } from "../core/next-hop/dns.ts";
import { parseHosts } from "../core/next-hop/hosts.ts";
import { DnsClient, type DnsServer } from "./dns-client.ts";

/** Files and the operating system name no times: looked at again after this. */
const LOCAL_TTL_SECONDS = 5;
const LOOK_AGAIN_MS = 5_000;
const SERVERS_AGAIN_MS = 30_000;
const HOSTS_BYTES_MAX = 1_048_576;
const NONE: DnsAnswer = { kind: "none", ttlSeconds: LOCAL_TTL_SECONDS };

/** @param servers `address` or `address:port`; default: those of the operating system */
export function openNameService(
  limits: DnsClientLimits,
  servers?: readonly string[],
  hostsFile = "/etc/hosts",
): NameService {
  const client = new DnsClient(limits);
  const hosts = new HostsFile(hostsFile);
  const known = servers?.map(serverOf);
  let ofSystem: readonly DnsServer[] = [];
  let askedAtMs = Number.NEGATIVE_INFINITY;
  const serversNow = (): readonly DnsServer[] => {
    if (known !== undefined) return known;
    if (performance.now() - askedAtMs > SERVERS_AGAIN_MS) {
      ofSystem = new Resolver().getServers().map(serverOf);
      askedAtMs = performance.now();
    }
    return ofSystem;
  };
  return {
    ask(question, answered) {
      const local = localAnswer(question, hosts);
      if (local !== undefined) answered(local);
      else if (!question.name.includes(".")) askSystem(question, answered);
      else client.ask(question, serversNow(), answered);
    },
    stop: () => client.stop(),
  };
}

/** undefined: others have to be asked. */
function localAnswer(question: Question, hosts: HostsFile): DnsAnswer | undefined {
  const { type } = question;
  const name = type === "SRV" ? question.name.replace(/^_[^.]+\._[^.]+\./, "") : question.name;
  const isLocalhost = name === "localhost" || name.endsWith(".localhost");
  if (name === "invalid" || name.endsWith(".invalid")) return NONE;
  const addresses = hosts.addressesOf(name) ?? (isLocalhost ? ["127.0.0.1", "::1"] : undefined);
  if (addresses === undefined) return type === "A" || type === "AAAA" || name.includes(".") ? undefined : NONE;
  if (type === "NAPTR" || type === "SRV") return NONE; // a hosts file names addresses, no services
  const records = addresses
    .filter((address) => address.includes(":") === (type === "AAAA"))
    .map((address) => ({ type, address }));
  return records.length === 0 ? NONE : { kind: "found", records, ttlSeconds: LOCAL_TTL_SECONDS };
}

function askSystem({ type, name }: Question, answered: (answer: DnsAnswer) => void): void {
  if (type !== "A" && type !== "AAAA") {
    answered(NONE);
    return;
  }
  lookup(name, { all: true, family: type === "AAAA" ? 6 : 4 }, (error, found) => {
    if (error !== null && error.code !== "ENOTFOUND" && error.code !== "ENODATA")
      answered({ kind: "failed", because: "timeout" });
    else if (error !== null || found.length === 0) answered(NONE);
    else {
      const records = found.map(({ address }) => ({ type, address }));
      answered({ kind: "found", records, ttlSeconds: LOCAL_TTL_SECONDS });
    }
  });
}

/** Read again when it has changed. */
class HostsFile {
  readonly #path: string;
  #hosts: ReadonlyMap<string, readonly string[]> = new Map();
  #changedAtMs = 0;
  #lookedAtMs = Number.NEGATIVE_INFINITY;

  constructor(path: string) {
    this.#path = path;
  }

  addressesOf(name: string): readonly string[] | undefined {
    const nowMs = performance.now();
    if (nowMs - this.#lookedAtMs > LOOK_AGAIN_MS) {
      this.#lookedAtMs = nowMs;
      this.#look();
    }
    return this.#hosts.get(name);
  }

  #look(): void {
    try {
      const { mtimeMs, size } = statSync(this.#path);
      if (mtimeMs === this.#changedAtMs) return;
      this.#changedAtMs = mtimeMs;
      this.#hosts = size > HOSTS_BYTES_MAX ? new Map() : parseHosts(readFileSync(this.#path, "utf8"));
    } catch {
      this.#hosts = new Map(); // none, or not for us: name servers know the rest
    }
  }
}

/** "192.0.2.1", "192.0.2.1:5353", "2001:db8::1", "[2001:db8::1]:53". */
function serverOf(text: string): DnsServer {
  const bracketed = /^\[([^\]]*)\](?::(\d+))?$/.exec(text);
  if (bracketed !== null) return { address: bracketed[1] ?? "", port: Number(bracketed[2] ?? 53) };
  const [address = "", port, ...more] = text.split(":");
  return more.length > 0 || port === undefined ? { address: text, port: 53 } : { address, port: Number(port) };
}
