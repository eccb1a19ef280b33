import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ALAW_SILENCE, decodeG711, encodeG711, ULAW_SILENCE } from "./g711.ts";

const EVERY_BYTE = Uint8Array.from({ length: 256 }, (_, byte) => byte);

test("known values of G.711 hold", () => {
  assert.deepEqual([...decodeG711("PCMU", Uint8Array.of(0x00, 0x80, 0xff, 0x7f))], [-32124, 32124, 0, 0]);
  assert.deepEqual([...decodeG711("PCMA", Uint8Array.of(0xd5, 0x55, 0xaa, 0x2a))], [8, -8, 32256, -32256]);
  assert.equal(encodeG711("PCMU", Int16Array.of(0))[0], ULAW_SILENCE);
  assert.equal(encodeG711("PCMA", Int16Array.of(1))[0], ALAW_SILENCE);
});

test("every byte survives decoding and encoding, but for mu-law's second zero", () => {
  const ulaw = encodeG711("PCMU", decodeG711("PCMU", EVERY_BYTE));
  assert.deepEqual(
    [...ulaw],
    [...EVERY_BYTE].map((byte) => (byte === 0x7f ? 0xff : byte)),
  );
  assert.deepEqual([...encodeG711("PCMA", decodeG711("PCMA", EVERY_BYTE))], [...EVERY_BYTE]);
});

test("property: the error is at most 1/16 of the sample, or half the first step", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: -32_768, max: 32_767 }),
      fc.constantFrom("PCMU" as const, "PCMA" as const),
      (sample, law) => {
        const back = decodeG711(law, encodeG711(law, Int16Array.of(sample)))[0] ?? 0;
        return Math.abs(back - sample) <= Math.max(8, Math.abs(sample) / 16);
      },
    ),
  );
});
