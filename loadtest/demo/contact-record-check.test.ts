import assert from "node:assert/strict";
import { test } from "node:test";
import { mistakesOf } from "./contact-record-check.ts";

const T = 1_800_000_000_000;
const segment = (kind: string, fromMs: number, toMs: number, more: object = {}) => ({
  kind,
  startedAtUnixMs: T + fromMs,
  endedAtUnixMs: T + toMs,
  queueId: "",
  agentId: "",
  outcome: "ended",
  ...more,
});

const RECORD = {
  contactId: "c1",
  tenantId: "acme",
  regionId: "eu",
  popId: "fra-01",
  hostId: "fra-01-a",
  trunkId: "carrier-one",
  entryPointId: "support-line",
  flowId: "support",
  flowVersion: 1,
  callingNumber: "+4930111",
  calledNumber: "+498912345678",
  arrivedAtUnixMs: T,
  answeredAtUnixMs: T + 10,
  endedAtUnixMs: T + 900,
  endedBy: "agent",
  endCode: "normal",
  segments: [segment("flow", 10, 300), segment("queue", 300, 500, { queueId: "support" })],
  media: [{ leg: "caller", localAddress: "127.10.1.11:30000", remoteAddress: "127.20.0.1:6000", codec: "PCMU" }],
};

test("a complete record has no mistakes", () => {
  assert.deepEqual(mistakesOf(RECORD, ["flow", "queue"]), []);
});

test("every mistake is listed", () => {
  const wrong = {
    ...RECORD,
    trunkId: "",
    endedAtUnixMs: T + 400,
    segments: [segment("flow", 10, 300), segment("queue", 5, 500)],
  };
  assert.deepEqual(mistakesOf(wrong, ["flow", "queue", "agent"]), [
    "trunkId is empty",
    "segment queue outlives the call",
    "segment queue begins before the one in front of it is over",
    "segments are flow → queue, not flow → queue → agent",
    "the queue segment names no queue",
  ]);
  assert.ok(mistakesOf({ ...RECORD, media: undefined }, [])[0]?.startsWith("media"));
});
