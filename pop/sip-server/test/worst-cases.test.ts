// The worst that a stranger can write, and what it costs: four times the bytes may cost about four times the work, never sixteen.

import assert from "node:assert/strict";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { SimWorld } from "../../../kernel/sim/world.ts";
import { FrameReader } from "../core/drachtio/frame.ts";
import { parseMessage } from "../core/message/parse.ts";
import { MessageStream } from "../core/message/stream.ts";
import { SimulatedHost } from "./simulated.ts";

const US = "10.0.0.2";
const PEER = "10.0.0.9";
const request = (lines: string, more: { via?: string; from?: string; to?: string; contact?: string } = {}): string =>
  `OPTIONS sip:x@${US} SIP/2.0\r\nVia: SIP/2.0/UDP ${PEER};branch=z9hG4bK1${more.via ?? ""}\r\nFrom: ${more.from ?? "<sip:a@b>;tag=1"}\r\nTo: ${more.to ?? `<sip:x@${US}>`}\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\nContact: ${more.contact ?? `<sip:a@${PEER}>`}\r\n${lines}Content-Length: 0\r\n\r\n`;
const times = (unit: string, bytes: number): string => unit.repeat(Math.floor(bytes / unit.length));

/** The least of several runs: what else the machine did at the time does not count. */
function costMs(run: () => void): number {
  let least = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 25; round++) {
    const from = performance.now();
    run();
    least = Math.min(least, performance.now() - from);
  }
  return least;
}

/** The whole server takes it, and gives it to the application or refuses it. */
function handled(text: string): () => void {
  const world = new SimWorld(1, { delayMs: 1 });
  const host = new SimulatedHost(world, US);
  host.application.say("route|options");
  const [point] = host.endpoint.points;
  assert.ok(point);
  const flow = { pointId: point.id, transport: "udp", address: PEER, port: 5060, connection: undefined } as const;
  let number = 0;
  return () => {
    const copy = text.replace("z9hG4bK1", `z9hG4bK${++number}`).replace("Call-ID: c", `Call-ID: c${number}`);
    host.endpoint.onMessage(copy, flow, point);
    const heard = host.application.heard.pop();
    if (heard !== undefined) host.application.respond(heard, 200);
    host.application.heard.length = 0;
    world.history.length = 0;
    assert.equal(host.endpoint.counters.total("internal_errors"), 0);
  };
}

/** One header has 16 KiB at most, all of them 64 KiB: the larger size is just below. */
const FLOODS: readonly (readonly [what: string, large: number, make: (bytes: number) => string])[] = [
  ["thousands of commas in Via", 16_000, (bytes) => request("", { via: times(", SIP/2.0/UDP h", bytes) })],
  ["nothing but commas in Contact", 16_000, (bytes) => request("", { contact: `<sip:a@b>${times(",", bytes)}` })],
  ["thousands of parameters in Via", 16_000, (bytes) => request("", { via: times(";a=b", bytes) })],
  ["empty parameters in Via", 16_000, (bytes) => request("", { via: times("; ", bytes) })],
  ["thousands of parameters in From", 16_000, (bytes) => request("", { from: `<sip:a@b>${times(";a", bytes)};tag=1` })],
  ["thousands of parameters in To", 16_000, (bytes) => request("", { to: `<sip:a@b>${times(";a=b", bytes)}` })],
  [
    "quotes in Contact parameters",
    16_000,
    (bytes) => request("", { contact: `<sip:a@b>${times(';a="x\\""', bytes)}` }),
  ],
  ["quotes that never close", 16_000, (bytes) => request("", { contact: `${times('"a" ', bytes)}"<sip:a@b>` })],
  ["escapes in a display name", 16_000, (bytes) => request("", { from: `"${times("\\\\", bytes)}" <sip:a@b>;tag=1` })],
  [
    "brackets in brackets",
    16_000,
    (bytes) => request("", { contact: `${times("<", bytes)}sip:a@b${times(">", bytes)}` }),
  ],
  ["comments in comments", 16_000, (bytes) => request(`Retry-After: 5 ${times("(", bytes)}x${times(")", 50)}\r\n`)],
  ["blanks before a colon", 16_000, (bytes) => request(`Subject${times(" ", bytes)}: x\r\n`)],
  ["blanks after a colon", 16_000, (bytes) => request(`Subject:${times(" ", bytes)}x\r\n`)],
  ["a header folded at every word", 16_000, (bytes) => request(`Subject: x${times("\r\n y", bytes)}\r\n`)],
  ["Require with thousands of tags", 16_000, (bytes) => request(`Require: ${times("100rel,", bytes)}timer\r\n`)],
  ["Supported with thousands of tags", 16_000, (bytes) => request(`k: ${times("a, ", bytes)}b\r\n`)],
  ["credentials without end", 16_000, (bytes) => request(`Authorization: Digest ${times('a="b",', bytes)}c=d\r\n`)],
  ["Replaces with thousands of parameters", 16_000, (bytes) => request(`Replaces: c${times(";to-tag=a", bytes)}\r\n`)],
  [
    "Via lines, as many as there may be",
    60_000,
    (bytes) => request(times(`Via: SIP/2.0/UDP ${"h".repeat(400)};branch=z9hG4bKx\r\n`, bytes)),
  ],
  [
    "Record-Route and Route lists",
    60_000,
    (bytes) => request(times(`Record-Route: ${"<sip:h;lr>,".repeat(60)}<sip:h>\r\n`, bytes)),
  ],
  ["a flood of headers", 60_000, (bytes) => request(times("a:b\r\n", bytes))],
  ["a flood of compact headers", 60_000, (bytes) => request(times("k:\r\n", bytes))],
  ["lines without names", 60_000, (bytes) => request(times(":x\r\n", bytes))],
  ["CRLFs before the start line", 60_000, (bytes) => times("\r\n", bytes) + request("")],
  [
    "a body of CRLFs",
    60_000,
    (bytes) => request("").replace("Content-Length: 0", `Content-Length: ${bytes}`) + "\r\n".repeat(bytes / 2),
  ],
  ["a Request-URI without end", 60_000, (bytes) => request("").replace("sip:x@", `sip:${times("x;y=z?", bytes)}@`)],
  ["no line end at all", 60_000, (bytes) => `OPTIONS ${times("x ", bytes)}`],
  ["one carriage return after another", 60_000, (bytes) => request(`X: ${times("\r", bytes)}\r\n`)],
];

for (const [what, large, make] of FLOODS)
  test(`linear: ${what}`, () => {
    const small = costMs(handled(make(large / 4)));
    const four = costMs(handled(make(large)));
    // Below a millisecond the fixed part of a message is most of it, and nobody cares.
    assert.ok(four < Math.max(1.5, 9 * small), `${small.toFixed(3)} ms → ${four.toFixed(3)} ms`);
  });

test("linear: a stream that comes byte by byte, headers and body", () => {
  const trickled = (text: string) => () => {
    const stream = new MessageStream(65_535);
    let messages = 0;
    for (const byte of text) {
      const taken = stream.take(byte);
      assert.ok(taken.ok);
      messages += taken.value.messages.length;
    }
    assert.equal(messages, 1);
  };
  const withHeaders = (bytes: number) => request(times("X: yyyyyyyyyyyy\r\n", bytes));
  const withBody = (bytes: number) =>
    request("").replace("Content-Length: 0", `Content-Length: ${bytes}`) + "x".repeat(bytes);
  for (const make of [withHeaders, withBody]) {
    const small = costMs(trickled(make(7_000)));
    const four = costMs(trickled(make(28_000)));
    assert.ok(four < Math.max(3, 9 * small), `${small.toFixed(3)} ms → ${four.toFixed(3)} ms`);
  }
});

test("linear: thousands of messages and pings in one segment", () => {
  const taken = (text: string) => () => {
    assert.ok(new MessageStream(65_535).take(text).ok);
  };
  for (const unit of [request(""), "\r\n\r\n", `\r\n${request("")}`]) {
    const small = costMs(taken(times(unit, 64_000)));
    const four = costMs(taken(times(unit, 256_000)));
    assert.ok(four < Math.max(3, 9 * small), `${small.toFixed(3)} ms → ${four.toFixed(3)} ms`);
  }
});

test("linear: an application's frame that comes in small pieces", () => {
  const read = (bytes: number) => () => {
    const reader = new FrameReader(1_048_576);
    const text = `${bytes}#${"x".repeat(bytes)}`;
    let frames = 0;
    for (let at = 0; at < text.length; at += 16) {
      const taken = reader.take(text.slice(at, at + 16));
      assert.ok(taken.ok);
      frames += taken.value.length;
    }
    assert.equal(frames, 1);
  };
  const small = costMs(read(200_000));
  const four = costMs(read(800_000));
  assert.ok(four < Math.max(5, 9 * small), `${small.toFixed(3)} ms → ${four.toFixed(3)} ms`);
});

test("64 KB datagrams: the largest there can be is read, one more octet is not", () => {
  const empty = request("").replace("Content-Length: 0", "Content-Length: 65000");
  const largest = empty + "x".repeat(65_535 - empty.length);
  const parsed = parseMessage(largest.replace("65000", String(65_535 - empty.length)));
  assert.ok(parsed.ok && parsed.value.body.length === 65_535 - empty.length);
  const larger = parseMessage(`${largest}x`);
  assert.ok(!larger.ok && larger.failure.fault === "too-large" && larger.failure.answer === undefined);
});

test("a hundred thousand connections with half a message each: less than a kilobyte beyond what was sent", () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const half = request("X: y\r\n").slice(0, -30);
  const arrived = Buffer.from(half, "latin1");
  const streams: MessageStream[] = [];
  collect();
  const before = process.memoryUsage().heapUsed;
  for (let at = 0; at < 100_000; at++) {
    const stream = new MessageStream(65_535);
    // Two pieces each, decoded anew as a socket's are.
    assert.ok(stream.take(arrived.toString("latin1", 0, 100)).ok);
    assert.ok(stream.take(arrived.toString("latin1", 100)).ok);
    streams.push(stream);
  }
  collect();
  const each = (process.memoryUsage().heapUsed - before) / streams.length;
  assert.equal(streams[99_999]?.waitingBytes, half.length);
  assert.ok(each < half.length + 1_024, `${Math.round(each)} bytes each, ${half.length} of them sent`);
});

test("half a message does not hold on to the whole segment it came with", () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const segment = Buffer.from(times(request(""), 60_000) + request("").slice(0, 40), "latin1");
  const streams: MessageStream[] = [];
  collect();
  const before = process.memoryUsage().heapUsed;
  for (let at = 0; at < 500; at++) {
    const stream = new MessageStream(65_535);
    assert.ok(stream.take(segment.toString("latin1")).ok);
    streams.push(stream);
  }
  collect();
  const each = (process.memoryUsage().heapUsed - before) / streams.length;
  assert.ok(each < 2_048, `${Math.round(each)} bytes each`);
});

test("NULs: an octet like others where the grammar has octets (a quoted pair, a body), refused in names, URIs and before the start line", () => {
  for (const text of [request("X\0: a\r\n"), request("").replace("sip:x@", "sip:x\0@"), `\0${request("")}`])
    assert.ok(!parseMessage(text).ok);
  const parsed = parseMessage(
    `${request("", { from: '"a\\\0b" <sip:a@b>;tag=1' }).replace("Content-Length: 0", "Content-Length: 5")}\0\0a\0\0`,
  );
  assert.ok(parsed.ok && parsed.value.body === "\0\0a\0\0" && parsed.value.fromTag === "1");
});

test("octets that are no UTF-8 arrive as they were sent, in headers and body", () => {
  const world = new SimWorld(1, { delayMs: 1 });
  const host = new SimulatedHost(world, US);
  host.application.say("route|options");
  const octets = Array.from({ length: 128 }, (_, at) => String.fromCharCode(128 + at)).join("");
  const sent = request(`Subject: ${octets}\r\nX: \xc3(\xed\xa0\x80\xfe\xff\r\n`).replace(
    "Content-Length: 0",
    `Content-Length: ${octets.length}`,
  );
  world.send(PEER, US, sent + octets);
  world.runFor(10);
  const [heard] = host.application.heard;
  assert.ok(heard);
  assert.ok(heard.text.includes(`\r\nSubject: ${octets}\r\nX: \xc3(\xed\xa0\x80\xfe\xff\r\n`));
  assert.ok(heard.text.endsWith(`\r\n\r\n${octets}`));
});

test("compact and folded forms mean what the long ones do", () => {
  const long = parseMessage(request("Supported: 100rel\r\nSubject: a b c\r\n"));
  const short = parseMessage(
    request("k: 100rel\r\ns:\r\n a\r\n\tb\r\n  c\r\n")
      .replace("Via:", "V :")
      .replace("From:", "f:")
      .replace("To:", "T:\r\n ")
      .replace("Call-ID:", "i:")
      .replace("Contact:", "m:")
      .replace("Content-Length:", "L  :"),
  );
  assert.ok(long.ok && short.ok);
  const meant = ({ headers }: typeof long.value) => headers.map(({ key, value }) => [key, value]);
  assert.deepEqual(meant(short.value), meant(long.value));
});
