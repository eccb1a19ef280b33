import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { asId } from "../../../kernel/ids.ts";
import {
  framesIn,
  framesOf,
  nextFrame,
  type PlayItem,
  type PlayPosition,
  playedMs,
  startPlay,
} from "./play-position.ts";

const PLAY = asId<"play">("play-1");
const item = (frames: number): PlayItem => ({ source: { kind: "silence" }, frames });

function walk(from: PlayPosition, framesMax: number): { sent: string[]; end: PlayPosition; ended: boolean } {
  const sent: string[] = [];
  let position = from;
  while (sent.length < framesMax) {
    const frame = nextFrame(position);
    if (frame === undefined) return { sent, end: position, ended: true };
    sent.push(`${frame.item}.${frame.frame}`);
    position = frame.next;
  }
  return { sent, end: position, ended: false };
}

test("items are played in order, frame by frame, once", () => {
  const { sent, end, ended } = walk(startPlay(PLAY, [item(2), item(0), item(1)], "once", 0), 100);
  assert.deepEqual(sent, ["0.0", "0.1", "2.0"]);
  assert.ok(ended);
  assert.equal(playedMs(end), 60);
});

test("forever begins again", () => {
  assert.deepEqual(walk(startPlay(PLAY, [item(1), item(2)], "forever", 0), 5).sent, [
    "0.0",
    "1.0",
    "1.1",
    "0.0",
    "1.0",
  ]);
});

test("a play may start in the middle, and beyond its end", () => {
  assert.deepEqual(walk(startPlay(PLAY, [item(2), item(3)], "once", 60), 9).sent, ["1.1", "1.2"]);
  assert.deepEqual(walk(startPlay(PLAY, [item(2)], "once", 1_000), 9).sent, []);
  assert.deepEqual(walk(startPlay(PLAY, [item(2), item(3)], "forever", 120), 2).sent, ["0.1", "1.0"]);
});

test("nothing to play is at its end at once, also forever", () => {
  assert.equal(nextFrame(startPlay(PLAY, [], "forever", 0)), undefined);
  assert.equal(nextFrame(startPlay(PLAY, [item(0), item(0)], "forever", 40)), undefined);
});

test("a started frame counts whole", () => {
  assert.deepEqual([framesIn(0), framesIn(1), framesIn(20), framesIn(21)], [0, 1, 1, 2]);
});

test("property: a play taken up where another stopped sends what that one would have sent", () => {
  const anyItems = fc.array(fc.integer({ min: 0, max: 5 }).map(item), { maxLength: 4 });
  fc.assert(
    fc.property(
      anyItems,
      fc.constantFrom("once" as const, "forever" as const),
      fc.nat(40),
      fc.nat(20),
      (items, repeat, at, more) => {
        const whole = walk(startPlay(PLAY, items, repeat, 0), at + more);
        const first = walk(startPlay(PLAY, items, repeat, 0), at);
        const again = startPlay(PLAY, items, repeat, playedMs(first.end));
        assert.deepEqual(walk(again, more).sent, whole.sent.slice(first.sent.length, first.sent.length + more));
        if (repeat === "once") assert.ok(whole.sent.length <= framesOf(items));
      },
    ),
  );
});
