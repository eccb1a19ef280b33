import assert from "node:assert/strict";
import { test } from "node:test";
import { requestOf, responseOf } from "../../test/messages.ts";
import { rowsOf, tableOf } from "../../test/table.ts";
import { ackForFailure } from "../message/build.ts";
import { type InviteClientInput, type InviteClientState, start, step } from "./invite-client.ts";
import { DEFAULT_TIMING } from "./timing.ts";

// RFC 3261 figure 5, RFC 6026 figure 3. A cell that is not listed keeps its state and does nothing.
const UDP = `
calling      + 180              -> proceeding   : stop A, stop B, deliver 180
calling      + 200              -> accepted     : stop A, stop B, start M 32000, deliver 200
calling      + 486              -> completed    : stop A, stop B, send ACK, start D 32000, deliver 486
calling      + timer A          -> calling      : send INVITE again, start A 1000
calling      + timer B          -> terminated   : stop A, failed timeout
calling      + broken           -> terminated   : stop A, stop B, failed transport
calling      + hush             -> calling      : stop A
proceeding   + 180              -> proceeding   : deliver 180
proceeding   + 200              -> accepted     : start M 32000, deliver 200
proceeding   + 486              -> completed    : send ACK, start D 32000, deliver 486
accepted     + 200              -> accepted     : deliver 200
accepted     + timer M          -> terminated   :
completed    + 486              -> completed    : send ACK again
completed    + timer D          -> terminated   :
completed    + broken           -> terminated   : stop D, failed transport
`;
const TCP_DIFFERS = `
calling      + 486              -> terminated   : stop A, stop B, send ACK, deliver 486
proceeding   + 486              -> terminated   : send ACK, deliver 486
`;

const invite = requestOf("INVITE");
const busy = responseOf(invite, 486);
const states: InviteClientState[] = [
  { name: "calling", invite, retransmitAfterMs: 500 },
  { name: "proceeding", invite },
  { name: "accepted" },
  { name: "completed", ack: ackForFailure(invite, busy) },
  { name: "terminated" },
];
const inputs: [string, InviteClientInput][] = [
  ...[180, 200, 486].map((status): [string, InviteClientInput] => [
    String(status),
    { kind: "response", response: responseOf(invite, status) },
  ]),
  ...(["A", "B", "D", "M"] as const).map((timer): [string, InviteClientInput] => [
    `timer ${timer}`,
    { kind: "timer", timer },
  ]),
  ["broken", { kind: "transport-failed" }],
  ["hush", { kind: "hush" }],
];
const table = (reliable: boolean) =>
  tableOf(states, inputs, (state, input) => step({ timing: DEFAULT_TIMING, reliable }, state, input));

test("the INVITE client transaction over UDP, on one page", () => {
  assert.deepEqual(table(false), rowsOf(UDP));
});

test("over TCP only a refusal differs: nothing lingers", () => {
  const udp = new Set(rowsOf(UDP));
  assert.deepEqual(
    table(true).filter((row) => !udp.has(row)),
    rowsOf(TCP_DIFFERS),
  );
});

test("it starts by sending; over TCP nothing is sent twice", () => {
  const effects = (reliable: boolean) =>
    start({ timing: DEFAULT_TIMING, reliable }, invite).effects.map((effect) =>
      effect.kind === "start-timer" ? `${effect.timer} ${effect.afterMs}` : effect.kind,
    );
  assert.deepEqual(effects(false), ["send", "A 500", "B 32000"]);
  assert.deepEqual(effects(true), ["send", "B 32000"]);
});

test("the ACK to a refusal is made of the INVITE, with the To of the refusal (RFC 3261 §17.1.1.3)", () => {
  const ack = ackForFailure(requestOf("INVITE", { headers: ["Route: <sip:p;lr>"] }), busy);
  assert.equal(ack.via.branch, invite.via.branch);
  assert.equal(ack.uri, invite.uri);
  assert.equal(ack.toTag, "b");
  assert.deepEqual(
    ack.headers.map(({ name, value }) => `${name}: ${value}`),
    [
      "Via: SIP/2.0/UDP 192.0.2.7:5060;branch=z9hG4bK-1",
      "Max-Forwards: 70",
      "Route: <sip:p;lr>",
      "From: <sip:alice@192.0.2.7>;tag=a",
      "To: <sip:bob@pop.example>;tag=b",
      "Call-ID: call-1",
      "CSeq: 1 ACK",
      "Content-Length: 0",
    ],
  );
});
