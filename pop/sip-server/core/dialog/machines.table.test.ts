// The three small machines around an INVITE: our 2xx until its ACK, our reliable 1xx until its PRACK, our CANCEL.

import assert from "node:assert/strict";
import { test } from "node:test";
import { requestOf, responseOf } from "../../test/messages.ts";
import { rowsOf, tableOf } from "../../test/table.ts";
import { DEFAULT_TIMING } from "../transaction/timing.ts";
import * as accepted from "./accepted-invite.ts";
import * as cancellation from "./cancellation.ts";
import * as reliable from "./reliable-provisional.ts";

const invite = requestOf("INVITE");
const ok = responseOf(invite, 200);
const progress = responseOf(invite, 183);

test("our 2xx is repeated until its ACK, and given up after 64 T1 (RFC 3261 §13.3.1.4)", () => {
  const states: accepted.AcceptedInviteState[] = [
    { name: "waiting", response: ok, repeatAfterMs: 500 },
    { name: "acknowledged" },
    { name: "abandoned" },
    { name: "moot" },
  ];
  const inputs: [string, accepted.AcceptedInviteInput][] = [
    ["ACK", { kind: "ack" }],
    ["BYE", { kind: "over" }],
    ["timer repeat", { kind: "timer", timer: "repeat-2xx" }],
    ["timer await-ack", { kind: "timer", timer: "await-ack" }],
  ];
  assert.deepEqual(
    tableOf(states, inputs, (state, input) => accepted.step(DEFAULT_TIMING, state, input)),
    rowsOf(`
waiting      + ACK              -> acknowledged : stop repeat-2xx, stop await-ack, acknowledged
waiting      + BYE              -> moot         : stop repeat-2xx, stop await-ack
waiting      + timer repeat     -> waiting      : send-2xx 200, start repeat-2xx 1000
waiting      + timer await-ack  -> abandoned    : stop repeat-2xx, give-up
`),
  );
});

test("a reliable 1xx is repeated until its PRACK; the next one waits its turn (RFC 3262 §3)", () => {
  const states: reliable.ReliableState[] = [
    { name: "idle", rseq: 0 },
    { name: "waiting", rseq: 1, response: progress, repeatAfterMs: 500, queued: [] },
    { name: "waiting", rseq: 1, response: progress, repeatAfterMs: 500, queued: [responseOf(invite, 180)] },
    { name: "over" },
  ];
  const inputs: [string, reliable.ReliableInput][] = [
    ["say 183", { kind: "send", response: progress }],
    ["PRACK 1", { kind: "prack", rseq: 1 }],
    ["PRACK 7", { kind: "prack", rseq: 7 }],
    ["final", { kind: "over" }],
    ["timer repeat", { kind: "timer", timer: "repeat-1xx" }],
    ["timer prack", { kind: "timer", timer: "await-prack" }],
  ];
  assert.deepEqual(
    tableOf(states, inputs, (state, input) => reliable.step(DEFAULT_TIMING, state, input)),
    rowsOf(`
idle         + say 183          -> waiting      : send 183, start repeat-1xx 500, start await-prack 32000
idle         + final            -> over         :
waiting      + say 183          -> waiting      :
waiting      + PRACK 1          -> idle         : stop repeat-1xx, stop await-prack
waiting      + final            -> over         : stop repeat-1xx, stop await-prack
waiting      + timer repeat     -> waiting      : send 183 again, start repeat-1xx 1000
waiting      + timer prack      -> over         : stop repeat-1xx, give-up
waiting      + say 183          -> waiting      :
waiting      + PRACK 1          -> waiting      : stop repeat-1xx, stop await-prack, send 180, start repeat-1xx 500, start await-prack 32000
waiting      + final            -> over         : stop repeat-1xx, stop await-prack
waiting      + timer repeat     -> waiting      : send 183 again, start repeat-1xx 1000
waiting      + timer prack      -> over         : stop repeat-1xx, give-up
over         + final            -> over         :
`),
  );
});

test("a CANCEL waits for a provisional, and gives up after 64 T1 (RFC 3261 §9.1)", () => {
  const states: cancellation.CancellationState[] = [
    { name: "unasked", provisional: false },
    { name: "unasked", provisional: true },
    { name: "held", headers: [] },
    { name: "sent" },
    { name: "crossed" },
    { name: "over" },
  ];
  const inputs: [string, cancellation.CancellationInput][] = [
    ["asked", { kind: "asked", headers: [] }],
    ["180", { kind: "provisional" }],
    ["200", { kind: "final", success: true }],
    ["486", { kind: "final", success: false }],
    ["timer", { kind: "timer" }],
  ];
  assert.deepEqual(
    tableOf(states, inputs, (state, input) => cancellation.step(DEFAULT_TIMING, state, input)),
    rowsOf(`
unasked      + asked            -> held         :
unasked      + 180              -> unasked      :
unasked      + 200              -> over         :
unasked      + 486              -> over         :
unasked      + asked            -> sent         : send-cancel, start timer 32000
unasked      + 200              -> over         :
unasked      + 486              -> over         :
held         + 180              -> sent         : send-cancel, start timer 32000
held         + 200              -> crossed      :
held         + 486              -> over         :
sent         + 200              -> crossed      : stop timer
sent         + 486              -> over         : stop timer
sent         + timer            -> over         : give-up
`),
  );
});
