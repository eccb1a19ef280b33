import assert from "node:assert/strict";
import { test } from "node:test";
import { resample } from "./resample.ts";
import { levelOf, toneSamples, toneShare } from "./tone.ts";

const middle = (samples: Int16Array) => samples.subarray(samples.length >> 2, (3 * samples.length) >> 2);

for (const fromHz of [16_000, 22_050, 44_100, 48_000]) {
  test(`a tone at ${fromHz} Hz keeps its pitch and level at 8 kHz`, () => {
    for (const hz of [300, 1_000, 3_000]) {
      const there = resample(toneSamples(hz, 500, fromHz), fromHz, 8_000);
      assert.equal(there.length, 4_000);
      assert.ok(toneShare(middle(there), hz) > 0.999, `${hz} Hz`);
      assert.ok(Math.abs(levelOf(middle(there)) - 10_000 / Math.SQRT2) < 100, `${hz} Hz`);
    }
  });

  test(`what ${fromHz} Hz carries above 4 kHz is not folded back`, () => {
    for (const hz of [4_400, 5_000, 7_000]) {
      const there = resample(toneSamples(hz, 500, fromHz), fromHz, 8_000);
      assert.ok(levelOf(middle(there)) < 10, `${hz} Hz left ${levelOf(middle(there))}`);
    }
  });
}

test("up is as good as down", () => {
  const there = resample(toneSamples(1_000, 500, 8_000), 8_000, 22_050);
  assert.ok(toneShare(middle(there), 1_000, 22_050) > 0.999);
});

test("nothing becomes nothing, and the same rate the same samples", () => {
  assert.equal(resample(new Int16Array(0), 48_000, 8_000).length, 0);
  assert.deepEqual(resample(Int16Array.of(1, -2), 8_000, 8_000), Int16Array.of(1, -2));
});
