import assert from "node:assert/strict";
import { test } from "node:test";
import { type CallTrace, ContactSchema, PopTraceSchema } from "./call-trace.ts";
import { showCallTrace } from "./ladder.ts";

const T = 1_800_000_000_000;
const CARRIER = "127.20.0.1:5060";
const AGENT = "127.30.0.1:5060";
const sip = (afterMs: number, direction: "in" | "out", peer: string, start: string, more: object = {}) => ({
  unixMs: T + afterMs,
  direction,
  peer,
  local: "127.10.1.11:5060",
  start,
  cseq: "1",
  body: false,
  retransmission: false,
  sipCallId: peer === CARRIER ? "a@carrier" : "b@pop",
  ...more,
});

const TRACE: CallTrace = {
  callId: "c1",
  hostId: "fra-01-a",
  pop: PopTraceSchema.parse({
    callId: "c1",
    legs: [
      { leg: "caller", sipCallId: "a@carrier", role: "uas" },
      { leg: "c1.1", sipCallId: "b@pop", role: "uac" },
    ],
    sip: [
      sip(0, "in", CARRIER, "INVITE sip:+49@127.10.1.11", { body: true }),
      sip(4, "out", CARRIER, "200 OK"),
      sip(504, "out", CARRIER, "200 OK", { retransmission: true }),
      sip(510, "in", CARRIER, "ACK"),
      sip(3_000, "out", AGENT, "INVITE"),
      sip(3_010, "in", AGENT, "486 Busy Here"),
      sip(9_000, "in", CARRIER, "BYE"),
    ],
    journal: [
      { atUnixMs: T + 6, kind: "flow", what: "welcome: play greeting" },
      { atUnixMs: T + 2_000, kind: "flow", what: "menu → sales", why: "digit 1" },
    ],
    media: [
      { leg: "caller", local: "127.10.1.11:30000", remote: "127.20.0.1:6000", codec: "PCMU" },
      { leg: "agent", local: "127.10.1.11:30004", remote: "127.30.0.1:6000", codec: "PCMU" },
    ],
  }),
  contact: ContactSchema.parse({
    record: {
      contactId: "c1",
      endCode: "abandoned",
      arrivedAtUnixMs: T,
      segments: [{ kind: "queue", startedAtUnixMs: T + 2_000, endedAtUnixMs: T + 9_001, outcome: "abandoned" }],
    },
    decisions: [{ atMs: T + 2_999, what: "offered to ada", why: "longest available", shard: 1 }],
  }),
};

test("a call as a ladder: parties in columns, reasons in between, media and record below", () => {
  assert.equal(
    `\n${showCallTrace(TRACE)}\n`,
    `
call c1 on fra-01-a, from 2027-01-15T08:00:00.000Z

     ms
                   caller                                               agent
               127.20.0.1:5060              fra-01-a               127.30.0.1:5060
      0               |----- INVITE (SDP) ----->|                         |
      4               |<-------- 200 OK --------|                         |
      6    flow    welcome: play greeting
    504               |<---- 200 OK (again) ----|                         |
    510               |--------- ACK ---------->|                         |
   2000    flow    menu → sales   (digit 1)
   2999    routing offered to ada   (longest available)
   3000               |                         |-------- INVITE -------->|
   3010               |                         |<---- 486 Busy Here -----|
   9000               |--------- BYE ---------->|                         |

media
  caller   ours 127.10.1.11:30000     theirs 127.20.0.1:6000       PCMU
  agent    ours 127.10.1.11:30004     theirs 127.30.0.1:6000       PCMU

contact record
  contactId        c1
  endCode          abandoned
  arrivedAtUnixMs  2027-01-15T08:00:00.000Z
  segments
    2.000 s … 9.001 s  kind=queue outcome=abandoned
`,
  );
});

test("with the control plane away there is still the POP's half, and the other way round", () => {
  const half = showCallTrace({ ...TRACE, contact: undefined });
  assert.match(half, /menu → sales/);
  assert.doesNotMatch(half, /contact record/);
  const other = showCallTrace({ callId: "c1", hostId: undefined, pop: undefined, contact: TRACE.contact });
  assert.match(other, /offered to ada/);
  assert.match(other, /contact record/);
});
