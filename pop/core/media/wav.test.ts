import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { readWav, writeWav } from "./wav.ts";

const WAV = writeWav({ samples: Int16Array.of(10, -10, 40, 20), sampleHz: 16_000 });

/** A copy with one 16-bit field set. */
function withField(at: number, value: number): Uint8Array {
  const copy = WAV.slice();
  new DataView(copy.buffer).setUint16(at, value, true);
  return copy;
}

const because = (bytes: Uint8Array): string => {
  const read = readWav(bytes);
  return read.ok ? "read" : read.failure.detail;
};

test("property: what is written is read again", () => {
  fc.assert(
    fc.property(fc.int16Array({ minLength: 1 }), fc.constantFrom(8_000, 22_050, 48_000), (samples, sampleHz) => {
      assert.deepEqual(readWav(writeWav({ samples, sampleHz })), { ok: true, value: { samples, sampleHz } });
    }),
  );
});

test("two channels are averaged", () => {
  const read = readWav(withField(22, 2));
  assert.ok(read.ok);
  assert.deepEqual([...read.value.samples], [0, 30]);
});

test("a size that a pipe could not know is read to the end", () => {
  const piped = WAV.slice();
  new DataView(piped.buffer).setUint32(40, 0x7ffff000, true);
  assert.equal(because(piped), "read");
});

test("a chunk that we do not know is stepped over", () => {
  const list = Uint8Array.from([
    ...WAV.subarray(0, 36),
    ...[76, 73, 83, 84, 3, 0, 0, 0, 1, 2, 3, 0],
    ...WAV.subarray(36),
  ]);
  assert.deepEqual(readWav(list), readWav(WAV));
});

test("what is wrong with a file is said", () => {
  assert.equal(because(new Uint8Array(0)), "not a WAV file");
  assert.equal(because(new TextEncoder().encode("OggS and more")), "not a WAV file");
  assert.equal(because(withField(20, 3)), "coding 3 is not PCM (1)");
  assert.equal(because(withField(34, 24)), "24 bits a sample, not 16");
  assert.equal(because(withField(22, 6)), "6 channels, not 1 or 2");
  assert.equal(
    because(withField(24, 12_345)),
    "12345 samples a second, not one of 8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000",
  );
  assert.equal(because(WAV.subarray(0, 44)), "no audio in it");
  assert.equal(because(WAV.subarray(0, 36)), "no audio in it");
  assert.equal(because(WAV.subarray(0, 30)), "format chunk is cut off");
});

test("property: no bytes make reading throw", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), fc.nat(60), (bytes, at) => {
      const torn = WAV.slice();
      torn.set(bytes.subarray(0, Math.max(0, torn.length - at)), Math.min(at, torn.length));
      readWav(torn);
      readWav(bytes);
    }),
  );
});
