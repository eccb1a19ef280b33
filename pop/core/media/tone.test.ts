import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeG711, encodeG711 } from "./g711.ts";
import { levelOf, toneSamples, toneShare } from "./tone.ts";

test("a tone is found at its frequency, and not at another", () => {
  const tone = toneSamples(1_000, 200);
  assert.ok(toneShare(tone, 1_000) > 0.99);
  assert.ok(toneShare(tone, 700) < 0.01);
  assert.ok(Math.abs(levelOf(tone) - 10_000 / Math.SQRT2) < 10);
});

test("G.711 leaves a tone a tone, and silence is no tone", () => {
  assert.ok(toneShare(decodeG711("PCMA", encodeG711("PCMA", toneSamples(440, 200))), 440) > 0.99);
  assert.equal(toneShare(decodeG711("PCMA", new Uint8Array(1_600).fill(0xd5)), 440), 0);
  assert.equal(toneShare(new Int16Array(0), 440), 0);
});

test("of two tones each has its share", () => {
  const first = toneSamples(500, 200);
  const second = toneSamples(900, 200);
  const mixed = first.map((sample, at) => sample + (second[at] ?? 0));
  assert.ok(Math.abs(toneShare(mixed, 500) - 0.5) < 0.02);
  assert.ok(Math.abs(toneShare(mixed, 900) - 0.5) < 0.02);
});
