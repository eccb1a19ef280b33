// The INVITE server transaction: RFC 3261 §17.2.1, with the Accepted state of RFC 6026 §7.1, §8.5, §8.7.

import { impossible, type Step } from "../../../../kernel/step.ts";
import { isProvisional, isSuccess, type SipRequest, type SipResponse } from "../message/message.ts";
import type { ServerEffect } from "./effect.ts";
import { giveUpMs, type TransactionContext } from "./timing.ts";

export type InviteServerTimer = "G" | "H" | "I" | "L";
export type InviteServerEffect = ServerEffect<InviteServerTimer>;

export type InviteServerState =
  | { readonly name: "proceeding"; readonly last: SipResponse }
  | { readonly name: "accepted" }
  | { readonly name: "completed"; readonly last: SipResponse; readonly retransmitAfterMs: number }
  | { readonly name: "confirmed" }
  | { readonly name: "terminated" };

export type InviteServerInput =
  /** A copy of the INVITE. */
  | { readonly kind: "request" }
  | { readonly kind: "ack"; readonly ack: SipRequest }
  | { readonly kind: "respond"; readonly response: SipResponse }
  | { readonly kind: "timer"; readonly timer: InviteServerTimer }
  | { readonly kind: "transport-failed" };

type Next = Step<InviteServerState, InviteServerEffect>;

/** The 100 goes out at once: no application is as quick as 200 ms at all times. §17.2.1. */
export function start(trying: SipResponse): Next {
  return { state: { name: "proceeding", last: trying }, effects: [{ kind: "send", response: trying, again: false }] };
}

export function step(tx: TransactionContext, state: InviteServerState, input: InviteServerInput): Next {
  switch (state.name) {
    case "proceeding":
      return proceeding(tx, state, input);
    case "accepted":
      return accepted(state, input);
    case "completed":
      return completed(tx, state, input);
    case "confirmed":
      return input.kind === "timer" && input.timer === "I"
        ? { state: { name: "terminated" }, effects: [] }
        : stay(state); // further ACKs and late INVITEs are absorbed
    case "terminated":
      return stay(state);
    default:
      return impossible(state);
  }
}

/** Proceeding: somebody is deciding. */
function proceeding(tx: TransactionContext, state: Of<"proceeding">, input: InviteServerInput): Next {
  if (input.kind === "request") return { state, effects: [{ kind: "send", response: state.last, again: true }] };
  if (input.kind === "transport-failed") return { state: { name: "terminated" }, effects: [failed("transport")] };
  if (input.kind !== "respond") return stay(state);
  const { response } = input;
  const send: InviteServerEffect = { kind: "send", response, again: false };
  if (isProvisional(response)) return { state: { name: "proceeding", last: response }, effects: [send] };
  const afterMs = giveUpMs(tx.timing);
  if (isSuccess(response))
    return { state: { name: "accepted" }, effects: [send, { kind: "start-timer", timer: "L", afterMs }] };
  const { t1Ms } = tx.timing;
  const effects: InviteServerEffect[] = [send];
  if (!tx.reliable) effects.push({ kind: "start-timer", timer: "G", afterMs: t1Ms });
  effects.push({ kind: "start-timer", timer: "H", afterMs });
  return { state: { name: "completed", last: response, retransmitAfterMs: t1Ms }, effects };
}

/** Accepted: the core repeats its 2xx through us; copies of the INVITE are absorbed. RFC 6026 §8.7. */
function accepted(state: InviteServerState, input: InviteServerInput): Next {
  if (input.kind === "timer" && input.timer === "L") return { state: { name: "terminated" }, effects: [] };
  if (input.kind === "ack") return { state, effects: [{ kind: "deliver-ack", ack: input.ack }] };
  if (input.kind === "respond" && isSuccess(input.response))
    return { state, effects: [{ kind: "send", response: input.response, again: true }] };
  return stay(state);
}

/** Completed: the refusal is repeated until its ACK comes. §17.2.1. */
function completed(tx: TransactionContext, state: Of<"completed">, input: InviteServerInput): Next {
  const again: InviteServerEffect = { kind: "send", response: state.last, again: true };
  switch (input.kind) {
    case "request":
      return { state, effects: [again] };
    case "ack": {
      const quiet: InviteServerEffect[] = [
        { kind: "stop-timer", timer: "G" },
        { kind: "stop-timer", timer: "H" },
      ];
      if (tx.reliable) return { state: { name: "terminated" }, effects: quiet };
      const afterMs = tx.timing.t4Ms;
      return { state: { name: "confirmed" }, effects: [...quiet, { kind: "start-timer", timer: "I", afterMs }] };
    }
    case "timer": {
      if (input.timer === "H")
        return { state: { name: "terminated" }, effects: [{ kind: "stop-timer", timer: "G" }, failed("timeout")] };
      if (input.timer !== "G") return stay(state);
      const afterMs = Math.min(2 * state.retransmitAfterMs, tx.timing.t2Ms);
      return {
        state: { ...state, retransmitAfterMs: afterMs },
        effects: [again, { kind: "start-timer", timer: "G", afterMs }],
      };
    }
    case "transport-failed":
      return {
        state: { name: "terminated" },
        effects: [{ kind: "stop-timer", timer: "G" }, { kind: "stop-timer", timer: "H" }, failed("transport")],
      };
    case "respond":
      return stay(state);
    default:
      return impossible(input);
  }
}

type Of<Name extends InviteServerState["name"]> = Extract<InviteServerState, { name: Name }>;

const stay = (state: InviteServerState): Next => ({ state, effects: [] });
const failed = (because: "timeout" | "transport"): InviteServerEffect => ({ kind: "failed", because });
