import assert from "node:assert/strict";
import { test } from "node:test";
import { HOLD_MUSIC_SECONDS, holdMusic } from "./hold-music.ts";
import { levelOf } from "./tone.ts";

test("the built-in music is sixteen seconds, never quiet, never loud, and has no seam", () => {
  const music = holdMusic();
  assert.equal(HOLD_MUSIC_SECONDS, 16);
  assert.equal(music.length, 128_000);
  let steepest = 0;
  for (let at = 1; at < music.length; at++)
    steepest = Math.max(steepest, Math.abs((music[at] ?? 0) - (music[at - 1] ?? 0)));
  assert.ok(Math.abs((music[0] ?? 0) - (music.at(-1) ?? 0)) <= steepest);
  for (let second = 0; second < 16; second++) {
    const level = levelOf(music.subarray(second * 8_000, (second + 1) * 8_000));
    assert.ok(level > 500 && level < 6_000, `second ${second}: ${level}`);
  }
});
