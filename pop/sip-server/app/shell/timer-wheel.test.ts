import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { SimWorld } from "../../../../kernel/sim/world.ts";
import { NamedTimers, TimerWheel } from "./timer-wheel.ts";

/** A clock moved by hand, and an alarm that rings when it is passed. */
function handMoved() {
  let now = 1_000.5;
  let alarm: { at: number; ring: () => void } | undefined;
  const wheel = new TimerWheel(
    { nowMs: () => now, unixMs: () => now },
    {
      set(afterMs, ring) {
        alarm = { at: now + afterMs, ring };
      },
      clear() {
        alarm = undefined;
      },
    },
    (error) => {
      throw error;
    },
  );
  const runUntil = (until: number) => {
    for (let rings = 0; alarm !== undefined && alarm.at <= until; rings++) {
      if (rings > 100_000) throw new Error("the alarm never rests");
      const { at, ring } = alarm;
      alarm = undefined;
      now = Math.max(now, at);
      ring();
    }
    now = until;
  };
  return { wheel, runUntil, now: () => now, ringsAt: () => alarm?.at };
}

test("property: every timer fires once, on time or within a tick, whatever was started and stopped", () => {
  const anyTimer = fc.record({
    startMs: fc.integer({ min: 0, max: 50_000 }),
    afterMs: fc.integer({ min: 0, max: 120_000 }),
    stopAfterMs: fc.option(fc.integer({ min: 0, max: 120_000 }), { nil: undefined }),
  });
  fc.assert(
    fc.property(fc.array(anyTimer, { maxLength: 40 }), (timers) => {
      const { wheel, runUntil, now } = handMoved();
      const origin = now();
      const fired = new Map<number, number>();
      const stops: { at: number; stop: () => void }[] = [];
      const script = timers
        .map((timer, index) => ({ ...timer, index }))
        .flatMap((timer) => [{ at: timer.startMs, timer }])
        .sort((a, b) => a.at - b.at);
      for (const { at, timer } of script) {
        for (const due of stops.filter((stop) => stop.at <= at).sort((a, b) => a.at - b.at)) {
          runUntil(Math.max(now(), origin + due.at));
          due.stop();
          stops.splice(stops.indexOf(due), 1);
        }
        runUntil(Math.max(now(), origin + at));
        const owner = { onTimer: () => fired.set(timer.index, (fired.get(timer.index) ?? 0) + (now() - origin)) };
        const running = wheel.start(owner, "t", timer.afterMs);
        if (timer.stopAfterMs !== undefined)
          stops.push({ at: at + timer.stopAfterMs, stop: () => wheel.stop(running) });
      }
      for (const due of stops.sort((a, b) => a.at - b.at)) {
        runUntil(Math.max(now(), origin + due.at));
        due.stop();
      }
      runUntil(origin + 300_000);
      for (const [index, { startMs, afterMs, stopAfterMs }] of timers.entries()) {
        const at = fired.get(index);
        if (stopAfterMs !== undefined && stopAfterMs < afterMs) assert.equal(at, undefined);
        else if (stopAfterMs === undefined || stopAfterMs > afterMs + 9) {
          assert.ok(at !== undefined && at >= startMs + afterMs && at <= startMs + afterMs + 9, `${at}`);
        }
      }
      assert.equal(wheel.size, 0);
    }),
    { numRuns: 300 },
  );
});

test("a timer started by one that fires waits its own turn", () => {
  const { wheel, runUntil } = handMoved();
  const seen: string[] = [];
  const owner = {
    onTimer(name: string) {
      seen.push(name);
      if (seen.length < 3) wheel.start(owner, `${name}+`, 0);
    },
  };
  wheel.start(owner, "a", 10);
  runUntil(1_100);
  assert.deepEqual(seen, ["a", "a+", "a++"]);
});

test("a hundred thousand timers: one alarm, and started and stopped within a second", () => {
  const { wheel, ringsAt, now } = handMoved();
  const owner = { onTimer: () => {} };
  const from = performance.now();
  const running = Array.from({ length: 100_000 }, (_, index) => wheel.start(owner, "H", 500 + (index % 32_000)));
  assert.equal(wheel.size, 100_000);
  assert.ok((ringsAt() ?? 0) - now() <= 509);
  for (const timer of running) wheel.stop(timer);
  assert.equal(wheel.size, 0);
  assert.ok(performance.now() - from < 1_000);
});

test("by name: starting again replaces, stopping all leaves none", () => {
  const { wheel, runUntil } = handMoved();
  const seen: string[] = [];
  const timers = new NamedTimers(wheel, { onTimer: (name) => seen.push(name) });
  timers.start("A", 100);
  timers.start("A", 300);
  timers.start("B", 200);
  runUntil(1_250);
  assert.deepEqual(seen, ["B"]);
  timers.stopAll();
  runUntil(2_000);
  assert.deepEqual(seen, ["B"]);
  assert.equal(wheel.size, 0);
});

test("what is started after everything has been stopped neither fires nor arms the alarm", () => {
  const world = new SimWorld(1);
  let alarms = 0;
  const alarm = {
    set: (afterMs: number, ring: () => void) => {
      alarms++;
      world.after(afterMs, ring);
    },
    clear: () => {},
  };
  const wheel = new TimerWheel(world, alarm, (error) => assert.fail(String(error)));
  const fired: string[] = [];
  const owner = {
    onTimer: (name: string) => {
      fired.push(name);
      wheel.stopAll();
      wheel.start(owner, "late", 10);
    },
  };
  wheel.start(owner, "first", 10);
  world.runFor(1_000);
  assert.deepEqual({ fired, alarms, size: wheel.size }, { fired: ["first"], alarms: 1, size: 0 });
  wheel.stop(wheel.start(owner, "later still", 10));
  world.runFor(1_000);
  assert.deepEqual({ fired, alarms, size: wheel.size }, { fired: ["first"], alarms: 1, size: 0 });
});
