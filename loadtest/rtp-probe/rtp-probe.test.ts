import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, test } from "node:test";
import { readTelephoneEvent, sequenceStep } from "../../pop/core/media/rtp.ts";
import { readAudio } from "../../pop/core/media/sdp.ts";
import { toneSamples } from "../../pop/core/media/tone.ts";
import { RtpProbe } from "./rtp-probe.ts";

describe("two probes", () => {
  let one: RtpProbe;
  let other: RtpProbe;
  beforeEach(async () => {
    one = await RtpProbe.open();
    other = await RtpProbe.open({ codecs: ["PCMA"] });
  });
  afterEach(async () => {
    await one.close();
    await other.close();
  });

  test("agree on a codec by offer and answer, and hear each other", async () => {
    one.answered(other.answer(one.offer()));
    one.tone(500);
    other.tone(900);
    await one.until((heard) => heard.durationMs() >= 300);
    await other.until((heard) => heard.durationMs() >= 300);
    assert.ok(one.listening.toneShare(900) > 0.99);
    assert.ok(other.listening.toneShare(500) > 0.99);
    assert.deepEqual(other.listening.payloadTypes(), [8]);
    assert.deepEqual(one.listening.sources(), [`127.0.0.1:${other.address.port}`]);
  });

  test("a digit is sent as RFC 4733 wants it, in the midst of audio", async () => {
    one.answered(other.answer(one.offer()));
    one.tone(500);
    await other.until((heard) => heard.packets.length > 3);
    await one.press("5", 100);
    await other.until((heard) => heard.digits(101).length === 1 && heard.packets.at(-1)?.payloadType === 8);
    assert.deepEqual(
      other.listening.digits(101).map(({ digit, durationMs }) => [digit, durationMs]),
      [["5", 100]],
    );
    const packets = other.listening.packets;
    const events = packets.filter(({ payloadType }) => payloadType === 101);
    assert.deepEqual(
      events.map(({ payload }) => readTelephoneEvent(payload)?.duration),
      [160, 320, 480, 640, 800, 800, 800],
    );
    assert.deepEqual(
      events.map(({ payload }) => readTelephoneEvent(payload)?.end),
      [false, false, false, false, true, true, true],
    );
    assert.deepEqual(
      events.map(({ marker }) => marker),
      [true, false, false, false, false, false, false],
    );
    assert.equal(new Set(events.map(({ timestamp }) => timestamp)).size, 1);
    for (const [at, packet] of packets.entries())
      if (at > 0) assert.equal(sequenceStep(packets[at - 1]?.sequence ?? 0, packet.sequence), 1);
    const after = packets[packets.indexOf(events.at(-1) as (typeof packets)[number]) + 1];
    assert.equal(after?.timestamp, ((events[0]?.timestamp ?? 0) + 800) >>> 0);
  });

  test("audio that is played once is found on the other side", async () => {
    one.answered(other.answer(one.offer()));
    const chirp = toneSamples(300, 600).map((sample, at) => sample * Math.sin((at / 1_000) ** 2));
    await one.play(chirp);
    await other.until((heard) => heard.durationMs() >= 640);
    assert.ok(other.listening.likeness(chirp).score > 0.98);
  });

  test("says so when there is nothing in common", async () => {
    const onlyPcmu = await RtpProbe.open({ codecs: ["PCMU"], dtmfPayloadType: null });
    try {
      assert.throws(() => onlyPcmu.answer(other.offer()), /no codec of PCMU/);
      await assert.rejects(onlyPcmu.press("1"), /no telephone events/);
      await assert.rejects(
        onlyPcmu.until(() => false, 30, "a miracle"),
        /a miracle: not within 30 ms/,
      );
      const read = readAudio(onlyPcmu.offer());
      assert.ok(read.ok && read.value.dtmfPayloadType === undefined);
    } finally {
      await onlyPcmu.close();
    }
  });
});
