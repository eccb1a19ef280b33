import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { readRtp, readTelephoneEvent, sequenceStep, writeRtp, writeTelephoneEvent } from "./rtp.ts";

const anyPacket = fc.record({
  marker: fc.boolean(),
  payloadType: fc.integer({ min: 0, max: 63 }),
  sequence: fc.integer({ min: 0, max: 0xffff }),
  timestamp: fc.integer({ min: 0, max: 0xffffffff }),
  ssrc: fc.integer({ min: 0, max: 0xffffffff }),
  payload: fc.uint8Array({ maxLength: 320 }),
});

test("property: a packet that is written is read again", () => {
  fc.assert(
    fc.property(anyPacket, (packet) => {
      assert.deepEqual(readRtp(writeRtp(packet)), { ...packet });
    }),
  );
});

test("property: no bytes make reading throw", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      const packet = readRtp(bytes);
      assert.ok(packet === undefined || packet.payload.length <= bytes.length);
    }),
  );
});

test("sources, an extension and padding are stepped over", () => {
  const bytes = Uint8Array.from([
    ...[0b1011_0001, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3], // padding, extension, one source
    ...[9, 9, 9, 9],
    ...[0xbe, 0xde, 0, 1, 7, 7, 7, 7],
    ...[1, 2, 3],
    ...[0, 2],
  ]);
  assert.deepEqual([...(readRtp(bytes)?.payload ?? [])], [1, 2, 3]);
});

test("RTCP is no RTP", () => {
  assert.equal(readRtp(Uint8Array.of(0x80, 200, 0, 6, 0, 0, 0, 1, 0, 0, 0, 0, 0)), undefined);
});

test("sequence numbers wrap", () => {
  assert.equal(sequenceStep(65_535, 0), 1);
  assert.equal(sequenceStep(0, 65_535), -1);
  assert.equal(sequenceStep(10, 13), 3);
});

test("telephone events are written and read", () => {
  const event = { event: 11, end: true, volume: 10, duration: 800 };
  assert.deepEqual(readTelephoneEvent(writeTelephoneEvent(event)), event);
  assert.equal(readTelephoneEvent(Uint8Array.of(1, 2)), undefined);
});
