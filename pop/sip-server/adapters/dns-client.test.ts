// The DNS client against a small real server on 127.0.0.1.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { DNS_CLIENT_LIMITS } from "../core/limits.ts";
import type { DnsAnswer, DnsType } from "../core/next-hop/dns.ts";
import { cutOff, NameServer } from "../test/name-server.ts";
import { openNameService } from "./name-service.ts";

const ZONE = `
  carrier.example 120 NAPTR 10 20 "s" "SIP+D2U" "" _sip._udp.carrier.example
  _sip._udp.carrier.example 60 SRV 1 5 5060 one.carrier.example
  one.carrier.example 30 A 192.0.2.1
  one.carrier.example 30 AAAA 2001:db8::1
  www.carrier.example 10 CNAME one.carrier.example
  broken.carrier.example FAIL A
  silent.carrier.example SILENT A
`;
/** Long enough that a busy machine answers in time; only tests of silence wait for it. */
const PATIENT = { ...DNS_CLIENT_LIMITS, timeoutMs: 2_000 };
const HASTY = { ...DNS_CLIENT_LIMITS, timeoutMs: 60 };

async function withServer(
  run: (
    server: NameServer,
    ask: (type: DnsType, name: string, limits?: typeof PATIENT) => Promise<DnsAnswer>,
  ) => Promise<void>,
): Promise<void> {
  const server = await NameServer.open(ZONE);
  try {
    await run(
      server,
      (type, name, limits = PATIENT) =>
        new Promise((resolve) => {
          const names = openNameService(limits, [`127.0.0.1:${server.port}`], "/nonexistent");
          names.ask({ type, name }, resolve);
        }),
    );
  } finally {
    server.close();
  }
}

const found = (answer: DnsAnswer) => (answer.kind === "found" ? answer.records : answer);

test("every type of record is read from the wire", () =>
  withServer(async (_server, ask) => {
    const naptr = await ask("NAPTR", "carrier.example");
    assert.deepEqual(naptr, {
      kind: "found",
      ttlSeconds: 120,
      records: [
        {
          type: "NAPTR",
          order: 10,
          preference: 20,
          flags: "s",
          services: "SIP+D2U",
          regexp: "",
          replacement: "_sip._udp.carrier.example",
        },
      ],
    });
    assert.deepEqual(await ask("SRV", "_sip._udp.carrier.example"), {
      kind: "found",
      ttlSeconds: 60,
      records: [{ type: "SRV", priority: 1, weight: 5, port: 5060, target: "one.carrier.example" }],
    });
    assert.deepEqual(found(await ask("AAAA", "one.carrier.example")), [{ type: "AAAA", address: "2001:db8::1" }]);
    assert.deepEqual(await ask("A", "www.carrier.example"), {
      kind: "found",
      ttlSeconds: 10,
      records: [{ type: "A", address: "192.0.2.1" }],
    });
  }));

test("no such name, no such record, a server that cannot", () =>
  withServer(async (_server, ask) => {
    assert.deepEqual(await ask("A", "nobody.carrier.example"), { kind: "none", ttlSeconds: 60 });
    assert.deepEqual(await ask("SRV", "one.carrier.example"), { kind: "none", ttlSeconds: 60 });
    assert.deepEqual(await ask("A", "broken.carrier.example"), { kind: "failed", because: "servfail" });
  }));

test("a server that does not answer is asked again, a bounded number of times", () =>
  withServer(async (server, ask) => {
    assert.deepEqual(await ask("A", "silent.carrier.example", HASTY), { kind: "failed", because: "timeout" });
    assert.equal(server.asked.length, HASTY.attemptsMax);
  }));

test("nobody listens there: the next server is asked at once", () =>
  withServer(async (server) => {
    const names = openNameService(PATIENT, ["127.0.0.1:9", `127.0.0.1:${server.port}`], "/nonexistent");
    const answer = await new Promise<DnsAnswer>((resolve) =>
      names.ask({ type: "A", name: "one.carrier.example" }, resolve),
    );
    assert.equal(answer.kind, "found");
  }));

test("a server that fails is not the last word while there is another", () =>
  withServer(async (good) => {
    const bad = await NameServer.open("one.carrier.example FAIL A");
    try {
      const names = openNameService(PATIENT, [`127.0.0.1:${bad.port}`, `127.0.0.1:${good.port}`], "/nonexistent");
      const answer = await new Promise<DnsAnswer>((resolve) =>
        names.ask({ type: "A", name: "one.carrier.example" }, resolve),
      );
      assert.equal(answer.kind, "found");
    } finally {
      bad.close();
    }
  }));

test("an answer that is cut off is fetched over TCP", () =>
  withServer(async (server, ask) => {
    server.behaviour = { overUdp: (honest) => [cutOff(honest)] };
    assert.deepEqual(found(await ask("A", "one.carrier.example")), [{ type: "A", address: "192.0.2.1" }]);
    assert.deepEqual(server.asked, ["udp A one.carrier.example", "tcp A one.carrier.example"]);
  }));

test("cut off, and TCP does not work either: truncated", () =>
  withServer(async (server, ask) => {
    server.behaviour = { overUdp: (honest) => [cutOff(honest)], overTcp: () => "close" };
    assert.deepEqual(await ask("A", "one.carrier.example"), { kind: "failed", because: "truncated" });
  }));

test("an answer over TCP longer than the bound is not read", () =>
  withServer(async (server, ask) => {
    server.behaviour = { overUdp: (honest) => [cutOff(honest)], overTcp: () => Buffer.alloc(20_000) };
    assert.deepEqual(await ask("A", "one.carrier.example"), { kind: "failed", because: "malformed" });
  }));

/** The same name with the case of its first letter changed. */
const otherCase = (name = ""): string => {
  const first = name.charAt(0);
  return (first === first.toLowerCase() ? first.toUpperCase() : first.toLowerCase()) + name.slice(1);
};

const FORGED = [{ type: "A", name: "one.carrier.example", ttl: 999, data: "203.0.113.66" }] as const;

test("forgeries are not believed: other id, other question, no answer at all, rubbish; the honest one that follows is", () =>
  withServer(async (server, ask) => {
    server.behaviour = {
      overUdp: (honest) => [
        { ...honest, id: ((honest.id ?? 0) + 1) & 0xffff, answers: [...FORGED] },
        { ...honest, questions: [{ type: "A", name: "other.example" }], answers: [...FORGED] },
        { ...honest, questions: [{ type: "AAAA", name: "one.carrier.example" }], answers: [...FORGED] },
        { ...honest, type: "query", answers: [...FORGED] },
        Buffer.from("rubbish"),
        Buffer.alloc(0),
        honest,
      ],
    };
    assert.deepEqual(found(await ask("A", "one.carrier.example")), [{ type: "A", address: "192.0.2.1" }]);
  }));

test("the right id with the wrong spelling is asked for again over TCP", () =>
  withServer(async (server, ask) => {
    server.behaviour = {
      overUdp: (honest, query) => [
        { ...honest, questions: [{ type: "A", name: otherCase(query.questions?.[0]?.name) }], answers: [...FORGED] },
      ],
    };
    assert.deepEqual(found(await ask("A", "one.carrier.example")), [{ type: "A", address: "192.0.2.1" }]);
    assert.equal(server.asked.at(-1), "tcp A one.carrier.example");
  }));

test("a flood of guesses makes us ask over TCP", () =>
  withServer(async (server, ask) => {
    server.behaviour = {
      overUdp: (honest) =>
        Array.from({ length: 40 }, (_, guess) => ({ ...honest, id: ((honest.id ?? 0) + 1 + guess) & 0xffff })),
    };
    assert.deepEqual(found(await ask("A", "one.carrier.example")), [{ type: "A", address: "192.0.2.1" }]);
    assert.equal(server.asked.at(-1), "tcp A one.carrier.example");
  }));

test("a late answer to an attempt given up changes nothing; the next attempt's does", () =>
  withServer(async (server, ask) => {
    let first: Parameters<NonNullable<NameServer["behaviour"]["overUdp"]>>[0] | undefined;
    server.behaviour = {
      overUdp: (honest) => {
        if (first === undefined) {
          first = { ...honest, answers: [...FORGED] };
          return [];
        }
        return [first, honest]; // the old one comes first
      },
    };
    assert.deepEqual(found(await ask("A", "one.carrier.example", { ...HASTY, timeoutMs: 200 })), [
      { type: "A", address: "192.0.2.1" },
    ]);
  }));

test("a server that does not know extensions is asked without", () =>
  withServer(async (server, ask) => {
    server.behaviour = {
      overUdp: (honest, query) =>
        (query.additionals ?? []).length > 0 ? [{ ...honest, flags: 1, answers: [] }] : [honest],
    };
    assert.equal((await ask("A", "one.carrier.example")).kind, "found");
    assert.equal(server.asked.length, 2);
  }));

test("ids, ports and spellings are drawn anew for every question", () =>
  withServer(async (server, ask) => {
    for (let n = 0; n < 24; n++) await ask("A", "one.carrier.example");
    assert.ok(new Set(server.ids).size > 20);
    assert.ok(new Set(server.sourcePorts).size > 12);
    assert.ok(new Set(server.spellings).size > 20);
  }));

test("the hosts file, localhost, and names that no server may be asked (RFC 6761)", async () => {
  const folder = mkdtempSync(join(tmpdir(), "hosts-"));
  const server = await NameServer.open(ZONE);
  try {
    const file = join(folder, "hosts");
    writeFileSync(file, "192.0.2.50 Carrier.Example pbx # ours\n2001:db8::50 carrier.example\nnonsense line\n");
    const names = openNameService(PATIENT, [`127.0.0.1:${server.port}`], file);
    const ask = (type: DnsType, name: string) =>
      new Promise<DnsAnswer>((resolve) => names.ask({ type, name }, resolve));
    assert.deepEqual(found(await ask("A", "carrier.example")), [{ type: "A", address: "192.0.2.50" }]);
    assert.deepEqual(found(await ask("AAAA", "carrier.example")), [{ type: "AAAA", address: "2001:db8::50" }]);
    assert.equal((await ask("NAPTR", "carrier.example")).kind, "none");
    assert.equal((await ask("SRV", "_sip._udp.carrier.example")).kind, "none");
    assert.deepEqual(found(await ask("A", "pbx")), [{ type: "A", address: "192.0.2.50" }]);
    assert.equal((await ask("AAAA", "pbx")).kind, "none");
    assert.deepEqual(found(await ask("A", "sip.localhost")), [{ type: "A", address: "127.0.0.1" }]);
    assert.equal((await ask("A", "nobody.invalid")).kind, "none");
    assert.deepEqual(server.asked, []);
  } finally {
    server.close();
    rmSync(folder, { recursive: true });
  }
});

test("stopping answers whatever is still asked", () =>
  withServer(async (server) => {
    const names = openNameService(PATIENT, [`127.0.0.1:${server.port}`], "/nonexistent");
    const answer = new Promise<DnsAnswer>((resolve) =>
      names.ask({ type: "A", name: "silent.carrier.example" }, resolve),
    );
    names.stop();
    assert.deepEqual(await answer, { kind: "failed", because: "timeout" });
  }));
