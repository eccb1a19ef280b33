import assert from "node:assert/strict";
import { test } from "node:test";
import { requestOf, responseOf } from "../../test/messages.ts";
import { rowsOf, tableOf } from "../../test/table.ts";
import { type InviteServerInput, type InviteServerState, step } from "./invite-server.ts";
import { DEFAULT_TIMING } from "./timing.ts";

// RFC 3261 figure 7, RFC 6026 figure 4.
const UDP = `
proceeding   + INVITE           -> proceeding   : send 100 again
proceeding   + say 180          -> proceeding   : send 180
proceeding   + say 200          -> accepted     : send 200, start L 32000
proceeding   + say 486          -> completed    : send 486, start G 500, start H 32000
proceeding   + broken           -> terminated   : failed transport
accepted     + ACK              -> accepted     : deliver-ack
accepted     + say 200          -> accepted     : send 200 again
accepted     + timer L          -> terminated   :
completed    + INVITE           -> completed    : send 486 again
completed    + ACK              -> confirmed    : stop G, stop H, start I 5000
completed    + timer G          -> completed    : send 486 again, start G 1000
completed    + timer H          -> terminated   : stop G, failed timeout
completed    + broken           -> terminated   : stop G, stop H, failed transport
confirmed    + timer I          -> terminated   :
`;
const TCP_DIFFERS = `
proceeding   + say 486          -> completed    : send 486, start H 32000
completed    + ACK              -> terminated   : stop G, stop H
`;

const invite = requestOf("INVITE");
const states: InviteServerState[] = [
  { name: "proceeding", last: responseOf(invite, 100) },
  { name: "accepted" },
  { name: "completed", last: responseOf(invite, 486), retransmitAfterMs: 500 },
  { name: "confirmed" },
  { name: "terminated" },
];
const inputs: [string, InviteServerInput][] = [
  ["INVITE", { kind: "request" }],
  ["ACK", { kind: "ack", ack: requestOf("ACK") }],
  ...[180, 200, 486].map((status): [string, InviteServerInput] => [
    `say ${status}`,
    { kind: "respond", response: responseOf(invite, status) },
  ]),
  ...(["G", "H", "I", "L"] as const).map((timer): [string, InviteServerInput] => [
    `timer ${timer}`,
    { kind: "timer", timer },
  ]),
  ["broken", { kind: "transport-failed" }],
];
const table = (reliable: boolean) =>
  tableOf(states, inputs, (state, input) => step({ timing: DEFAULT_TIMING, reliable }, state, input));

test("the INVITE server transaction over UDP, on one page", () => {
  assert.deepEqual(table(false), rowsOf(UDP));
});

test("over TCP a refusal is said once and nothing lingers after its ACK", () => {
  const udp = new Set(rowsOf(UDP));
  assert.deepEqual(
    table(true).filter((row) => !udp.has(row)),
    rowsOf(TCP_DIFFERS),
  );
});

test("the wait between copies of a refusal doubles up to T2", () => {
  let state: InviteServerState = { name: "completed", last: responseOf(invite, 486), retransmitAfterMs: 500 };
  const waits: number[] = [];
  for (let copy = 0; copy < 5; copy++) {
    const next = step({ timing: DEFAULT_TIMING, reliable: false }, state, { kind: "timer", timer: "G" });
    state = next.state;
    for (const effect of next.effects) if (effect.kind === "start-timer") waits.push(effect.afterMs);
  }
  assert.deepEqual(waits, [1_000, 2_000, 4_000, 4_000, 4_000]);
});
