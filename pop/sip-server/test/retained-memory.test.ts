// What stays of a message when it is over: not the 64 KB it came in.

import assert from "node:assert/strict";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { SimWorld } from "../../../kernel/sim/world.ts";
import { Endpoint } from "../app/endpoint.ts";
import { type Dialog, dialogOfUas } from "../core/dialog/dialog.ts";
import type { SipMessage, SipRequest } from "../core/message/message.ts";
import { parseMessage } from "../core/message/parse.ts";
import { MessageStream } from "../core/message/stream.ts";
import { WireTrace } from "../core/trace/wire-trace.ts";
import { simulatedParts } from "./simulated.ts";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;
function heapBytes(): number {
  collect();
  collect();
  return process.memoryUsage().heapUsed;
}
/** Fresh bytes, as they come from a socket. */
const fresh = (text: string): string => Buffer.from(text, "latin1").toString("latin1");

const COUNT = 500;
const LARGE = "x".repeat(60_000);
const flow = { pointId: "u", transport: "udp", address: "10.0.0.2", port: 5060, connection: undefined } as const;

function request(number: number, { body = "", behind = "", method = "INVITE" } = {}): string {
  const lines = [
    `${method} sip:somebody-with-a-name-${number}@10.0.0.1 SIP/2.0`,
    `Via: SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bK-large-message-${number}`,
    `From: <sip:caller-${number}@10.0.0.2>;tag=the-tag-of-caller-${number}`,
    "To: <sip:somebody@10.0.0.1>",
    `Call-ID: the-name-of-the-call-${number}`,
    `CSeq: 1 ${method}`,
    `Contact: <sip:caller-${number}@10.0.0.2:5060>`,
    `Record-Route: <sip:proxy-of-caller-${number}.example;lr>`,
    `Content-Length: ${body.length}`,
  ];
  return fresh(`${lines.join("\r\n")}\r\n\r\n${body}${behind}`);
}

function parsed(text: string): SipRequest {
  const message = parseMessage(text);
  if (!message.ok || message.value.kind !== "request") throw new Error("not a request");
  return message.value;
}

/** Bytes of heap for each of what `make` makes. */
function bytesEach(make: (number: number) => unknown): number {
  for (let number = 0; number < 50; number++) make(number);
  const before = heapBytes();
  const kept: unknown[] = [];
  for (let number = 0; number < COUNT; number++) kept.push(make(number));
  const each = (heapBytes() - before) / kept.length;
  return each;
}

test("a line of the trace keeps no message", () => {
  const trace = new WireTrace({ callIdsMax: COUNT, linesPerCallMax: 5 });
  const each = bytesEach((number) => {
    const message: SipMessage = parsed(request(number, { body: LARGE }));
    trace.note(message, "in", flow, { unixMs: 1, bytes: 1, retransmission: false });
  });
  assert.ok(each < 2_000, `${Math.round(each)} bytes`);
  assert.equal(trace.size, COUNT);
});

test("a dialog keeps no message", () => {
  const each = bytesEach((number): Dialog => {
    const message = parsed(request(number, { body: LARGE }));
    const dialog = dialogOfUas(message, { localTag: "ours", localContact: "<sip:us>", flow, party: "<sip:us>" });
    assert.ok(dialog.ok);
    return dialog.value;
  });
  assert.ok(each < 3_000, `${Math.round(each)} bytes`);
});

test("what stands behind a message, and what came in the same segment, is not kept with it", () => {
  const behind = bytesEach((number) => parsed(request(number, { behind: LARGE })));
  assert.ok(behind < 5_000, `${Math.round(behind)} bytes`);
  const segment = bytesEach((number) => {
    const stream = new MessageStream(65_535);
    const taken = stream.take(fresh(request(number) + request(number, { body: LARGE })));
    return taken.ok ? taken.value.messages[0] : undefined;
  });
  assert.ok(segment < 2_000, `${Math.round(segment)} bytes`);
});

test("requests under way are bounded in bytes as well: large ones get a stateless 503 before memory is gone", () => {
  const world = new SimWorld(1);
  const endpoint = new Endpoint(simulatedParts(world, "10.0.0.1", { transactionsMax: 100 }));
  const point = { id: "u", name: "tcp", transport: "tcp", address: "10.0.0.1", port: 5060, host: "10.0.0.1" } as const;
  const from = { ...flow, transport: "tcp" } as const; // over UDP a refusal keeps nothing
  const said: string[] = [];
  endpoint.addTransport({ point, send: (text) => said.push(text), stop: async () => {} });
  const bounded = () => endpoint.facts.transactions;
  for (let number = 0; number < 20; number++) endpoint.onMessage(request(number, { body: LARGE }), from, point);
  assert.equal(bounded(), 7); // 7 of 60 KB are more than 100 of 4 KiB
  assert.equal(said.filter((text) => text.startsWith("SIP/2.0 503 ")).length, 20);
  world.runFor(40_000);
  assert.equal(bounded(), 0);
  endpoint.onMessage(request(99, {}), from, point);
  assert.equal(bounded(), 1);
});
