// Where a running flow is. Plain JSON data: it is checkpointed, and a twin goes on from it.

import type { PlayId } from "../media/prompt.ts";
import type { ActivityId } from "./flow.ts";
import type { CallFacts } from "./flow-execution.ts";

/** What a flow carries from activity to activity. */
export interface Run {
  readonly facts: CallFacts;
  readonly variables: Readonly<Record<string, string>>;
  /** Variables whose value no note may show: collected as sensitive, or copied from such a one or from a number. */
  readonly hidden: readonly string[];
  /** Keys pressed before anybody asked. The next menu or collect takes them instead of playing its prompt. */
  readonly typedAhead: string;
  /** A collect was full before its terminator came: that key, if it comes next, is habit and means nothing. "" for none. */
  readonly habitKey: string;
  /** Play ids given out so far. */
  readonly plays: number;
  /** Failures since the caller last heard a prompt to its end, pressed a key that counted, or talked to somebody. */
  readonly failuresInRow: number;
}

/** While a menu or collect waits: its prompt plays, or the input timer runs. */
export type Hearing = { readonly kind: "prompt"; readonly play: PlayId } | { readonly kind: "silence" };

/** While in queue. In silence (no music could be played) the message timer runs, then we try again. */
export type QueueHearing =
  | { readonly kind: "music"; readonly play: PlayId }
  | { readonly kind: "message"; readonly play: PlayId }
  | { readonly kind: "silence" };

export type FlowState = { readonly run: Run } & (
  | { readonly name: "playing"; readonly activity: ActivityId; readonly play: PlayId }
  | { readonly name: "menu"; readonly activity: ActivityId; readonly attempt: number; readonly hearing: Hearing }
  | {
      readonly name: "collecting";
      readonly activity: ActivityId;
      readonly attempt: number;
      /** Once there are some, nothing plays and the inter-digit timer runs. */
      readonly digits: string;
      readonly hearing: Hearing;
    }
  | {
      readonly name: "queued";
      readonly activity: ActivityId;
      readonly hearing: QueueHearing;
      /** "default" once the queue's own music has failed. */
      readonly music: "own" | "default";
      readonly messagesPlayed: number;
      /** 0 until the region has told. */
      readonly position: number;
      readonly digitsIgnored: number;
    }
  | { readonly name: "with-agent"; readonly activity: ActivityId }
  | { readonly name: "transferring"; readonly activity: ActivityId; readonly hearing: Hearing }
  | { readonly name: "with-number"; readonly activity: ActivityId }
  | {
      readonly name: "default-treatment";
      readonly activity: ActivityId;
      readonly play: PlayId;
      readonly because: string;
    }
  | { readonly name: "ended"; readonly because: string }
);

export type FlowStateName = FlowState["name"];
export type In<Name extends FlowStateName> = Extract<FlowState, { readonly name: Name }>;
