// The non-INVITE client transaction: RFC 3261 §17.1.2.

import { impossible, type Step } from "../../../../kernel/step.ts";
import { isProvisional, type SipRequest, type SipResponse } from "../message/message.ts";
import type { ClientEffect } from "./effect.ts";
import { giveUpMs, type TransactionContext } from "./timing.ts";

export type NonInviteClientTimer = "E" | "F" | "K";
export type NonInviteClientEffect = ClientEffect<NonInviteClientTimer>;

export type NonInviteClientState =
  | { readonly name: "trying"; readonly request: SipRequest; readonly retransmitAfterMs: number }
  | { readonly name: "proceeding"; readonly request: SipRequest }
  | { readonly name: "completed" }
  | { readonly name: "terminated" };

export type NonInviteClientInput =
  | { readonly kind: "response"; readonly response: SipResponse }
  | { readonly kind: "timer"; readonly timer: NonInviteClientTimer }
  | { readonly kind: "transport-failed" }
  | { readonly kind: "hush" };

type Next = Step<NonInviteClientState, NonInviteClientEffect>;

export function start(tx: TransactionContext, request: SipRequest): Next {
  const { t1Ms } = tx.timing;
  const effects: NonInviteClientEffect[] = [{ kind: "send", request, again: false }];
  if (!tx.reliable) effects.push({ kind: "start-timer", timer: "E", afterMs: t1Ms });
  effects.push({ kind: "start-timer", timer: "F", afterMs: giveUpMs(tx.timing) });
  return { state: { name: "trying", request, retransmitAfterMs: t1Ms }, effects };
}

export function step(tx: TransactionContext, state: NonInviteClientState, input: NonInviteClientInput): Next {
  switch (state.name) {
    case "trying":
    case "proceeding":
      return waiting(tx, state, input);
    case "completed":
      return input.kind === "timer" && input.timer === "K"
        ? { state: { name: "terminated" }, effects: [] }
        : stay(state); // copies of the final response are absorbed
    case "terminated":
      return stay(state);
    default:
      return impossible(state);
  }
}

/** Trying and Proceeding differ only in how long Timer E waits. §17.1.2.2. */
function waiting(tx: TransactionContext, state: Of<"trying"> | Of<"proceeding">, input: NonInviteClientInput): Next {
  if (input.kind === "transport-failed") return end("transport");
  if (input.kind === "response") return answered(tx, state.request, input.response);
  if (input.kind === "hush") return stay(state); // only an INVITE moves on before its time is up
  if (input.timer === "F") return end("timeout");
  if (input.timer !== "E") return stay(state);
  const { t2Ms } = tx.timing;
  const afterMs = state.name === "trying" ? Math.min(2 * state.retransmitAfterMs, t2Ms) : t2Ms;
  return {
    state: state.name === "trying" ? { ...state, retransmitAfterMs: afterMs } : state,
    effects: [
      { kind: "send", request: state.request, again: true },
      { kind: "start-timer", timer: "E", afterMs },
    ],
  };
}

function answered(tx: TransactionContext, request: SipRequest, response: SipResponse): Next {
  // A provisional leaves Timer E running: it slows down when it next fires.
  if (isProvisional(response))
    return { state: { name: "proceeding", request }, effects: [{ kind: "deliver", response }] };
  const quiet: NonInviteClientEffect[] = [
    { kind: "stop-timer", timer: "E" },
    { kind: "stop-timer", timer: "F" },
  ];
  if (tx.reliable) return { state: { name: "terminated" }, effects: [...quiet, { kind: "deliver", response }] };
  return {
    state: { name: "completed" },
    effects: [...quiet, { kind: "start-timer", timer: "K", afterMs: tx.timing.t4Ms }, { kind: "deliver", response }],
  };
}

type Of<Name extends NonInviteClientState["name"]> = Extract<NonInviteClientState, { name: Name }>;

const stay = (state: NonInviteClientState): Next => ({ state, effects: [] });
const end = (because: "timeout" | "transport"): Next => ({
  state: { name: "terminated" },
  effects: [
    { kind: "stop-timer", timer: "E" },
    { kind: "stop-timer", timer: "F" },
    { kind: "failed", because },
  ],
});
