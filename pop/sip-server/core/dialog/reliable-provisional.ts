// Our 1xx sent reliably, until its PRACK: RFC 3262 §3. One at a time; the next waits.

import type { Step } from "../../../../kernel/step.ts";
import type { SipResponse } from "../message/message.ts";
import { giveUpMs, type Timing } from "../transaction/timing.ts";

export type ReliableTimer = "repeat-1xx" | "await-prack";

export type ReliableState =
  | { readonly name: "idle"; readonly rseq: number }
  | {
      readonly name: "waiting";
      readonly rseq: number;
      readonly response: SipResponse;
      readonly repeatAfterMs: number;
      /** Reliable provisionals that must not overtake this one. Bounded by QUEUED_MAX. */
      readonly queued: readonly SipResponse[];
    }
  | { readonly name: "over" };

export type ReliableInput =
  /** The response carries RSeq `rseq` already. */
  | { readonly kind: "send"; readonly response: SipResponse }
  | { readonly kind: "prack"; readonly rseq: number }
  | { readonly kind: "over" }
  | { readonly kind: "timer"; readonly timer: ReliableTimer };

export type ReliableEffect =
  | { readonly kind: "send"; readonly response: SipResponse; readonly again: boolean }
  | { readonly kind: "start-timer"; readonly timer: ReliableTimer; readonly afterMs: number }
  | { readonly kind: "stop-timer"; readonly timer: ReliableTimer }
  /** 64·T1 without PRACK: the INVITE is refused with a 5xx (§3). */
  | { readonly kind: "give-up" };

type Next = Step<ReliableState, ReliableEffect>;

export const QUEUED_MAX = 8;

/** @param rseq number of the last one sent; the next is one more (§3) */
export const start = (rseq: number): ReliableState => ({ name: "idle", rseq });

export function step(timing: Timing, state: ReliableState, input: ReliableInput): Next {
  switch (input.kind) {
    case "send":
      if (state.name === "idle") return sent(timing, state.rseq + 1, input.response, []);
      if (state.name === "waiting" && state.queued.length < QUEUED_MAX)
        return { state: { ...state, queued: [...state.queued, input.response] }, effects: [] };
      return stay(state);
    case "prack": {
      if (state.name !== "waiting" || input.rseq !== state.rseq) return stay(state);
      const [next, ...queued] = state.queued;
      if (next === undefined) return { state: { name: "idle", rseq: state.rseq }, effects: QUIET };
      const following = sent(timing, state.rseq + 1, next, queued);
      return { state: following.state, effects: [...QUIET, ...following.effects] };
    }
    case "over":
      return { state: { name: "over" }, effects: state.name === "waiting" ? QUIET : [] };
    case "timer": {
      if (state.name !== "waiting") return stay(state);
      if (input.timer === "await-prack")
        return {
          state: { name: "over" },
          effects: [{ kind: "stop-timer", timer: "repeat-1xx" }, { kind: "give-up" }],
        };
      const afterMs = 2 * state.repeatAfterMs; // §3: doubles without a ceiling
      return {
        state: { ...state, repeatAfterMs: afterMs },
        effects: [
          { kind: "send", response: state.response, again: true },
          { kind: "start-timer", timer: "repeat-1xx", afterMs },
        ],
      };
    }
  }
}

/** Number of the next reliable provisional, queued ones counted. */
export function nextRseq(state: ReliableState): number {
  if (state.name === "over") return 0;
  return state.rseq + 1 + (state.name === "waiting" ? state.queued.length : 0);
}

function sent(timing: Timing, rseq: number, response: SipResponse, queued: readonly SipResponse[]): Next {
  return {
    state: { name: "waiting", rseq, response, repeatAfterMs: timing.t1Ms, queued },
    effects: [
      { kind: "send", response, again: false },
      { kind: "start-timer", timer: "repeat-1xx", afterMs: timing.t1Ms },
      { kind: "start-timer", timer: "await-prack", afterMs: giveUpMs(timing) },
    ],
  };
}

const QUIET: readonly ReliableEffect[] = [
  { kind: "stop-timer", timer: "repeat-1xx" },
  { kind: "stop-timer", timer: "await-prack" },
];
const stay = (state: ReliableState): Next => ({ state, effects: [] });
