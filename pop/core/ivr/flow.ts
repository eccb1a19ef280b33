// A flow as data: a versioned graph of activities. A call keeps the version it began with.

import type { FlowId, QueueId, TenantId, TrunkId } from "../../../kernel/ids.ts";
import type { Prompt } from "../media/prompt.ts";

/** The name of an activity within its flow. */
export type ActivityId = string;

export interface Flow {
  readonly id: FlowId;
  readonly tenantId: TenantId;
  readonly version: number;
  readonly start: ActivityId;
  readonly activities: Readonly<Record<ActivityId, Activity>>;
  /** Names to their values at the start. */
  readonly variables: Readonly<Record<string, string>>;
}

/** `onFailure` undefined: the tenant's default treatment. */
export type Activity = { readonly onFailure: ActivityId | undefined } & ActivityKind;

export type ActivityKind =
  | { readonly kind: "play"; readonly prompts: readonly Prompt[]; readonly next: ActivityId }
  | {
      readonly kind: "menu";
      readonly prompts: readonly Prompt[];
      /** 0-9, * and # to an activity. */
      readonly choices: Readonly<Record<string, ActivityId>>;
      readonly timeoutMs: number;
      readonly attemptsMax: number;
      readonly noMatchPrompts: readonly Prompt[];
      readonly onNoInput: ActivityId | undefined;
      readonly onNoMatch: ActivityId | undefined;
    }
  | {
      readonly kind: "collect";
      readonly prompts: readonly Prompt[];
      readonly variable: string;
      readonly digitsMin: number;
      readonly digitsMax: number;
      readonly terminator: string | undefined;
      readonly firstDigitTimeoutMs: number;
      readonly interDigitTimeoutMs: number;
      readonly attemptsMax: number;
      readonly next: ActivityId;
      readonly onNoInput: ActivityId | undefined;
      /** Its value never reaches a log, an event or a trace. */
      readonly sensitive: boolean;
    }
  | { readonly kind: "set"; readonly variable: string; readonly value: string; readonly next: ActivityId }
  | {
      readonly kind: "condition";
      readonly left: string;
      readonly comparison: Comparison;
      readonly right: string;
      readonly then: ActivityId;
      readonly otherwise: ActivityId;
    }
  | { readonly kind: "go-to"; readonly activity: ActivityId }
  | {
      readonly kind: "queue";
      readonly queueId: QueueId;
      /** undefined: the queue's own, else "music/default". */
      readonly music: Prompt | undefined;
      readonly messages: readonly Prompt[];
      readonly messageIntervalMs: number;
      /** 0: as long as it takes. */
      readonly waitMsMax: number;
      readonly onWaitExceeded: ActivityId | undefined;
      readonly priority: number;
      /** When the agent has left and the caller is still there; undefined: disconnect. */
      readonly next: ActivityId | undefined;
    }
  | {
      readonly kind: "transfer";
      readonly number: string;
      readonly trunkId: TrunkId | undefined;
      readonly ringTimeoutMs: number;
      readonly next: ActivityId | undefined;
    }
  | { readonly kind: "disconnect" };

export type Comparison =
  | "equals"
  | "not-equals"
  | "less-than"
  | "greater-than"
  | "contains"
  | "starts-with"
  | "is-empty";
