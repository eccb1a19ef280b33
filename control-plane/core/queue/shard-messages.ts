// What a shard is told and what it asks for.

import type { AgentId, CallId, OfferId, PopHostId, QueueId } from "../../../kernel/ids.ts";
import type { AtMs } from "./shard-state.ts";

/** A contact as its POP host brings it. */
export interface Arrival {
  readonly contactId: CallId;
  readonly queueId: QueueId;
  readonly priority: number;
  readonly enqueuedAtMs: AtMs;
}

/** An offer that a POP host holds when it links: ringing, or in conversation. */
export interface HeldOffer {
  readonly offerId: OfferId;
  readonly contactId: CallId;
  readonly agentId: AgentId;
  readonly queueId: QueueId;
  readonly accepted: boolean;
}

export type OfferFailure = "rejected" | "no-answer" | "unreachable" | "contact-gone";

export type AgentChoice = { readonly name: "available" } | { readonly name: "idle"; readonly reason: string };

export type ShardInput = { readonly atMs: AtMs } & (
  | { readonly kind: "agent-signed-in"; readonly agentId: AgentId; readonly address: string; readonly as: AgentChoice }
  | { readonly kind: "agent-signed-out"; readonly agentId: AgentId }
  | { readonly kind: "agent-set"; readonly agentId: AgentId; readonly to: AgentChoice }
  | ({ readonly kind: "enqueue"; readonly hostId: PopHostId } & Arrival)
  | { readonly kind: "cancel"; readonly hostId: PopHostId; readonly contactId: CallId; readonly reason: string }
  | { readonly kind: "offer-accepted"; readonly contactId: CallId; readonly offerId: OfferId }
  | {
      readonly kind: "offer-failed";
      readonly contactId: CallId;
      readonly offerId: OfferId;
      readonly failure: OfferFailure;
      /** Of the agent's phone; 0: none. */
      readonly sipStatus: number;
    }
  | { readonly kind: "agent-released"; readonly contactId: CallId; readonly offerId: OfferId }
  /** The host's stream is up; this is all of this tenant's that it holds. */
  | {
      readonly kind: "host-linked";
      readonly hostId: PopHostId;
      readonly waiting: readonly Arrival[];
      readonly offers: readonly HeldOffer[];
    }
  | { readonly kind: "host-unlinked"; readonly hostId: PopHostId }
  /** The directory changed. */
  | { readonly kind: "configured" }
  /** This state was just loaded: nobody is linked yet. */
  | { readonly kind: "restored" }
  | { readonly kind: "tick" }
);

export type ShardEffect =
  | {
      readonly kind: "tell-position";
      readonly hostId: PopHostId;
      readonly contactId: CallId;
      readonly queueId: QueueId;
      readonly position: number;
    }
  | {
      readonly kind: "offer";
      readonly hostId: PopHostId;
      readonly offerId: OfferId;
      readonly contactId: CallId;
      readonly queueId: QueueId;
      readonly agentId: AgentId;
      readonly agentUri: string;
      readonly ringTimeoutMs: number;
    }
  | {
      readonly kind: "withdraw";
      readonly hostId: PopHostId;
      readonly offerId: OfferId;
      readonly contactId: CallId;
      readonly reason: string;
    }
  | {
      readonly kind: "refuse";
      readonly hostId: PopHostId;
      readonly contactId: CallId;
      readonly code: RefusalCode;
      readonly reason: string;
    }
  | { readonly kind: "decided"; readonly contactId: CallId; readonly decision: Decision };

export type RefusalCode = "queue.unknown" | "queue.full" | "shard.not-owned";

/** One entry of a contact's journal: what was decided about it, and why. */
export interface Decision {
  readonly atMs: AtMs;
  /** Stable: "queued", "offered", "no-answer", "declined" … */
  readonly what: string;
  readonly why: string;
}
