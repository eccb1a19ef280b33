import assert from "node:assert/strict";
import { test } from "node:test";
import { rehearse } from "./call-rehearsal.ts";

const TALKING = [
  "anchored",
  "acked",
  "presses 1",
  "place 1",
  "offer 1",
  "leg 1 offer ready",
  "leg 1 answers",
  "leg 1 bridged",
];
const RINGING = TALKING.slice(0, 6);

const lastLines = (story: readonly string[], count: number) => rehearse(story).lines.slice(-count);
const recordOf = (story: readonly string[]) => {
  const ended = rehearse(story).effects.find((effect) => effect.kind === "ended");
  assert.ok(ended?.kind === "ended");
  return ended.record;
};

test("the relay has lost two who talk: both are told their new places, and what they say to it is taken", () => {
  assert.deepEqual(lastLines([...TALKING, "media lost", "both re-anchored", "leg 1 takes it", "caller takes it"], 4), [
    "media lost -> re-anchor caller and c1.1",
    "both re-anchored -> reinvite caller PLACE, reinvite c1.1 PLACE1",
    "leg 1 takes it -> take-answer c1.1 TAKEN1",
    "caller takes it -> take-answer caller TAKEN",
  ]);
});

test("a leg that rings is told when it has answered, and joined with what it says then", () => {
  const story = [...RINGING, "media lost", "both re-anchored", "leg 1 answers", "leg 1 takes it", "leg 1 bridged"];
  const lines = lastLines(story, 5);
  assert.deepEqual(lines.slice(0, 4), [
    "media lost -> re-anchor caller and c1.1",
    "both re-anchored -> reinvite caller PLACE",
    "leg 1 answers -> reinvite c1.1 PLACE1",
    "leg 1 takes it -> bridge c1.1",
  ]);
  assert.match(lines[4] ?? "", /report offer-accepted o1/);
});

test("a place that is the old one needs no word, and is not counted", () => {
  const story = ["anchored", "acked", "media lost", "anchored where it was", "caller hangs up"];
  assert.equal(rehearse(story).lines[4], "anchored where it was -> ");
  assert.equal(recordOf(story).reAnchored, 0);
});

test("each time is counted in the contact record, and told as an event", () => {
  const story = [
    "anchored",
    "acked",
    "media lost",
    "caller re-anchored",
    "media lost",
    "caller re-anchored",
    "caller hangs up",
  ];
  assert.equal(recordOf(story).reAnchored, 2);
  const told = rehearse(story).effects.filter(
    (effect) => effect.kind === "tell" && effect.event.name === "call.re-anchored",
  );
  assert.equal(told.length, 2);
});

test("a caller whose dialog is gone ends the call; a leg's end is as if it had hung up", () => {
  const caller = [...TALKING, "media lost", "both re-anchored", "caller's dialog is gone"];
  assert.equal(recordOf(caller).endCode, "media.re-anchor-failed");
  const leg = rehearse([...TALKING, "media lost", "both re-anchored", "leg 1's dialog is gone"]);
  assert.match(leg.lines.at(-1) ?? "", /hang-up c1\.1 media\.re-anchor-failed, park c1\.1, report agent-released o1/);
});

test("no new place to be had: the call is ended, with the reason in its record", () => {
  assert.equal(recordOf(["anchored", "acked", "media lost", "no new place"]).endCode, "media.re-anchor-failed");
});

test("an answer of a leg that has gone meanwhile changes nothing", () => {
  const { lines } = rehearse([...TALKING, "media lost", "both re-anchored", "leg 1 hangs up", "leg 1 takes it"]);
  assert.equal(lines.at(-1), "leg 1 takes it -> ");
});
