import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { dueAtMs, dueFrames, FRAMES_AT_ONCE_MAX, startPace } from "./pace.ts";

test("a frame is due at once, and then every 20 ms", () => {
  const first = dueFrames(startPace(1_000), 1_000);
  assert.equal(first.send, 1);
  assert.equal(dueAtMs(first.pace), 1_020);
  assert.equal(dueFrames(first.pace, 1_019).send, 0);
  assert.deepEqual(dueFrames(first.pace, 1_023), { pace: { originMs: 1_000, frames: 2 }, send: 1, skip: 0, lateMs: 3 });
});

test("a late tick sends what was missed, a very late one gives the rest up", () => {
  const { pace } = dueFrames(startPace(0), 0);
  assert.equal(dueFrames(pace, 65).send, 3);
  const late = dueFrames(pace, 1_000);
  assert.deepEqual([late.send, late.skip], [FRAMES_AT_ONCE_MAX, 46]);
  assert.equal(dueAtMs(late.pace), 1_020);
});

test("property: however late the ticks, in the end as many frames were due as 20 ms have passed", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 400 }), { maxLength: 50 }), (steps) => {
      let nowMs = 5;
      let total = 0;
      let pace = startPace(nowMs);
      for (const step of [0, ...steps]) {
        nowMs += step;
        const due = dueFrames(pace, nowMs);
        pace = due.pace;
        total += due.send + due.skip;
      }
      assert.equal(total, Math.floor((nowMs - 5) / 20) + 1);
    }),
  );
});
