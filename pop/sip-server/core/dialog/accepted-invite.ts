// Our 2xx to an INVITE, until its ACK: RFC 3261 §13.3.1.4. End to end, so it is repeated over TCP too: the next hop may be UDP.

import type { Step } from "../../../../kernel/step.ts";
import type { SipResponse } from "../message/message.ts";
import { giveUpMs, type Timing } from "../transaction/timing.ts";

export type AcceptedInviteTimer = "repeat-2xx" | "await-ack";

export type AcceptedInviteState =
  | { readonly name: "waiting"; readonly response: SipResponse; readonly repeatAfterMs: number }
  | { readonly name: "acknowledged" }
  /** No ACK in 64·T1: the session ends with a BYE. */
  | { readonly name: "abandoned" }
  /** The peer or the application ended the call first. */
  | { readonly name: "moot" };

export type AcceptedInviteInput =
  | { readonly kind: "ack" }
  | { readonly kind: "over" }
  | { readonly kind: "timer"; readonly timer: AcceptedInviteTimer };

export type AcceptedInviteEffect =
  | { readonly kind: "send-2xx"; readonly response: SipResponse }
  | { readonly kind: "start-timer"; readonly timer: AcceptedInviteTimer; readonly afterMs: number }
  | { readonly kind: "stop-timer"; readonly timer: AcceptedInviteTimer }
  | { readonly kind: "acknowledged" }
  | { readonly kind: "give-up" };

type Next = Step<AcceptedInviteState, AcceptedInviteEffect>;

/** The first 2xx goes through the server transaction; we only repeat it. */
export function start(timing: Timing, response: SipResponse): Next {
  return {
    state: { name: "waiting", response, repeatAfterMs: timing.t1Ms },
    effects: [
      { kind: "start-timer", timer: "repeat-2xx", afterMs: timing.t1Ms },
      { kind: "start-timer", timer: "await-ack", afterMs: giveUpMs(timing) },
    ],
  };
}

export function step(timing: Timing, state: AcceptedInviteState, input: AcceptedInviteInput): Next {
  if (state.name !== "waiting") return { state, effects: [] };
  switch (input.kind) {
    case "ack":
      return { state: { name: "acknowledged" }, effects: [...QUIET, { kind: "acknowledged" }] };
    case "over":
      return { state: { name: "moot" }, effects: QUIET };
    case "timer": {
      if (input.timer === "await-ack")
        return {
          state: { name: "abandoned" },
          effects: [{ kind: "stop-timer", timer: "repeat-2xx" }, { kind: "give-up" }],
        };
      const afterMs = Math.min(2 * state.repeatAfterMs, timing.t2Ms);
      return {
        state: { ...state, repeatAfterMs: afterMs },
        effects: [
          { kind: "send-2xx", response: state.response },
          { kind: "start-timer", timer: "repeat-2xx", afterMs },
        ],
      };
    }
  }
}

const QUIET: readonly AcceptedInviteEffect[] = [
  { kind: "stop-timer", timer: "repeat-2xx" },
  { kind: "stop-timer", timer: "await-ack" },
];
