import assert from "node:assert/strict";
import { test } from "node:test";
import { NEXT_HOP_LIMITS } from "../limits.ts";
import { answerOf, type DnsAnswer, type Question, type Reply, type ReplyRecord } from "./dns.ts";
import { DnsCache } from "./dns-cache.ts";

const ASKED: Question = { type: "A", name: "a.example" };
const found = (ttlSeconds: number, address = "192.0.2.1"): DnsAnswer => ({
  kind: "found",
  records: [{ type: "A", address }],
  ttlSeconds,
});
const FAILED: DnsAnswer = { kind: "failed", because: "timeout" };
const S = 1_000;

test("an answer is fresh for its time, then good enough only while nobody answers", () => {
  const cache = new DnsCache(NEXT_HOP_LIMITS);
  cache.keep(ASKED, found(60), 0);
  assert.deepEqual(cache.find(ASKED, 59 * S), { answer: found(60), fresh: true });
  assert.deepEqual(cache.find(ASKED, 60 * S), { answer: found(60), fresh: false });
  // The servers fail: the old answer is believed for another `failureSeconds`, and does not get older by that.
  assert.deepEqual(cache.keep(ASKED, FAILED, 61 * S), found(60));
  assert.equal(cache.find(ASKED, 70 * S)?.fresh, true);
  assert.equal(cache.find(ASKED, 71 * S)?.fresh, false);
  const end = 60 * S + NEXT_HOP_LIMITS.staleSeconds * S;
  assert.deepEqual(cache.keep(ASKED, FAILED, end - 1), found(60));
  assert.equal(cache.find(ASKED, end), undefined);
  assert.deepEqual(cache.keep(ASKED, FAILED, end), FAILED);
  assert.deepEqual(cache.find(ASKED, end + 9 * S), { answer: FAILED, fresh: true });
  assert.equal(cache.find(ASKED, end + 10 * S), undefined);
});

test("times have a floor and a ceiling", () => {
  const cache = new DnsCache(NEXT_HOP_LIMITS);
  cache.keep(ASKED, found(0), 0);
  assert.equal(cache.find(ASKED, 4_999)?.fresh, true);
  assert.equal(cache.find(ASKED, 5_000)?.fresh, false);
  cache.keep(ASKED, found(1_000_000), 0);
  assert.equal(cache.find(ASKED, 3_599 * S)?.fresh, true);
  assert.equal(cache.find(ASKED, 3_600 * S)?.fresh, false);
});

test('a "no" is kept for its own, shorter time, and is never served stale', () => {
  const cache = new DnsCache(NEXT_HOP_LIMITS);
  cache.keep(ASKED, { kind: "none", ttlSeconds: 86_400 }, 0);
  assert.equal(cache.find(ASKED, 299 * S)?.answer.kind, "none");
  assert.equal(cache.find(ASKED, 300 * S), undefined);
});

test("our own haste is not remembered", () => {
  const cache = new DnsCache(NEXT_HOP_LIMITS);
  cache.keep(ASKED, { kind: "failed", because: "busy" }, 0);
  assert.equal(cache.find(ASKED, 0), undefined);
});

test("at the bound the answer kept longest is forgotten", () => {
  const cache = new DnsCache({ ...NEXT_HOP_LIMITS, answersMax: 3 });
  const name = (n: number): Question => ({ type: "A", name: `h${n}.example` });
  for (const n of [1, 2, 3]) cache.keep(name(n), found(60), 0);
  cache.keep(name(1), found(60), 1);
  cache.keep(name(4), found(60), 2);
  assert.equal(cache.size, 3);
  assert.equal(cache.find(name(2), 3), undefined);
  for (const n of [1, 3, 4]) assert.ok(cache.find(name(n), 3), `h${n}`);
});

const soa: ReplyRecord = { name: "example", ttlSeconds: 900, record: { type: "SOA", minimumSeconds: 60 } };
const cname = (name: string, target: string, ttlSeconds: number): ReplyRecord => ({
  name,
  ttlSeconds,
  record: { type: "CNAME", target },
});
const a = (name: string, ttlSeconds: number): ReplyRecord => ({
  name,
  ttlSeconds,
  record: { type: "A", address: "192.0.2.1" },
});
const REPLY: Reply = { code: 0, truncated: false, answers: [], authorities: [] };

test("what a reply means", () => {
  const means = (reply: Partial<Reply>) => {
    const answer = answerOf(ASKED, { ...REPLY, ...reply });
    return answer.kind === "failed"
      ? `failed ${answer.because}`
      : `${answer.kind}${answer.kind === "alias" ? ` ${answer.name}` : ""} ${answer.ttlSeconds}`;
  };
  assert.equal(means({ answers: [a("a.example", 30), a("a.example", 20)] }), "found 20");
  assert.equal(means({ answers: [a("forged.example", 30)] }), "none 5");
  assert.equal(means({ answers: [cname("a.example", "b.example", 10), a("b.example", 30)] }), "found 10");
  assert.equal(means({ answers: [cname("a.example", "b.example", 10)] }), "alias b.example 10");
  assert.equal(means({ answers: [cname("a.example", "b.example", 10)], authorities: [soa] }), "none 10");
  assert.equal(means({ answers: [cname("a.example", "b.example", 9)], code: 3, authorities: [soa] }), "none 9");
  assert.equal(means({ code: 3, authorities: [soa] }), "none 60");
  assert.equal(means({ code: 3 }), "none 5");
  assert.equal(means({ code: 2 }), "failed servfail");
  assert.equal(means({ code: 5 }), "failed refused");
  assert.equal(means({ truncated: true, answers: [a("a.example", 30)] }), "failed truncated");
});
