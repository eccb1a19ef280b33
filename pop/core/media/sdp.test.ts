import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import {
  answerDirection,
  firstG711,
  PCMA,
  PCMU,
  readAudio,
  refuseOtherStreams,
  SDP_CHARACTERS_MAX,
  type SdpToWrite,
  withOrigin,
  writeAudio,
} from "./sdp.ts";

const lines = (...text: string[]) => `${text.join("\r\n")}\r\n`;
const CARRIER = lines(
  "v=0",
  "o=carrier 53655765 2353687637 IN IP4 192.0.2.10",
  "s=-",
  "c=IN IP4 192.0.2.10",
  "t=0 0",
  "m=audio 6000 RTP/AVP 18 8 0 101",
  "a=rtpmap:18 G729/8000",
  "a=fmtp:18 annexb=no",
  "a=rtpmap:101 telephone-event/8000",
  "a=fmtp:101 0-16",
  "a=ptime:20",
);

describe("SDP as values", () => {
  test("keys of SRTP are read, bounded, and written back", () => {
    const keys = "1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20";
    const sdp = writeAudio({
      address: { host: "127.0.0.1", port: 4_000 },
      codecs: [PCMU],
      transport: "RTP/SAVP",
      crypto: [keys],
    });
    const read = readAudio(sdp);
    assert.ok(read.ok);
    assert.deepEqual([read.value.transport, read.value.crypto], ["RTP/SAVP", [keys]]);
    const flooded = readAudio(
      `${sdp}${`a=crypto:${keys}\r\n`.repeat(100)}a=crypto:2 X inline:${"x".repeat(10_000)}\r\n`,
    );
    assert.ok(flooded.ok && flooded.value.crypto?.length === 16);
    const plain = readAudio(writeAudio({ address: { host: "127.0.0.1", port: 4_000 }, codecs: [PCMU] }));
    assert.ok(plain.ok && plain.value.crypto === undefined);
  });

  test("a carrier's offer is read", () => {
    const read = readAudio(CARRIER);
    assert.ok(read.ok);
    assert.deepEqual(read.value, {
      address: { host: "192.0.2.10", port: 6000 },
      transport: "RTP/AVP",
      codecs: [{ payloadType: 18, name: "G729", clockHz: 8000, parameters: "annexb=no" }, PCMA, PCMU],
      dtmfPayloadType: 101,
      direction: "sendrecv",
      packetMs: 20,
    });
    assert.deepEqual(firstG711(read.value.codecs), PCMA);
  });

  test("the stream's own address and direction come before the session's", () => {
    const read = readAudio(
      lines("v=0", "c=IN IP4 192.0.2.1", "a=sendonly", "m=audio 4000 RTP/AVP 0", "c=IN IP4 192.0.2.2", "a=recvonly"),
    );
    assert.ok(read.ok);
    assert.deepEqual(read.value.address, { host: "192.0.2.2", port: 4000 });
    assert.equal(read.value.direction, "recvonly");
  });

  test("the first audio stream counts, whatever stands before and after it", () => {
    const read = readAudio(
      lines(
        "v=0",
        "c=IN IP4 192.0.2.1",
        "m=video 5000 RTP/AVP 96",
        "c=IN IP4 192.0.2.9",
        "a=rtpmap:96 H264/90000",
        "a=inactive",
        "m=audio 4000 RTP/AVP 96",
        "a=rtpmap:96 pcmu/8000",
        "m=audio 4002 RTP/AVP 8",
        "a=sendonly",
      ),
    );
    assert.ok(read.ok);
    assert.deepEqual(read.value.address, { host: "192.0.2.1", port: 4000 });
    assert.equal(read.value.direction, "sendrecv");
    assert.deepEqual(firstG711(read.value.codecs), { payloadType: 96, name: "PCMU", clockHz: 8000 });
  });

  test("hold by address 0.0.0.0 is heard as inactive", () => {
    const read = readAudio(lines("v=0", "c=IN IP4 0.0.0.0", "m=audio 4000 RTP/AVP 0"));
    assert.ok(read.ok && read.value.direction === "inactive");
  });

  test("what cannot be used says why", () => {
    const because = (sdp: string) => {
      const read = readAudio(sdp);
      return read.ok ? "read" : read.failure.detail;
    };
    assert.equal(because(""), "no audio stream");
    assert.equal(because("m=audio 4000 RTP/AVP 0"), "no address of the audio stream");
    assert.equal(because("c=IN IP4 example.com\nm=audio 4000 RTP/AVP 0"), "no address of the audio stream");
    assert.equal(because("c=IN IP4 1.2.3.400\nm=audio 4000 RTP/AVP 0"), "no address of the audio stream");
    assert.equal(because("m=audio 70000 RTP/AVP 0"), "audio port is not a number up to 65535");
    assert.equal(because("m=audio -1 RTP/AVP 0"), "audio port is not a number up to 65535");
    assert.equal(because("m=audio 4000"), "audio stream without a transport");
    assert.equal(because(`v=${"0".repeat(SDP_CHARACTERS_MAX)}`), "longer than 32768 characters");
    assert.equal(because("\n".repeat(1_000)), "more than 1000 lines");
  });

  test("streams other than the audio are refused in their places", () => {
    const offer = lines("v=0", "m=video 5000 RTP/AVP 96", "m=audio 4000 RTP/AVP 0", "m=image 6000 udptl t38");
    const answer = lines("v=0", "t=0 0", "m=audio 30000 RTP/AVP 0", "a=sendrecv");
    assert.equal(
      refuseOtherStreams(answer, offer),
      lines("v=0", "t=0 0", "m=video 0 RTP/AVP 96", "m=audio 30000 RTP/AVP 0", "a=sendrecv", "m=image 0 udptl t38"),
    );
    assert.equal(refuseOtherStreams(answer, lines("m=audio 1 RTP/AVP 0")), answer);
  });

  test("an origin is ours, whoever's text it came with", () => {
    const text = lines("v=0", "o=phone 1 2 IN IP4 192.0.2.1", "s=Anna's phone", "t=0 0");
    assert.equal(withOrigin(text, 7, 3), lines("v=0", "o=- 7 3 IN IP4 192.0.2.1", "s=-", "t=0 0"));
  });

  test("answers mirror directions", () => {
    assert.deepEqual((["sendrecv", "sendonly", "recvonly", "inactive"] as const).map(answerDirection), [
      "sendrecv",
      "recvonly",
      "sendonly",
      "inactive",
    ]);
  });
});

test("property: what we write we read again", () => {
  const anyAudio: fc.Arbitrary<SdpToWrite> = fc.record(
    {
      address: fc.record({
        host: fc.oneof(fc.ipV4(), fc.constant("2001:db8::1")),
        port: fc.integer({ min: 0, max: 65_535 }),
      }),
      codecs: fc.constantFrom(
        [PCMU],
        [PCMA],
        [PCMA, PCMU],
        [{ payloadType: 97, name: "OPUS", clockHz: 48_000, parameters: "useinbandfec=1" }, PCMU],
      ),
      dtmfPayloadType: fc.constantFrom(96, 101, 127),
      direction: fc.constantFrom("sendrecv" as const, "sendonly" as const, "recvonly" as const, "inactive" as const),
      packetMs: fc.constantFrom(20, 30),
    },
    { requiredKeys: ["address", "codecs", "direction", "packetMs"], noNullPrototype: true },
  );
  fc.assert(
    fc.property(anyAudio, (audio) => {
      const read = readAudio(writeAudio(audio));
      assert.ok(read.ok);
      assert.deepEqual(read.value, { ...audio, address: { ...audio.address }, transport: "RTP/AVP" });
    }),
  );
});

test("property: no text makes reading throw, and ports and types stay in their range", () => {
  const anyLine = fc.oneof(
    fc.string(),
    fc.constantFrom(
      "c=IN IP4 1.2.3.4",
      "m=audio 1 RTP/AVP 0 8 101",
      "a=rtpmap:101 telephone-event/8000",
      "m=audio",
      "a=sendonly",
    ),
  );
  fc.assert(
    fc.property(fc.array(anyLine), fc.constantFrom("\r\n", "\n"), (text, end) => {
      const read = readAudio(text.join(end));
      if (!read.ok) return;
      assert.ok(read.value.address.port >= 0 && read.value.address.port <= 65_535);
      for (const { payloadType } of read.value.codecs) assert.ok(payloadType >= 0 && payloadType <= 127);
    }),
  );
});
