import assert from "node:assert/strict";
import { test } from "node:test";
import { requestOf } from "../../test/messages.ts";
import { WireTrace } from "./wire-trace.ts";

const flow = {
  pointId: "udp/127.0.0.1:5060",
  transport: "udp",
  address: "127.0.0.2",
  port: 5060,
  connection: undefined,
} as const;

test("a long call keeps its beginning and its last messages, in order", () => {
  const trace = new WireTrace({ callIdsMax: 10, linesPerCallMax: 7 });
  const invite = requestOf("INVITE");
  for (let unixMs = 1; unixMs <= 20; unixMs++)
    trace.note(invite, "in", flow, { unixMs, bytes: 1, retransmission: false });
  assert.deepEqual(
    trace.of(invite.callId)?.map(({ unixMs }) => unixMs),
    [1, 2, 3, 4, 18, 19, 20],
  );
});

test("one line per call: the first stays", () => {
  const trace = new WireTrace({ callIdsMax: 10, linesPerCallMax: 1 });
  const invite = requestOf("INVITE");
  for (const unixMs of [1, 2]) trace.note(invite, "in", flow, { unixMs, bytes: 1, retransmission: false });
  assert.deepEqual(
    trace.of(invite.callId)?.map(({ unixMs }) => unixMs),
    [1],
  );
});
