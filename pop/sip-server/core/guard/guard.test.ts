import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { laneOf } from "./lane.ts";
import { GUARD_LIMITS, type GuardLimits } from "./limits.ts";
import { scannerPattern } from "./scanner.ts";
import { SourceGuard } from "./source-guard.ts";
import { sourceKey } from "./source-key.ts";

const LIMITS: GuardLimits = {
  ...GUARD_LIMITS,
  strangers: { newPerSecond: 10, newBurst: 20, goingOnPerSecond: 100, goingOnBurst: 50 },
  trusted: { newPerSecond: 100, newBurst: 200, goingOnPerSecond: 1_000, goingOnBurst: 500 },
  sourcesMax: 100,
  bansMax: 10,
};
const TRUNK = "192.0.2.1";
const guard = () => new SourceGuard(LIMITS, (address) => address === TRUNK);

const admitted = (of: SourceGuard, address: string, lane: "new" | "going-on", times: number, nowMs: number): number => {
  let count = 0;
  for (let at = 0; at < times; at++) if (of.take(address, lane, nowMs) === "admitted") count++;
  return count;
};

test("a bucket: its burst at once, its rate for ever, whatever is offered", () => {
  const one = guard();
  assert.equal(admitted(one, "10.0.0.1", "new", 1_000, 0), 20);
  let inTenSeconds = 0;
  for (let nowMs = 10; nowMs <= 10_000; nowMs += 10) inTenSeconds += admitted(one, "10.0.0.1", "new", 5, nowMs);
  assert.ok(Math.abs(inTenSeconds - 100) <= 1, `${inTenSeconds}`);
  assert.equal(admitted(one, "10.0.0.1", "new", 1_000, 3_600_000), 20); // no credit beyond the burst
  assert.equal(admitted(one, "10.0.0.2", "new", 1_000, 3_600_000), 20); // somebody else's is full
});

test("new requests over the rate take nothing from responses and calls that stand, of the same source", () => {
  const one = guard();
  admitted(one, "10.0.0.1", "new", 10_000, 0);
  assert.equal(one.take("10.0.0.1", "new", 0), "too-many-new");
  assert.equal(admitted(one, "10.0.0.1", "going-on", 50, 0), 50);
  assert.equal(one.take("10.0.0.1", "going-on", 0), "too-many");
});

test("a trusted source has its own, larger budget, and no conduct bans it; an operator does", () => {
  const one = guard();
  assert.equal(admitted(one, TRUNK, "new", 1_000, 0), 200);
  for (let at = 0; at < 1_000; at++) assert.equal(one.penalise(TRUNK, 1, 0), false);
  assert.equal(one.isBanned(TRUNK, 0), false);
  one.ban(TRUNK, 1_000, 0);
  assert.equal(one.take(TRUNK, "going-on", 500), "banned");
  assert.equal(one.take(TRUNK, "going-on", 1_001), "admitted");
});

test("points become a ban; each further one is twice as long, up to the last; time forgives", () => {
  const one = guard();
  const offend = (nowMs: number) => {
    for (let at = 1; at < LIMITS.banPoints; at++) assert.equal(one.penalise("10.0.0.1", 1, nowMs), false);
    assert.equal(one.penalise("10.0.0.1", 1, nowMs), true);
  };
  let nowMs = 0;
  for (const expectedMs of [60_000, 120_000, 240_000, 480_000]) {
    offend(nowMs);
    assert.deepEqual(
      [...one.bans(nowMs)].map(({ remainingMs, by }) => [remainingMs, by]),
      [[expectedMs, "points"]],
    );
    assert.equal(one.take("10.0.0.1", "going-on", nowMs + expectedMs - 1), "banned");
    nowMs += expectedMs;
    assert.notEqual(one.take("10.0.0.1", "going-on", nowMs), "banned");
  }
  nowMs += LIMITS.forgiveMs + 1;
  assert.equal(one.isBanned("10.0.0.1", nowMs), false);
  offend(nowMs);
  assert.equal([...one.bans(nowMs)][0]?.remainingMs, 60_000);
});

test("points leak: one bad message in a while bans nobody", () => {
  const one = guard();
  for (let at = 0; at < 1_000; at++) assert.equal(one.penalise("10.0.0.1", 1, at * LIMITS.pointMs), false);
});

test("unban: let in at once, its past forgotten", () => {
  const one = guard();
  one.ban("2001:db8::1", 1_000_000, 0);
  assert.equal(one.isBanned("2001:db8::ffff:1", 0), true);
  assert.equal(one.unban("2001:db8:0:0:7::", 0), true);
  assert.equal(one.isBanned("2001:db8::1", 0), false);
  assert.equal(one.unban("2001:db8::1", 0), false);
});

test("a flood of invented addresses leaves the tables within their bounds; a source that keeps talking is not forgotten", () => {
  const one = guard();
  admitted(one, "10.9.9.9", "new", 20, 0);
  for (let at = 0; at < 10_000; at++) {
    const address = `10.${at >> 16}.${(at >> 8) & 255}.${at & 255}`;
    one.take(address, "new", 0);
    one.ban(address, 1_000, 0);
    one.unban(address, 0);
    if (at % 20 === 0) assert.equal(one.take("10.9.9.9", "new", 0), "too-many-new");
    assert.ok(one.sources <= LIMITS.sourcesMax);
  }
  for (let at = 0; at < 1_000; at++) one.ban(`10.1.${at >> 8}.${at & 255}`, 1_000, 0);
  assert.equal([...one.bans(0)].length, LIMITS.bansMax);
});

/** RFC 5952 is one way to write an address; these are all of them that Node may hand us. */
test("property: the key of an IPv6 address is its /64, however it is written", () => {
  const group = fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffff }));
  // ffff:… would be a NaN; no unicast address begins so.
  const prefix = fc.tuple(fc.integer({ min: 0x2000, max: 0x3fff }), group, group, group);
  const rest = fc.tuple(group, group, group, group);
  fc.assert(
    fc.property(prefix, rest, rest, prefix, (mine, one, other, theirs) => {
      const key = sourceKey(written([...mine, ...one]));
      assert.equal(sourceKey([...mine, ...other].map((value) => value.toString(16)).join(":")), key);
      assert.equal(sourceKey(written([...mine, ...other])), key);
      assert.equal(sourceKey(`${written([...mine, ...one])}%eth0`), key);
      assert.equal(sourceKey(written([...theirs, ...one])) === key, mine.join() === theirs.join());
    }),
    { numRuns: 2_000 },
  );
  assert.equal(sourceKey("::ffff:192.0.2.7"), "192.0.2.7");
  assert.equal(sourceKey("192.0.2.7"), "192.0.2.7");
  assert.notEqual(sourceKey("::1"), sourceKey("fe80::1"));
});

/** The longest run of zeros as "::", as inet_ntop writes it. */
function written(groups: readonly number[]): string {
  const text = groups.map((value) => value.toString(16)).join(":");
  const runs = text.match(/(?:^|:)0(?::0)+(?=:|$)/g) ?? [];
  const longest = [...runs].sort((a, b) => b.length - a.length)[0];
  if (longest === undefined) return text;
  const at = text.indexOf(longest);
  const left = text.slice(0, at);
  const right = text.slice(at + longest.length).replace(/^:/, "");
  return `${left}::${right}`;
}

test("whose budget: by the first three octets, of a text as of a datagram", () => {
  for (const [start, lane] of [
    ["INVITE sip:", "new"],
    ["REGISTER", "new"],
    ["OPTIONS", "new"],
    ["DANCE", "new"],
    ["\x16\x03\x01", "new"],
    ["", "new"],
    ["SIP/2.0 200", "going-on"],
    ["SUBSCRIBE", "new"],
    ["ACK", "going-on"],
    ["BYE", "going-on"],
    ["CANCEL", "going-on"],
    ["PRACK", "going-on"],
    ["PUBLISH", "new"],
    ["UPDATE", "going-on"],
    ["INFO", "going-on"],
    ["NOTIFY", "going-on"],
    ["REFER", "going-on"],
  ] as const) {
    assert.equal(laneOf(start), lane, start);
    assert.equal(laneOf(Buffer.from(start, "latin1")), lane, start);
  }
});

test("scanners are told by what they call themselves, in their own headers only", () => {
  const pattern = scannerPattern(GUARD_LIMITS.scanners);
  assert.ok(pattern);
  const request = (line: string, body = "") => `OPTIONS sip:100@10.0.0.2 SIP/2.0\r\n${line}\r\n\r\n${body}`;
  for (const line of [
    "User-Agent: friendly-scanner",
    "user-agent : SIPVicious 0.3",
    'From: "sipvicious"<sip:100@1.1.1.1>;tag=1',
    "f: sundayddr <sip:a@b>",
    "Server: pplsip",
  ])
    assert.ok(pattern.test(request(line)), line);
  for (const line of ["User-Agent: Asterisk PBX", "Subject: sipvicious", "X-User-Agent-Of: x"])
    assert.ok(!pattern.test(request(line)), line);
  assert.ok(!pattern.test(request("User-Agent: good", "beware of friendly-scanner")));
  assert.equal(scannerPattern([]), undefined);
  assert.ok(scannerPattern(["a.b("])?.test("\r\nServer: xa.b(c"));
});
