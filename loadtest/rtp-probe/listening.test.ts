import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeG711 } from "../../pop/core/media/g711.ts";
import { writeTelephoneEvent } from "../../pop/core/media/rtp.ts";
import { toneSamples } from "../../pop/core/media/tone.ts";
import { type HeardPacket, Listening } from "./listening.ts";

const TONE = encodeG711("PCMU", toneSamples(500, 1_000));

/** Packet `at` of a stream of 500 Hz that arrives on time. */
const packet = (at: number, more: Partial<HeardPacket> = {}): HeardPacket => ({
  marker: at === 0,
  payloadType: 0,
  sequence: (65_530 + at) & 0xffff,
  timestamp: (0xffffff00 + 160 * at) >>> 0,
  ssrc: 1,
  payload: TONE.subarray((160 * at) % 8_000, ((160 * at) % 8_000) + 160),
  atMs: 20 * at,
  from: { host: "127.0.0.1", port: 4_000 },
  ...more,
});

function listeningTo(packets: readonly HeardPacket[]): Listening {
  const listening = new Listening();
  for (const each of packets) listening.hear(each);
  return listening;
}
const numbers = (count: number) => Array.from({ length: count }, (_, at) => at);

test("a whole stream is heard as it was sent, over both wrap-arounds", () => {
  const heard = listeningTo(numbers(20).map((at) => packet(at)));
  assert.equal(heard.durationMs(), 400);
  assert.ok(heard.toneShare(500) > 0.99);
  assert.deepEqual(heard.losses(), { lost: 0, reordered: 0, duplicated: 0 });
  assert.equal(heard.longestGapMs(), 20);
  assert.deepEqual(heard.ssrcs(), [1]);
  assert.deepEqual(heard.sources(), ["127.0.0.1:4000"]);
});

test("lost, late and doubled packets are counted, and a lost one is silence of its length", () => {
  const order = [0, 1, 3, 2, 4, 4, 6, 7];
  const heard = listeningTo(order.map((at, index) => packet(at, { atMs: 20 * index })));
  assert.deepEqual(heard.losses(), { lost: 1, reordered: 1, duplicated: 1 });
  assert.equal(heard.durationMs(), 160);
  assert.ok(
    heard
      .audio()
      .subarray(800, 960)
      .every((sample) => sample === 0),
  );
});

test("gaps count up to the window's edges", () => {
  const heard = listeningTo([packet(0), packet(1), packet(8)]);
  assert.equal(heard.longestGapMs(), 140);
  assert.equal(heard.longestGapMs({ fromMs: 0, toMs: 500 }), 340);
  assert.equal(heard.longestGapMs({ fromMs: 200, toMs: 300 }), 100);
  assert.equal(heard.longestGapMs({ fromMs: 1_000 }), Number.POSITIVE_INFINITY);
});

test("a new stream goes on where the one before ended", () => {
  const first = numbers(5).map((at) => packet(at));
  const second = numbers(5).map((at) => packet(at, { ssrc: 2, timestamp: 77 + 160 * at, atMs: 100 + 20 * at }));
  const heard = listeningTo([...first, ...second]);
  assert.equal(heard.durationMs(), 200);
  assert.deepEqual(heard.ssrcs(), [1, 2]);
  assert.deepEqual(heard.losses(), { lost: 0, reordered: 0, duplicated: 0 });
  assert.equal(heard.durationMs({ fromMs: 100 }), 100);
});

test("a digit is one however often its end is said, and no audio", () => {
  const event = (duration: number, end: boolean) =>
    packet(0, { payloadType: 101, payload: writeTelephoneEvent({ event: 11, end, volume: 10, duration }) });
  const heard = listeningTo([
    event(160, false),
    event(320, false),
    event(480, true),
    event(480, true),
    event(480, true),
  ]);
  assert.deepEqual(heard.digits(101), [{ digit: "#", durationMs: 60, atMs: 0 }]);
  assert.equal(heard.durationMs(), 0);
});

test("no more is kept than allowed", () => {
  const listening = new Listening(100);
  for (const at of numbers(1_000)) listening.hear(packet(at));
  assert.ok(listening.packets.length <= 100);
  assert.equal(listening.forgotten + listening.packets.length, 1_000);
});
