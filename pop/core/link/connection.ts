// One stream to the region, as a machine: when to try, how long to wait for an answer, when to give up and begin again.
// Both streams of a POP host (link and contact routing) run one each. It never ends by itself: a POP waits for its region for ever.

import { type BackoffPolicy, backoffMs } from "../../../kernel/backoff.ts";
import type { Step } from "../../../kernel/step.ts";

export interface ConnectionPolicy {
  readonly backoff: BackoffPolicy;
  /** From the first packet to an open stream. */
  readonly openMsMax: number;
  /** From our hello to the region's welcome. */
  readonly welcomeMsMax: number;
  /** A link that held this long counts as sound: the next loss begins with the shortest wait again. */
  readonly settledAfterMs: number;
}

export const CONNECTION_POLICY: ConnectionPolicy = {
  backoff: { firstMs: 200, factor: 2, waitMsMax: 5_000, jitter: 0.5 },
  openMsMax: 4_000,
  welcomeMsMax: 3_000,
  settledAfterMs: 10_000,
};

/** `failures`: tries in a row that did not settle. `hurried`: the wait was cut short once already. */
export type ConnectionState =
  | { readonly name: "idle" }
  | { readonly name: "away"; readonly failures: number; readonly hurried: boolean }
  | { readonly name: "connecting"; readonly failures: number }
  | { readonly name: "hello-sent"; readonly failures: number }
  | { readonly name: "linked"; readonly failures: number }
  | { readonly name: "closed" };

export type ConnectionTimer = "retry" | "deadline" | "settled";

/** `chance`, in [0, 1), decides the jitter of the wait that may follow. */
export type ConnectionInput =
  | { readonly kind: "start" }
  | { readonly kind: "opened" }
  | { readonly kind: "welcomed" }
  | { readonly kind: "lost"; readonly detail: string; readonly chance: number }
  /** Another stream has been welcomed: no point in waiting for long. */
  | { readonly kind: "reachable" }
  | { readonly kind: "timer"; readonly timer: ConnectionTimer; readonly chance: number }
  | { readonly kind: "close" };

export type ConnectionEffect =
  | { readonly kind: "open" }
  | { readonly kind: "say-hello" }
  /** Let go of the stream, whatever state it is in. */
  | { readonly kind: "drop" }
  | { readonly kind: "linked" }
  | { readonly kind: "away"; readonly detail: string; readonly retryAfterMs: number }
  | { readonly kind: "start-timer"; readonly timer: ConnectionTimer; readonly afterMs: number }
  | { readonly kind: "stop-timer"; readonly timer: ConnectionTimer };

export type ConnectionStep = Step<ConnectionState, ConnectionEffect>;

export const newConnection: ConnectionState = { name: "idle" };

export function connectionStep(
  policy: ConnectionPolicy,
  state: ConnectionState,
  input: ConnectionInput,
): ConnectionStep {
  if (input.kind === "close" && state.name !== "closed") return closed();
  switch (state.name) {
    case "idle":
      return input.kind === "start" ? tryNow(policy, 0) : { state, effects: [] };
    case "away":
      return away(policy, state, input);
    case "connecting":
    case "hello-sent":
    case "linked":
      return trying(policy, state, input);
    case "closed":
      return { state, effects: [] }; // what still arrives belongs to a stream we have let go of
  }
}

function away(
  policy: ConnectionPolicy,
  state: ConnectionState & { name: "away" },
  input: ConnectionInput,
): ConnectionStep {
  if (input.kind === "timer" && input.timer === "retry") return tryNow(policy, state.failures);
  // Once per absence and not at once: two streams that are welcomed and thrown out would chase each other without pause.
  if (input.kind === "reachable" && !state.hurried)
    return { state: { ...state, hurried: true }, effects: [startTimer("retry", policy.backoff.firstMs)] };
  return { state, effects: [] };
}

function trying(
  policy: ConnectionPolicy,
  state: ConnectionState & { name: "connecting" | "hello-sent" | "linked" },
  input: ConnectionInput,
): ConnectionStep {
  const { name, failures } = state;
  if (input.kind === "lost") return lost(policy, failures, input.detail, input.chance);
  if (name === "connecting") {
    if (input.kind === "opened")
      return {
        state: { name: "hello-sent", failures },
        effects: [startTimer("deadline", policy.welcomeMsMax), { kind: "say-hello" }],
      };
    if (input.kind === "timer" && input.timer === "deadline")
      return lost(policy, failures, `no connection within ${policy.openMsMax} ms`, input.chance);
  }
  if (name === "hello-sent") {
    if (input.kind === "welcomed")
      return {
        state: { name: "linked", failures },
        effects: [stopTimer("deadline"), startTimer("settled", policy.settledAfterMs), { kind: "linked" }],
      };
    if (input.kind === "timer" && input.timer === "deadline")
      return lost(policy, failures, `no welcome within ${policy.welcomeMsMax} ms`, input.chance);
  }
  if (name === "linked" && input.kind === "timer" && input.timer === "settled")
    return { state: { name: "linked", failures: 0 }, effects: [] };
  return { state, effects: [] };
}

const tryNow = (policy: ConnectionPolicy, failures: number): ConnectionStep => ({
  state: { name: "connecting", failures },
  effects: [stopTimer("retry"), startTimer("deadline", policy.openMsMax), { kind: "open" }],
});

/** A region that welcomes us and hangs up at once counts as a failure too, or we would be at its door without pause. */
function lost(policy: ConnectionPolicy, failures: number, detail: string, chance: number): ConnectionStep {
  const retryAfterMs = Math.round(backoffMs(policy.backoff, failures, { next: () => chance }));
  return {
    state: { name: "away", failures: failures + 1, hurried: false },
    effects: [
      stopTimer("deadline"),
      stopTimer("settled"),
      { kind: "drop" },
      startTimer("retry", retryAfterMs),
      { kind: "away", detail, retryAfterMs },
    ],
  };
}

const closed = (): ConnectionStep => ({
  state: { name: "closed" },
  effects: [stopTimer("retry"), stopTimer("deadline"), stopTimer("settled"), { kind: "drop" }],
});

const startTimer = (timer: ConnectionTimer, afterMs: number): ConnectionEffect => ({
  kind: "start-timer",
  timer,
  afterMs,
});
const stopTimer = (timer: ConnectionTimer): ConnectionEffect => ({ kind: "stop-timer", timer });
