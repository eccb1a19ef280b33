import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { backoffMs, GENTLE_BACKOFF } from "./backoff.ts";
import { newId } from "./ids.ts";
import { Inbox } from "./inbox.ts";
import { seededRng, systemRng } from "./rng.ts";
import { SimWorld } from "./sim/world.ts";
import { TimerTable } from "./time.ts";

test("ids of a later millisecond sort after those of an earlier one", () => {
  const rng = seededRng(1);
  assert.ok(newId(1_800_000_000_000, rng) < newId(1_800_000_000_001, rng));
});

test("property: an inbox gives back what it took, in order, and never holds more than its limit", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 50 }), fc.array(fc.option(fc.integer())), (limit, script) => {
      const inbox = new Inbox<number>(limit);
      const model: number[] = [];
      for (const item of script) {
        if (item === null) assert.equal(inbox.take(), model.shift());
        else if (inbox.put(item).ok) model.push(item);
        else assert.equal(model.length, limit);
        assert.equal(inbox.size, model.length);
      }
    }),
  );
});

test("property: a wait is never above the policy's bound and never below its fixed share", () => {
  fc.assert(
    fc.property(fc.nat(60), fc.integer(), (attempt, seed) => {
      const wait = backoffMs(GENTLE_BACKOFF, attempt, seededRng(seed));
      assert.ok(wait <= GENTLE_BACKOFF.waitMsMax && wait >= GENTLE_BACKOFF.firstMs * 0.5);
    }),
  );
});

test("timers come out due and earliest first; a stopped one does not", () => {
  const timers = new TimerTable<"a" | "b" | "c">();
  timers.start("a", 30);
  timers.start("b", 10);
  timers.start("c", 20);
  timers.stop("c");
  assert.equal(timers.nextDueAtMs(), 10);
  assert.deepEqual(timers.takeDue(30), ["b", "a"]);
  assert.equal(timers.nextDueAtMs(), undefined);
});

test("same seed and same calls: same history", () => {
  const run = (seed: number) => {
    const world = new SimWorld(seed, { delayMs: 5, jitterMs: 20, lossRate: 0.3, duplicateRate: 0.2 });
    world.attach("b", () => {});
    for (let i = 0; i < 50; i++) world.send("a", "b", i);
    world.runFor(1_000);
    return world.history;
  };
  assert.deepEqual(run(7), run(7));
  assert.notDeepEqual(run(7), run(8));
});

test("system chance stays within [0, 1)", () => {
  for (let i = 0; i < 1_000; i++) {
    const value = systemRng.next();
    assert.ok(value >= 0 && value < 1);
  }
});
