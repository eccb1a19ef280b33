// A call as plain data: everything a twin would need to carry on with it.

import type {
  AgentId,
  CallId,
  EntryPointId,
  FlowId,
  LegId,
  OfferId,
  QueueId,
  TenantId,
  TrunkId,
} from "../../../kernel/ids.ts";
import type { UnixMs } from "../../../kernel/units.ts";
import type { FlowState } from "../ivr/flow-state.ts";
import type { PlayId, Prompt } from "../media/prompt.ts";
import type { Sdp } from "../media/sdp.ts";
import type { MediaLegRecord, Segment } from "./contact-record.ts";

export interface CallState {
  readonly basics: CallBasics;
  readonly phase: CallPhase;
  /** Events told so far: the next has this number. */
  readonly eventCount: number;
  /** What is over, for the contact record. */
  readonly segments: readonly Segment[];
  readonly media: readonly MediaLegRecord[];
  /** How often its media had to be given a new place by re-INVITE. Absent: never. */
  readonly reAnchoredCount?: number;
}

/** Known when the INVITE arrives, and never changed. */
export interface CallBasics {
  readonly id: CallId;
  readonly tenantId: TenantId;
  readonly trunkId: TrunkId;
  readonly entryPointId: EntryPointId;
  readonly flowId: FlowId;
  readonly flowVersion: number;
  readonly callingNumber: string;
  readonly calledNumber: string;
  readonly arrivedAtUnixMs: UnixMs;
}

export type CallPhase =
  /** The INVITE is here, relay and worker are asked for an anchor; the caller hears nothing yet. */
  | { readonly name: "anchoring" }
  /** Our 200 is out, the ACK is not seen yet. */
  | { readonly name: "answering"; readonly answeredAtUnixMs: UnixMs; readonly callerSdp: Sdp }
  | ({ readonly name: "running" } & Running)
  | { readonly name: "ended" };

/** The flow is at work, alone or with somebody at the far end. */
export interface Running {
  readonly answeredAtUnixMs: UnixMs;
  /** What we last told the caller about media: the answer to an offerless re-INVITE. RFC 3261 §14.2 */
  readonly callerSdp: Sdp;
  readonly flow: FlowState;
  /** What the media worker plays: a worker or twin that comes fresh is told it again. */
  readonly playing: Playing | undefined;
  readonly place: QueuePlace;
  readonly far: FarLeg;
  readonly refer: Refer;
  readonly legCount: number;
  readonly current: OpenSegment;
}

export interface Playing {
  readonly play: PlayId;
  readonly prompts: readonly Prompt[];
  readonly repeat: "once" | "forever";
  /** Where in the prompts it was last begun; counted on through every pass of what is repeated. */
  readonly fromMs: number;
  /** When the worker began there; undefined while it has not said so, or has gone away: then it stands at `fromMs`. */
  readonly sinceUnixMs: UnixMs | undefined;
}

/** How far a play is at a moment. A wall clock that went back makes it no shorter than where it was begun. */
export const positionMs = ({ fromMs, sinceUnixMs }: Playing, atUnixMs: UnixMs): number =>
  sinceUnixMs === undefined ? fromMs : fromMs + Math.max(0, atUnixMs - sinceUnixMs);

export type QueuePlace =
  | { readonly name: "none" }
  /** Asked for; the region has not answered yet. */
  | ({ readonly name: "joining" } & Queued)
  /** 1 is next. */
  | ({ readonly name: "waiting"; readonly position: number } & Queued);

export interface Queued {
  readonly queueId: QueueId;
  readonly priority: number;
  readonly enqueuedAtUnixMs: UnixMs;
}

/** The one leg that we place for this call. */
export type FarLeg =
  | { readonly name: "none" }
  /** The relay is asked for an offer. */
  | { readonly name: "preparing"; readonly leg: LegId; readonly party: Party; readonly sinceUnixMs: UnixMs }
  | ({ readonly name: "ringing"; readonly sinceUnixMs: UnixMs } & Invited)
  /** Answered; the relay is joining both sides. */
  | ({ readonly name: "joining"; readonly sinceUnixMs: UnixMs; readonly answer: Sdp } & Invited)
  | ({ readonly name: "talking" } & Invited);

/** A transfer that the far party has asked for, until the target is there or is not. */
export type Refer =
  | { readonly name: "none" }
  | { readonly name: "trying"; readonly request: string; readonly target: ReferTarget };

/** A leg beside the one that talks; it takes that one's place. */
export type ReferTarget = Exclude<FarLeg, { name: "none" | "talking" }>;

export interface Invited {
  readonly leg: LegId;
  readonly party: Party;
  /** What we last told that side about media. */
  readonly farSdp: Sdp;
  /** The relay has lost the place that the INVITE named before it was answered: what a re-INVITE offers once it is. */
  readonly movedTo?: Sdp;
}

export type Party =
  | {
      readonly kind: "agent";
      readonly agentId: AgentId;
      readonly offerId: OfferId;
      readonly queueId: QueueId;
      readonly uri: string;
      readonly ringTimeoutMs: number;
    }
  | { readonly kind: "number"; readonly uri: string; readonly ringTimeoutMs: number }
  /** Whom the far party referred the caller to. */
  | {
      readonly kind: "referred";
      readonly uri: string;
      readonly ringTimeoutMs: number;
      /** Whose leaving the flow waits for. */
      readonly insteadOf: "agent" | "number";
    };

export interface OpenSegment {
  readonly kind: Segment["kind"];
  readonly startedAtUnixMs: UnixMs;
  readonly queueId: QueueId | undefined;
  readonly agentId: AgentId | undefined;
}
