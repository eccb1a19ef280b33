import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRng } from "../../kernel/rng.ts";
import { decodeG711, encodeG711 } from "../../pop/core/media/g711.ts";
import { toneSamples } from "../../pop/core/media/tone.ts";
import { findAudio } from "./similarity.ts";

/** Noise through a slow filter: as unlike itself elsewhere as speech is. */
function speechLike(seed: number, ms: number): Int16Array {
  const rng = seededRng(seed);
  let held = 0;
  return Int16Array.from({ length: ms * 8 }, (_, at) => {
    held = 0.8 * held + 6_000 * (rng.next() - 0.5);
    return held * (0.5 + 0.5 * Math.sin((2 * Math.PI * at) / 1_600));
  });
}

const joined = (...parts: readonly Int16Array[]): Int16Array => Int16Array.from(parts.flatMap((part) => [...part]));

test("the same audio is found where it is, also after both G.711 codecs and at half the volume", () => {
  const prompt = speechLike(1, 1_500);
  const quiet = prompt.map((sample) => sample / 2);
  const travelled = decodeG711("PCMA", encodeG711("PCMA", decodeG711("PCMU", encodeG711("PCMU", quiet))));
  const received = joined(new Int16Array(4_000), travelled, new Int16Array(800));
  const { score, atMs } = findAudio(received, prompt);
  assert.ok(score > 0.98, `${score}`);
  assert.equal(atMs, 500);
});

test("another audio scores below a half", () => {
  assert.ok(findAudio(joined(speechLike(2, 1_500), speechLike(3, 1_500)), speechLike(1, 1_500)).score < 0.5);
  assert.ok(findAudio(toneSamples(440, 2_000), speechLike(1, 1_000)).score < 0.5);
});

test("half of it scores in between, silence nothing", () => {
  const prompt = speechLike(1, 1_000);
  const half = findAudio(joined(prompt.subarray(0, 4_000), new Int16Array(8_000)), prompt).score;
  assert.ok(half > 0.5 && half < 0.9, `${half}`);
  assert.equal(findAudio(new Int16Array(16_000), prompt).score, 0);
  assert.equal(findAudio(new Int16Array(0), prompt).score, 0);
  assert.equal(findAudio(prompt, new Int16Array(80)).score, 0);
});
