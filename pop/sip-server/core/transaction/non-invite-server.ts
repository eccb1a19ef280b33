// The non-INVITE server transaction: RFC 3261 §17.2.2.

import { impossible, type Step } from "../../../../kernel/step.ts";
import { isProvisional, type SipResponse } from "../message/message.ts";
import type { ServerEffect } from "./effect.ts";
import { giveUpMs, type TransactionContext } from "./timing.ts";

export type NonInviteServerTimer = "J";
export type NonInviteServerEffect = ServerEffect<NonInviteServerTimer>;

export type NonInviteServerState =
  | { readonly name: "trying" }
  | { readonly name: "proceeding"; readonly last: SipResponse }
  | { readonly name: "completed"; readonly last: SipResponse }
  | { readonly name: "terminated" };

export type NonInviteServerInput =
  /** A copy of the request. */
  | { readonly kind: "request" }
  /** Never: an ACK belongs to an INVITE. Nothing happens. */
  | { readonly kind: "ack" }
  | { readonly kind: "respond"; readonly response: SipResponse }
  | { readonly kind: "timer"; readonly timer: NonInviteServerTimer }
  | { readonly kind: "transport-failed" };

type Next = Step<NonInviteServerState, NonInviteServerEffect>;

export const start = (): Next => ({ state: { name: "trying" }, effects: [] });

export function step(tx: TransactionContext, state: NonInviteServerState, input: NonInviteServerInput): Next {
  switch (state.name) {
    case "trying":
    case "proceeding":
      return waiting(tx, state, input);
    case "completed":
      return completed(state, input);
    case "terminated":
      return stay(state);
    default:
      return impossible(state);
  }
}

/** Trying answers a copy with silence, Proceeding with the last provisional. */
function waiting(tx: TransactionContext, state: NonInviteServerState, input: NonInviteServerInput): Next {
  if (input.kind === "request")
    return state.name === "proceeding"
      ? { state, effects: [{ kind: "send", response: state.last, again: true }] }
      : stay(state);
  if (input.kind === "transport-failed") return broken();
  if (input.kind !== "respond") return stay(state);
  const { response } = input;
  const send: NonInviteServerEffect = { kind: "send", response, again: false };
  if (isProvisional(response)) return { state: { name: "proceeding", last: response }, effects: [send] };
  if (tx.reliable) return { state: { name: "terminated" }, effects: [send] };
  return {
    state: { name: "completed", last: response },
    effects: [send, { kind: "start-timer", timer: "J", afterMs: giveUpMs(tx.timing) }],
  };
}

/** Completed: the same answer to every copy, for as long as one may come. */
function completed(state: Extract<NonInviteServerState, { name: "completed" }>, input: NonInviteServerInput): Next {
  if (input.kind === "request") return { state, effects: [{ kind: "send", response: state.last, again: true }] };
  if (input.kind === "timer" && input.timer === "J") return { state: { name: "terminated" }, effects: [] };
  if (input.kind === "transport-failed") {
    const { state: next, effects } = broken();
    return { state: next, effects: [{ kind: "stop-timer", timer: "J" }, ...effects] };
  }
  return stay(state);
}

const stay = (state: NonInviteServerState): Next => ({ state, effects: [] });
const broken = (): Next => ({ state: { name: "terminated" }, effects: [{ kind: "failed", because: "transport" }] });
