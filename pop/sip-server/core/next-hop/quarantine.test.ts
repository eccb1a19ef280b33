import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  isFit,
  PROBE_MS,
  QUARANTINE_MAX_MS,
  QUARANTINE_MS,
  Quarantine,
  type QuarantineInput,
  RETRY_AFTER_MAX_MS,
  type Standing,
  step,
} from "./quarantine.ts";

const FAILED: QuarantineInput = { kind: "failed" };
const ANSWERED: QuarantineInput = { kind: "answered" };
const TRIED: QuarantineInput = { kind: "tried" };
const asks = (retryAfterMs: number): QuarantineInput => ({ kind: "failed", retryAfterMs });
const words = (standing: Standing | undefined): string =>
  standing === undefined
    ? "fit"
    : `${standing.name} ${standing.failures} until ${standing.untilMs}${standing.name === "quarantined" && standing.asked ? " asked" : ""}`;

// At 100,000 ms; "over" is a time that has passed, "on" one that has not.
const NOW = 100_000;
const STANDINGS: readonly (readonly [string, Standing | undefined])[] = [
  ["fit", undefined],
  ["quarantined, on", { name: "quarantined", failures: 1, untilMs: NOW + 5, asked: false }],
  ["quarantined, over", { name: "quarantined", failures: 1, untilMs: NOW - 5, asked: false }],
  ["asked, on", { name: "quarantined", failures: 0, untilMs: NOW + 5, asked: true }],
  ["probation, on", { name: "probation", failures: 2, untilMs: NOW + 5 }],
  ["probation, over", { name: "probation", failures: 2, untilMs: NOW - 5 }],
];
const INPUTS: readonly (readonly [string, QuarantineInput])[] = [
  ["failed", FAILED],
  ["503, 7 s", asks(7_000)],
  ["answered", ANSWERED],
  ["tried", TRIED],
];
const TABLE = `
fit                + failed    -> quarantined 1 until 130000
fit                + 503, 7 s  -> quarantined 0 until 107000 asked
fit                + answered  -> fit
fit                + tried     -> fit
quarantined, on    + failed    -> quarantined 1 until 100005
quarantined, on    + 503, 7 s  -> quarantined 1 until 107000 asked
quarantined, on    + answered  -> fit
quarantined, on    + tried     -> quarantined 1 until 100005
quarantined, over  + failed    -> quarantined 2 until 160000
quarantined, over  + 503, 7 s  -> quarantined 1 until 107000 asked
quarantined, over  + answered  -> fit
quarantined, over  + tried     -> probation 1 until 135000
asked, on          + failed    -> quarantined 0 until 100005 asked
asked, on          + 503, 7 s  -> quarantined 0 until 107000 asked
asked, on          + answered  -> quarantined 0 until 100005 asked
asked, on          + tried     -> quarantined 0 until 100005 asked
probation, on      + failed    -> quarantined 3 until 220000
probation, on      + 503, 7 s  -> quarantined 2 until 107000 asked
probation, on      + answered  -> fit
probation, on      + tried     -> probation 2 until 100005
probation, over    + failed    -> quarantined 3 until 220000
probation, over    + 503, 7 s  -> quarantined 2 until 107000 asked
probation, over    + answered  -> fit
probation, over    + tried     -> probation 2 until 135000
`;

test("the whole machine on one page", () => {
  const rows = STANDINGS.flatMap(([name, standing]) =>
    INPUTS.map(([label, input]) => `${name.padEnd(18)} + ${label.padEnd(9)} -> ${words(step(standing, input, NOW))}`),
  );
  assert.deepEqual(rows, TABLE.trim().split("\n"));
});

test("each failure on probation doubles the time, up to ten minutes", () => {
  let standing = step(undefined, FAILED, 0);
  const lengths: number[] = [];
  for (let nowMs = 0; lengths.length < 7; ) {
    lengths.push((standing?.untilMs ?? 0) - nowMs);
    nowMs = standing?.untilMs ?? 0;
    standing = step(step(standing, TRIED, nowMs), FAILED, nowMs);
  }
  assert.deepEqual(
    lengths.map((ms) => ms / QUARANTINE_MS),
    [1, 2, 4, 8, 16, 20, 20],
  );
  assert.equal(lengths.at(-1), QUARANTINE_MAX_MS);
});

test("a Retry-After of days is not believed", () => {
  assert.equal(step(undefined, asks(86_400_000), 0)?.untilMs, RETRY_AFTER_MAX_MS);
});

const target = (n: number) => ({ transport: "udp", address: `192.0.2.${n}`, port: 5060 }) as const;

test("dead targets come last; on probation exactly one request goes there first", () => {
  const quarantine = new Quarantine(10);
  const targets = [target(1), target(2)];
  assert.equal(quarantine.order(targets, 0), targets);
  quarantine.handle(target(1), FAILED, 0);
  assert.deepEqual(quarantine.order(targets, 10), [target(2), target(1)]);
  assert.equal(quarantine.count(10), 1);
  assert.deepEqual(quarantine.order(targets, QUARANTINE_MS), targets);
  quarantine.handle(target(1), TRIED, QUARANTINE_MS);
  assert.deepEqual(quarantine.order(targets, QUARANTINE_MS + 1), [target(2), target(1)]);
  // Nobody ever said what became of that request.
  assert.deepEqual(quarantine.order(targets, QUARANTINE_MS + PROBE_MS), targets);
  quarantine.handle(target(1), ANSWERED, QUARANTINE_MS + PROBE_MS);
  assert.equal(quarantine.count(QUARANTINE_MS + PROBE_MS), 0);
});

test("the table is bounded: the one remembered longest is forgotten", () => {
  const quarantine = new Quarantine(3);
  for (const n of [1, 2, 3, 4]) quarantine.handle(target(n), FAILED, n);
  assert.equal(quarantine.count(5), 3);
  assert.ok(quarantine.isFit(target(1), 5));
  assert.ok(!quarantine.isFit(target(2), 5));
});

test("property: order keeps every target, and an answer without Retry-After always makes one fit", () => {
  const input = fc.tuple(fc.nat(3), fc.constantFrom(FAILED, ANSWERED, TRIED, asks(20_000)), fc.nat(40_000));
  fc.assert(
    fc.property(fc.array(input, { maxLength: 40 }), (inputs) => {
      const quarantine = new Quarantine(3);
      const targets = [target(0), target(1), target(2), target(3)];
      let nowMs = 0;
      for (const [at, given, afterMs] of inputs) {
        nowMs += afterMs;
        quarantine.handle(target(at), given, nowMs);
        const ordered = quarantine.order(targets, nowMs);
        assert.deepEqual(new Set(ordered), new Set(targets));
        assert.equal(ordered.length, targets.length);
        assert.ok(quarantine.count(nowMs) <= 3);
      }
      let standing: Standing | undefined;
      for (const [, given] of inputs) standing = step(standing, given, nowMs);
      const failed = step(undefined, FAILED, nowMs);
      assert.ok(isFit(step(failed, ANSWERED, nowMs), nowMs));
      assert.ok(standing === undefined || standing.untilMs <= nowMs + RETRY_AFTER_MAX_MS);
    }),
  );
});
