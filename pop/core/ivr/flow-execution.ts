// What a running flow is told, and what it asks for. The machine itself: flow-machine.ts.

import type { QueueId, TrunkId } from "../../../kernel/ids.ts";
import type { PlayId, Prompt } from "../media/prompt.ts";
import type { ActivityId, Flow } from "./flow.ts";

/** Fixed for the life of one execution; looked up anew by (flow id, version), never part of the state. */
export interface FlowContext {
  readonly flow: Flow;
  readonly defaultTreatment: readonly Prompt[];
  /** The queue's own music, for queue activities that name none. */
  musicOf(queue: QueueId): Prompt | undefined;
}

/** Read-only variables of every flow: {{ call.callingNumber }}, {{ call.calledNumber }}, {{ call.id }}. */
export interface CallFacts {
  readonly id: string;
  readonly callingNumber: string;
  readonly calledNumber: string;
}

/** At most one of each runs at a time. */
export type FlowTimer = "flow.input" | "flow.message" | "flow.wait";

export type FlowInput =
  | { readonly kind: "played"; readonly play: PlayId; readonly how: "finished" | "stopped" | "failed" }
  | { readonly kind: "digit"; readonly digit: string }
  | { readonly kind: "timer"; readonly timer: FlowTimer }
  /** The region took the contact into the queue, or its place changed; 1 is next. */
  | { readonly kind: "queue-position"; readonly position: number }
  /** The queue will not have the contact, or cannot be reached. `code` is stable. */
  | { readonly kind: "queue-refused"; readonly code: string }
  /** Agent and caller talk: nothing plays, digits are not ours, the wait is over. */
  | { readonly kind: "agent-connected" }
  /** The agent left; the caller is still here. */
  | { readonly kind: "agent-left" }
  | { readonly kind: "transfer-answered" }
  | { readonly kind: "transfer-failed"; readonly code: string }
  | { readonly kind: "transfer-ended" };

export type FlowEffect =
  /** Replaces what plays. Texts are rendered. Exactly one `played` input follows each. */
  | {
      readonly kind: "play";
      readonly play: PlayId;
      readonly prompts: readonly Prompt[];
      readonly repeat: "once" | "forever";
    }
  | { readonly kind: "stop-playing" }
  | { readonly kind: "start-timer"; readonly timer: FlowTimer; readonly afterMs: number }
  | { readonly kind: "stop-timer"; readonly timer: FlowTimer }
  | { readonly kind: "enqueue"; readonly queueId: QueueId; readonly priority: number }
  | { readonly kind: "leave-queue"; readonly reason: "wait-exceeded" }
  | {
      readonly kind: "transfer";
      readonly number: string;
      readonly trunkId: TrunkId | undefined;
      readonly ringTimeoutMs: number;
    }
  /** The flow is over; the call is to be released. `because` is stable: "flow.disconnected" or a failure code. */
  | { readonly kind: "disconnect"; readonly because: string }
  /** For the journal: what was entered or decided, and why. Never holds a sensitive value. */
  | { readonly kind: "note"; readonly activity: ActivityId; readonly what: string; readonly why: string };
