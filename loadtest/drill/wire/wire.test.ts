import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { gapAround } from "./media-gaps.ts";
import { readPcap, TCP_SYN, type WirePacket } from "./pcap.ts";
import { judgeSetUps } from "./set-ups.ts";
import { readSip } from "./sip-on-wire.ts";
import { unaskedMessages } from "./unasked.ts";

const US = { host: "127.10.1.11", port: 5060 };
const CARRIER = { host: "127.20.0.10", port: 5060 };

interface Sip {
  readonly start: string;
  readonly callId?: string;
  readonly cseq?: string;
  readonly toTag?: string;
  readonly body?: string;
}
const sip = ({ start, callId = "one", cseq = "1 INVITE", toTag = "b", body = "" }: Sip): Buffer =>
  Buffer.from(
    [
      start,
      "Via: SIP/2.0/UDP 127.20.0.10:5060;branch=z9hG4bKx",
      "From: <sip:a@127.20.0.10>;tag=a",
      `To: <sip:b@127.10.1.11>${toTag === "" ? "" : `;tag=${toTag}`}`,
      `Call-ID: ${callId}`,
      `CSeq: ${cseq}`,
      "Max-Forwards: 70",
      `Content-Length: ${body.length}`,
      "",
      body,
    ].join("\r\n"),
  );

const datagram = (atMs: number, from: typeof US, to: typeof US, payload: Buffer): WirePacket => ({
  atMs,
  protocol: "udp",
  from,
  to,
  payload,
  sequence: 0,
  flags: 0,
});

/** A capture file as tcpdump writes it: Ethernet, microseconds. */
function pcapOf(packets: readonly { readonly atMs: number; readonly payload: Buffer }[]): Buffer {
  const header = Buffer.alloc(24);
  header.writeUInt32LE(0xa1b2c3d4, 0);
  header.writeUInt32LE(1, 20);
  return Buffer.concat([
    header,
    ...packets.map(({ atMs, payload }) => {
      const frame = Buffer.alloc(14 + 20 + 8);
      frame.writeUInt16BE(0x0800, 12);
      frame[14] = 0x45;
      frame.writeUInt16BE(28 + payload.length, 16);
      frame[14 + 9] = 17;
      Buffer.from([127, 10, 1, 11]).copy(frame, 14 + 12);
      Buffer.from([127, 20, 0, 10]).copy(frame, 14 + 16);
      frame.writeUInt16BE(5060, 34);
      frame.writeUInt16BE(5061, 36);
      frame.writeUInt16BE(8 + payload.length, 38);
      const record = Buffer.alloc(16);
      record.writeUInt32LE(Math.floor(atMs / 1_000), 0);
      record.writeUInt32LE(Math.round((atMs % 1_000) * 1_000), 4);
      record.writeUInt32LE(frame.length + payload.length, 8);
      record.writeUInt32LE(frame.length + payload.length, 12);
      return Buffer.concat([record, frame, payload]);
    }),
  ]);
}

describe("a capture", () => {
  const file = pcapOf([
    { atMs: 1_000.25, payload: Buffer.from("first") },
    { atMs: 2_000, payload: Buffer.from("second") },
  ]);

  test("is read packet by packet, with the kernel's time", () => {
    const packets = [...readPcap(file)];
    assert.deepEqual(
      packets.map(({ atMs, from, to, payload }) => [atMs, from.host, from.port, to.host, to.port, payload.toString()]),
      [
        [1_000.25, "127.10.1.11", 5060, "127.20.0.10", 5061, "first"],
        [2_000, "127.10.1.11", 5060, "127.20.0.10", 5061, "second"],
      ],
    );
  });

  test("that ends in mid-packet ends there", () => {
    assert.equal([...readPcap(file.subarray(0, file.length - 3))].length, 1);
    assert.equal([...readPcap(file.subarray(0, 10))].length, 0);
  });

  test("of something else is refused", () => {
    assert.throws(() => [...readPcap(Buffer.alloc(64, 1))], /not a capture/);
  });
});

describe("SIP on the wire", () => {
  test("over TCP: messages cut anywhere and segments out of order are put together", () => {
    const text = Buffer.concat([
      sip({ start: "BYE sip:b@x SIP/2.0", cseq: "2 BYE" }),
      sip({ start: "SIP/2.0 200 OK", cseq: "2 BYE" }),
    ]);
    const segment = (sequence: number, from: number, to: number, flags = 0): WirePacket => ({
      ...datagram(1_000 + from, US, CARRIER, text.subarray(from, to)),
      protocol: "tcp",
      sequence,
      flags,
    });
    const base = 0xffffff00; // the numbers wrap in mid-stream
    const at = (offset: number) => (base + offset) >>> 0;
    const { messages, unread } = readSip([
      { ...segment(at(-1), 0, 0, TCP_SYN) },
      segment(at(0), 0, 100),
      segment(at(300), 300, text.length),
      segment(at(100), 100, 300),
      segment(at(100), 100, 300), // sent twice
    ]);
    assert.deepEqual(
      messages.map(({ message }) => (message.kind === "request" ? message.method : message.status)),
      ["BYE", 200],
    );
    assert.equal(unread, 0);
  });

  test("what is no SIP is counted, a keep-alive is not", () => {
    const { messages, unread } = readSip([
      datagram(1, US, CARRIER, Buffer.from("\r\n\r\n")),
      datagram(2, US, CARRIER, Buffer.from([22, 3, 1, 0, 5, 1, 2, 3])),
    ]);
    assert.deepEqual([messages.length, unread], [0, 1]);
  });
});

describe("messages that nobody caused", () => {
  const calls = [
    { id: "c1", className: "bridged", sipCallIds: ["one"], touchedAtMs: undefined },
    { id: "c2", className: "bridged", sipCallIds: ["two"], touchedAtMs: 1_500 },
  ];
  const judged = (packets: readonly WirePacket[]) =>
    unaskedMessages(readSip(packets).messages, calls, new Set([US.host]), 1_000, 5_000);

  test("are those of ours between the fault and the first word of a party", () => {
    const bye = sip({ start: "BYE sip:b@x SIP/2.0", cseq: "2 BYE" });
    const { messages, strange } = judged([
      datagram(999, US, CARRIER, bye),
      datagram(1_100, CARRIER, US, bye),
      datagram(1_200, US, CARRIER, bye),
      datagram(1_300, US, CARRIER, sip({ start: "BYE sip:b@x SIP/2.0", cseq: "2 BYE", callId: "two" })),
      datagram(1_600, US, CARRIER, sip({ start: "SIP/2.0 200 OK", cseq: "2 UPDATE", callId: "two" })),
      datagram(1_700, US, CARRIER, sip({ start: "OPTIONS sip:b@x SIP/2.0", cseq: "2 OPTIONS", callId: "other" })),
      datagram(5_001, US, CARRIER, bye),
    ]);
    assert.deepEqual(
      messages.map(({ callId, afterMs, summary }) => [callId, afterMs, summary]),
      [
        ["c1", 200, "BYE (in dialog)"],
        ["c2", 300, "BYE (in dialog)"],
      ],
    );
    assert.equal(strange, 1);
  });

  test("a re-INVITE with a session is a leg anchored anew, its ACK a part of it", () => {
    const { messages, reanchored } = judged([
      datagram(1_100, US, CARRIER, sip({ start: "INVITE sip:b@x SIP/2.0", cseq: "7 INVITE", body: "v=0\r\n" })),
      datagram(1_150, US, CARRIER, sip({ start: "ACK sip:b@x SIP/2.0", cseq: "7 ACK" })),
      datagram(1_200, US, CARRIER, sip({ start: "INVITE sip:b@x SIP/2.0", cseq: "8 INVITE" })),
    ]);
    assert.deepEqual([reanchored.length, messages.length], [1, 1]);
  });
});

describe("the gap of a stream", () => {
  const every20 = (fromMs: number, toMs: number) =>
    Array.from({ length: Math.ceil((toMs - fromMs) / 20) }, (_, at) => fromMs + at * 20);

  test("is the longest time without a packet from the fault on", () => {
    const times = [...every20(0, 1_990), ...every20(2_210, 5_000)];
    const gap = gapAround(times, 2_000, 5_000);
    assert.deepEqual([gap.gapMs, gap.backAfterMs, gap.before], [230, 210, 50]);
  });

  test("is endless when nothing came back", () => {
    assert.equal(gapAround(every20(0, 2_000), 2_000, 5_000).gapMs, Number.POSITIVE_INFINITY);
  });

  test("before the fault does not count", () => {
    const times = [...every20(0, 500), ...every20(1_500, 5_000)];
    assert.equal(gapAround(times, 2_000, 5_000).gapMs, 20);
  });

  test("is endless also for a stream that came back for a moment only", () => {
    const times = [...every20(0, 2_000), ...every20(2_200, 2_400)];
    assert.equal(gapAround(times, 2_000, 5_000).gapMs, Number.POSITIVE_INFINITY);
  });
});

describe("new calls", () => {
  const invite = (callId: string) => sip({ start: "INVITE sip:b@x SIP/2.0", callId, toTag: "" });
  const answer = (callId: string, status: number) => sip({ start: `SIP/2.0 ${status} So`, callId });

  test("under way at the fault are told apart from those that failed for another reason", () => {
    const setUps = judgeSetUps(
      readSip([
        datagram(100, CARRIER, US, invite("done")),
        datagram(150, US, CARRIER, answer("done", 200)),
        datagram(990, CARRIER, US, invite("rescued")),
        datagram(1_100, CARRIER, US, invite("lost")),
        datagram(1_490, CARRIER, US, invite("rescued")),
        datagram(1_500, US, CARRIER, answer("rescued", 200)),
        datagram(2_000, CARRIER, US, invite("later")),
        datagram(2_010, US, CARRIER, answer("later", 503)),
      ]).messages,
      new Set([CARRIER.host]),
      1_000,
    );
    assert.deepEqual(setUps.inFlight, { calls: 2, answered: 1, rescued: 1, failed: 1 });
    assert.deepEqual([setUps.offered, setUps.answered, setUps.failedElsewhere], [4, 2, 1]);
    assert.deepEqual(setUps.failed, { silence: 1, "503": 1 });
  });
});
