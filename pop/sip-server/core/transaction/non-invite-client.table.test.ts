import assert from "node:assert/strict";
import { test } from "node:test";
import { requestOf, responseOf } from "../../test/messages.ts";
import { rowsOf, tableOf } from "../../test/table.ts";
import { type NonInviteClientInput, type NonInviteClientState, step } from "./non-invite-client.ts";
import { DEFAULT_TIMING } from "./timing.ts";

// RFC 3261 figure 6.
const UDP = `
trying       + 180              -> proceeding   : deliver 180
trying       + 200              -> completed    : stop E, stop F, start K 5000, deliver 200
trying       + 486              -> completed    : stop E, stop F, start K 5000, deliver 486
trying       + timer E          -> trying       : send OPTIONS again, start E 1000
trying       + timer F          -> terminated   : stop E, stop F, failed timeout
trying       + broken           -> terminated   : stop E, stop F, failed transport
proceeding   + 180              -> proceeding   : deliver 180
proceeding   + 200              -> completed    : stop E, stop F, start K 5000, deliver 200
proceeding   + 486              -> completed    : stop E, stop F, start K 5000, deliver 486
proceeding   + timer E          -> proceeding   : send OPTIONS again, start E 4000
proceeding   + timer F          -> terminated   : stop E, stop F, failed timeout
proceeding   + broken           -> terminated   : stop E, stop F, failed transport
completed    + timer K          -> terminated   :
`;

const request = requestOf("OPTIONS");
const states: NonInviteClientState[] = [
  { name: "trying", request, retransmitAfterMs: 500 },
  { name: "proceeding", request },
  { name: "completed" },
  { name: "terminated" },
];
const inputs: [string, NonInviteClientInput][] = [
  ...[180, 200, 486].map((status): [string, NonInviteClientInput] => [
    String(status),
    { kind: "response", response: responseOf(request, status) },
  ]),
  ...(["E", "F", "K"] as const).map((timer): [string, NonInviteClientInput] => [
    `timer ${timer}`,
    { kind: "timer", timer },
  ]),
  ["broken", { kind: "transport-failed" }],
];

test("the non-INVITE client transaction over UDP, on one page", () => {
  const rows = tableOf(states, inputs, (state, input) =>
    step({ timing: DEFAULT_TIMING, reliable: false }, state, input),
  );
  assert.deepEqual(rows, rowsOf(UDP));
});

test("the wait between copies doubles up to T2", () => {
  let state: NonInviteClientState = { name: "trying", request, retransmitAfterMs: 500 };
  const waits: number[] = [];
  for (let copy = 0; copy < 5; copy++) {
    const next = step({ timing: DEFAULT_TIMING, reliable: false }, state, { kind: "timer", timer: "E" });
    state = next.state;
    for (const effect of next.effects) if (effect.kind === "start-timer") waits.push(effect.afterMs);
  }
  assert.deepEqual(waits, [1_000, 2_000, 4_000, 4_000, 4_000]);
});

test("over TCP the final response ends it at once", () => {
  const next = step(
    { timing: DEFAULT_TIMING, reliable: true },
    { name: "proceeding", request },
    {
      kind: "response",
      response: responseOf(request, 200),
    },
  );
  assert.equal(next.state.name, "terminated");
});
