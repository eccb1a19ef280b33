import assert from "node:assert/strict";
import { test } from "node:test";
import { requestOf, responseOf } from "../../test/messages.ts";
import { rowsOf, tableOf } from "../../test/table.ts";
import { type NonInviteServerInput, type NonInviteServerState, step } from "./non-invite-server.ts";
import { DEFAULT_TIMING } from "./timing.ts";

// RFC 3261 figure 8.
const UDP = `
trying       + say 180          -> proceeding   : send 180
trying       + say 200          -> completed    : send 200, start J 32000
trying       + broken           -> terminated   : failed transport
proceeding   + request          -> proceeding   : send 180 again
proceeding   + say 180          -> proceeding   : send 180
proceeding   + say 200          -> completed    : send 200, start J 32000
proceeding   + broken           -> terminated   : failed transport
completed    + request          -> completed    : send 200 again
completed    + timer J          -> terminated   :
completed    + broken           -> terminated   : stop J, failed transport
`;

const request = requestOf("INFO");
const states: NonInviteServerState[] = [
  { name: "trying" },
  { name: "proceeding", last: responseOf(request, 180) },
  { name: "completed", last: responseOf(request, 200) },
  { name: "terminated" },
];
const inputs: [string, NonInviteServerInput][] = [
  ["request", { kind: "request" }],
  ...[180, 200].map((status): [string, NonInviteServerInput] => [
    `say ${status}`,
    { kind: "respond", response: responseOf(request, status) },
  ]),
  ["timer J", { kind: "timer", timer: "J" }],
  ["ACK", { kind: "ack" }],
  ["broken", { kind: "transport-failed" }],
];

test("the non-INVITE server transaction over UDP, on one page", () => {
  const rows = tableOf(states, inputs, (state, input) =>
    step({ timing: DEFAULT_TIMING, reliable: false }, state, input),
  );
  assert.deepEqual(rows, rowsOf(UDP));
});

test("over TCP the final response ends it at once", () => {
  const next = step(
    { timing: DEFAULT_TIMING, reliable: true },
    { name: "trying" },
    {
      kind: "respond",
      response: responseOf(request, 200),
    },
  );
  assert.equal(next.state.name, "terminated");
});
