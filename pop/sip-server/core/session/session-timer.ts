// The session timer of one dialog: RFC 4028 §10. Either we refresh at half the interval, or we watch that the peer does.
// Deadlines are part of the state, as wall-clock time: another process can take the dialog up.

import type { Step } from "../../../../kernel/step.ts";
import type { SessionTerms } from "./negotiation.ts";

export type SessionState =
  | { readonly name: "off" }
  /** The peer refreshes. At `dueMs` it has not. */
  | { readonly name: "watching"; readonly intervalSeconds: number; readonly dueMs: number }
  /** We refresh, next at `dueMs`. At `expiresMs` nothing has helped. */
  | { readonly name: "waiting"; readonly intervalSeconds: number; readonly dueMs: number; readonly expiresMs: number }
  /** Our refresh is out. */
  | {
      readonly name: "refreshing";
      readonly intervalSeconds: number;
      readonly expiresMs: number;
      readonly raised: boolean;
    };

export type SessionInput =
  /** A 2xx to INVITE or UPDATE, in either direction: these terms, or none. */
  | { readonly kind: "agreed"; readonly terms: SessionTerms | undefined; readonly nowMs: number }
  | { readonly kind: "timer"; readonly nowMs: number }
  /** Our refresh failed. 0: nobody answered. `again`: at once in another form (a larger interval, another method). */
  | {
      readonly kind: "refused";
      readonly status: number;
      readonly nowMs: number;
      /** How long to wait before the next attempt, where the answer or glare says so. */
      readonly waitMs: number | undefined;
      readonly again: boolean;
      readonly intervalSeconds?: number;
    }
  /** Another INVITE is under way: ours has to wait. */
  | { readonly kind: "busy"; readonly nowMs: number; readonly waitMs: number }
  | { readonly kind: "over" };

export type SessionEffect =
  | { readonly kind: "start-timer"; readonly afterMs: number }
  | { readonly kind: "stop-timer" }
  | { readonly kind: "refresh"; readonly intervalSeconds: number }
  | { readonly kind: "end"; readonly because: string };

type Next = Step<SessionState, SessionEffect>;

/** Shared by every dialog without a session timer. */
export const OFF: SessionState = { name: "off" };

export const EXPIRED = "Session timer expired";

export const termsOf = (state: SessionState): SessionTerms | undefined =>
  state.name === "off" ? undefined : { intervalSeconds: state.intervalSeconds, weRefresh: state.name !== "watching" };

/** When the running timer of this state is due; undefined when there is none. For taking a dialog up. */
export const dueMsOf = (state: SessionState): number | undefined =>
  state.name === "off" ? undefined : state.name === "refreshing" ? state.expiresMs : state.dueMs;

/** The same by a clock that is ahead by so much. */
export function moved(state: SessionState, byMs: number): SessionState {
  if (byMs === 0 || state.name === "off") return state;
  if (state.name === "watching") return { ...state, dueMs: state.dueMs + byMs };
  const expiresMs = state.expiresMs + byMs;
  return state.name === "waiting" ? { ...state, dueMs: state.dueMs + byMs, expiresMs } : { ...state, expiresMs };
}

/**
 * Taken up after a time in which nobody could reach us, perhaps by another clock: nobody is given up before what the peer
 * repeats, or our next refresh, had its time.
 */
export function resumed(state: SessionState, nowMs: number, patienceMs: number): SessionState {
  if (state.name === "off") return state;
  if (state.name === "watching") return { ...state, dueMs: Math.max(state.dueMs, nowMs + patienceMs) };
  return { ...state, expiresMs: Math.max(state.expiresMs, nowMs + patienceMs) };
}

/** §10: the side that does not refresh ends the session this long after the last refresh. */
export const patienceMs = (intervalSeconds: number): number =>
  1_000 * (intervalSeconds - Math.min(32, intervalSeconds / 3));

/** A refresh that failed for a reason that may pass. */
const TRY_AGAIN_MS = 10_000;

export function step(state: SessionState, input: SessionInput): Next {
  switch (input.kind) {
    case "agreed":
      return agreed(state, input.terms, input.nowMs);
    case "over":
      return state.name === "off" ? stay(state) : { state: OFF, effects: [{ kind: "stop-timer" }] };
    case "timer":
      return due(state, input.nowMs);
    case "refused":
      return refused(state, input);
    case "busy":
      return state.name === "refreshing" ? later(state, input.nowMs, input.waitMs) : stay(state);
  }
}

function agreed(state: SessionState, terms: SessionTerms | undefined, nowMs: number): Next {
  if (terms === undefined)
    return state.name === "off" ? stay(state) : { state: OFF, effects: [{ kind: "stop-timer" }] };
  const { intervalSeconds, weRefresh } = terms;
  const expiresMs = nowMs + patienceMs(intervalSeconds);
  const afterMs = weRefresh ? 500 * intervalSeconds : patienceMs(intervalSeconds);
  return {
    state: weRefresh
      ? { name: "waiting", intervalSeconds, dueMs: nowMs + afterMs, expiresMs }
      : { name: "watching", intervalSeconds, dueMs: expiresMs },
    effects: [{ kind: "start-timer", afterMs }],
  };
}

function due(state: SessionState, nowMs: number): Next {
  switch (state.name) {
    case "off":
      return stay(state);
    case "waiting": {
      const { intervalSeconds, expiresMs } = state;
      if (nowMs >= expiresMs) return end(EXPIRED, false);
      return {
        state: { name: "refreshing", intervalSeconds, expiresMs, raised: false },
        // Should no answer ever come, this is the end of it.
        effects: [
          { kind: "start-timer", afterMs: expiresMs - nowMs },
          { kind: "refresh", intervalSeconds },
        ],
      };
    }
    case "watching":
    case "refreshing":
      return end(EXPIRED, false);
  }
}

/** §7.3, §10, RFC 3261 §12.2.1.2, §14.1. */
function refused(state: SessionState, input: Extract<SessionInput, { kind: "refused" }>): Next {
  if (state.name !== "refreshing") return stay(state);
  const { status, nowMs, waitMs, again } = input;
  // The peer knows nothing of the dialog, or is not there.
  if (status === 481 || status === 408 || status === 0) return end(EXPIRED, true);
  if (again && !state.raised) {
    const intervalSeconds = input.intervalSeconds ?? state.intervalSeconds;
    return { state: { ...state, intervalSeconds, raised: true }, effects: [{ kind: "refresh", intervalSeconds }] };
  }
  return later(state, nowMs, waitMs ?? TRY_AGAIN_MS);
}

/** Once more, as long as the session lasts. */
function later(state: Extract<SessionState, { name: "refreshing" }>, nowMs: number, waitMs: number): Next {
  const { intervalSeconds, expiresMs } = state;
  const dueMs = Math.min(nowMs + waitMs, expiresMs);
  return {
    state: { name: "waiting", intervalSeconds, dueMs, expiresMs },
    effects: [{ kind: "start-timer", afterMs: Math.max(0, dueMs - nowMs) }],
  };
}

const end = (because: string, running: boolean): Next => ({
  state: OFF,
  effects: running ? [{ kind: "stop-timer" }, { kind: "end", because }] : [{ kind: "end", because }],
});
const stay = (state: SessionState): Next => ({ state, effects: [] });
