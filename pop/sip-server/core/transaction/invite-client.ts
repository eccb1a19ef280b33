// The INVITE client transaction: RFC 3261 §17.1.1, with the Accepted state of RFC 6026 §7.2, §8.4.

import { impossible, type Step } from "../../../../kernel/step.ts";
import { ackForFailure } from "../message/build.ts";
import { isProvisional, isSuccess, type SipRequest, type SipResponse } from "../message/message.ts";
import type { ClientEffect } from "./effect.ts";
import { giveUpMs, type TransactionContext } from "./timing.ts";

export type InviteClientTimer = "A" | "B" | "D" | "M";
export type InviteClientEffect = ClientEffect<InviteClientTimer>;

export type InviteClientState =
  | { readonly name: "calling"; readonly invite: SipRequest; readonly retransmitAfterMs: number }
  | { readonly name: "proceeding"; readonly invite: SipRequest }
  | { readonly name: "accepted" }
  | { readonly name: "completed"; readonly ack: SipRequest }
  | { readonly name: "terminated" };

export type InviteClientInput =
  | { readonly kind: "response"; readonly response: SipResponse }
  | { readonly kind: "timer"; readonly timer: InviteClientTimer }
  | { readonly kind: "transport-failed" }
  /** Somebody else is asked now: no more copies, but what comes is still heard. */
  | { readonly kind: "hush" };

type Next = Step<InviteClientState, InviteClientEffect>;

export function start(tx: TransactionContext, invite: SipRequest): Next {
  const { t1Ms } = tx.timing;
  const effects: InviteClientEffect[] = [{ kind: "send", request: invite, again: false }];
  if (!tx.reliable) effects.push({ kind: "start-timer", timer: "A", afterMs: t1Ms });
  effects.push({ kind: "start-timer", timer: "B", afterMs: giveUpMs(tx.timing) });
  return { state: { name: "calling", invite, retransmitAfterMs: t1Ms }, effects };
}

export function step(tx: TransactionContext, state: InviteClientState, input: InviteClientInput): Next {
  switch (state.name) {
    case "calling":
      return calling(tx, state, input);
    case "proceeding":
      return input.kind === "response" ? answered(tx, state.invite, state, input.response) : stay(state);
    case "accepted":
      return accepted(state, input);
    case "completed":
      return completed(state, input);
    case "terminated":
      return stay(state);
    default:
      return impossible(state);
  }
}

/** Calling: the INVITE is out, nothing heard yet. §17.1.1.2. */
function calling(tx: TransactionContext, state: Of<"calling">, input: InviteClientInput): Next {
  if (input.kind === "response") {
    const next = answered(tx, state.invite, state, input.response);
    return {
      state: next.state,
      effects: [{ kind: "stop-timer", timer: "A" }, { kind: "stop-timer", timer: "B" }, ...next.effects],
    };
  }
  if (input.kind === "transport-failed") return end("transport", ["A", "B"]);
  if (input.kind === "hush") return { state, effects: [{ kind: "stop-timer", timer: "A" }] };
  if (input.timer === "B") return end("timeout", ["A"]);
  if (input.timer !== "A") return stay(state);
  const afterMs = 2 * state.retransmitAfterMs;
  return {
    state: { ...state, retransmitAfterMs: afterMs },
    effects: [
      { kind: "send", request: state.invite, again: true },
      { kind: "start-timer", timer: "A", afterMs },
    ],
  };
}

/** Any response in Calling or Proceeding. §17.1.1.2, RFC 6026 §8.4. */
function answered(tx: TransactionContext, invite: SipRequest, state: InviteClientState, response: SipResponse): Next {
  if (isProvisional(response)) {
    const next: InviteClientState = state.name === "proceeding" ? state : { name: "proceeding", invite };
    return { state: next, effects: [{ kind: "deliver", response }] };
  }
  const afterMs = giveUpMs(tx.timing);
  if (isSuccess(response))
    return {
      state: { name: "accepted" },
      effects: [
        { kind: "start-timer", timer: "M", afterMs },
        { kind: "deliver", response },
      ],
    };
  const ack = ackForFailure(invite, response);
  const send: InviteClientEffect = { kind: "send", request: ack, again: false };
  if (tx.reliable) return { state: { name: "terminated" }, effects: [send, { kind: "deliver", response }] };
  return {
    state: { name: "completed", ack },
    effects: [send, { kind: "start-timer", timer: "D", afterMs }, { kind: "deliver", response }],
  };
}

/** Accepted: every further 2xx goes up, ours or a fork's; the core acknowledges. RFC 6026 §8.4. */
function accepted(state: InviteClientState, input: InviteClientInput): Next {
  if (input.kind === "timer" && input.timer === "M") return { state: { name: "terminated" }, effects: [] };
  if (input.kind === "response" && isSuccess(input.response))
    return { state, effects: [{ kind: "deliver", response: input.response }] };
  return stay(state);
}

/** Completed: copies of the failure are acknowledged again, none goes up. §17.1.1.2. */
function completed(state: Of<"completed">, input: InviteClientInput): Next {
  if (input.kind === "transport-failed") return end("transport", ["D"]);
  if (input.kind === "timer") return input.timer === "D" ? { state: { name: "terminated" }, effects: [] } : stay(state);
  if (input.kind === "hush") return stay(state);
  const isFailure = input.response.status >= 300;
  return isFailure ? { state, effects: [{ kind: "send", request: state.ack, again: true }] } : stay(state);
}

type Of<Name extends InviteClientState["name"]> = Extract<InviteClientState, { name: Name }>;

const stay = (state: InviteClientState): Next => ({ state, effects: [] });
const end = (because: "timeout" | "transport", stop: readonly InviteClientTimer[]): Next => ({
  state: { name: "terminated" },
  effects: [...stop.map((timer): InviteClientEffect => ({ kind: "stop-timer", timer })), { kind: "failed", because }],
});
