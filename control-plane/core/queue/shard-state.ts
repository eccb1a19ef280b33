// A tenant's queues and agents as they are right now: plain data, kept in Redis as it stands. What happens to it: shard.ts.

import type { AgentId, CallId, OfferId, PopHostId, QueueId, TeamId } from "../../../kernel/ids.ts";
import type { UnixMs } from "../../../kernel/units.ts";

/** Wall-clock milliseconds throughout: places and waiting times outlive the process that counted them. */
export type AtMs = UnixMs;

/** What an agent becomes when the contact at hand is over. */
export type AfterContact =
  | { readonly name: "available" }
  | { readonly name: "idle"; readonly reason: string }
  | { readonly name: "signed-out" };

export type AgentState =
  | { readonly name: "available"; readonly sinceMs: AtMs }
  /** Not ready: by choice, or because an offer was declined or the phone not reached; `reason` says which. */
  | { readonly name: "idle"; readonly sinceMs: AtMs; readonly reason: string }
  /** Let an offer ring out. Offered nothing until set available. */
  | { readonly name: "rona"; readonly sinceMs: AtMs }
  | {
      readonly name: "offered";
      readonly sinceMs: AtMs;
      readonly contactId: CallId;
      readonly offerId: OfferId;
      /** Given back when the offer ends by nobody's fault. */
      readonly availableSinceMs: AtMs;
      readonly after: AfterContact;
    }
  | {
      readonly name: "on-contact";
      readonly sinceMs: AtMs;
      readonly contactId: CallId;
      readonly offerId: OfferId;
      readonly after: AfterContact;
    }
  | { readonly name: "wrap-up"; readonly sinceMs: AtMs; readonly untilMs: AtMs; readonly after: AfterContact };

/** A signed-in agent; who is not here is signed out. */
export interface Agent {
  readonly id: AgentId;
  /** SIP URI at which the agent is reached. */
  readonly address: string;
  readonly state: AgentState;
}

export type ContactState =
  | { readonly name: "waiting" }
  | { readonly name: "offered"; readonly offerId: OfferId; readonly agentId: AgentId; readonly expiresAtMs: AtMs }
  | { readonly name: "accepted"; readonly offerId: OfferId; readonly agentId: AgentId; readonly sinceMs: AtMs };

export interface Contact {
  readonly id: CallId;
  readonly queueId: QueueId;
  readonly hostId: PopHostId;
  readonly priority: number;
  /** When the caller began to wait: with the priority, this alone decides the place. */
  readonly enqueuedAtMs: AtMs;
  readonly state: ContactState;
  readonly offersMade: number;
  /** The offer that ended last, for an answer that crossed its end. */
  readonly endedOffer: { readonly offerId: OfferId; readonly agentId: AgentId } | null;
  /** The place last told to the POP; 0: none. */
  readonly positionTold: number;
}

export type HostState = { readonly name: "linked" } | { readonly name: "lost"; readonly sinceMs: AtMs };

export interface ShardState {
  readonly agents: Readonly<Record<string, Agent>>;
  readonly contacts: Readonly<Record<string, Contact>>;
  readonly hosts: Readonly<Record<string, HostState>>;
  /** Since the shard began: every offer has its own number. */
  readonly offersMade: number;
  /** Places were last told then; they are told again at most once in positionIntervalMs. */
  readonly positionsToldAtMs: AtMs;
  readonly positionsStale: boolean;
}

export const EMPTY_SHARD: ShardState = {
  agents: {},
  contacts: {},
  hosts: {},
  offersMade: 0,
  positionsToldAtMs: 0,
  positionsStale: false,
};

/** What the shard looks up: configuration, not state. */
export interface Directory {
  readonly queues: ReadonlyMap<
    QueueId,
    { readonly teams: readonly TeamId[]; readonly ringTimeoutMs: number; readonly contactsMax: number }
  >;
  readonly agents: ReadonlyMap<AgentId, { readonly teams: readonly TeamId[] }>;
  readonly timing: ShardTiming;
}

export interface ShardTiming {
  /** How long after the ring timeout the POP may take to say what came of an offer. */
  readonly offerGraceMs: number;
  /** How long the contacts of a host that is gone keep their places. */
  readonly hostGraceMs: number;
  readonly wrapUpMs: number;
  readonly positionIntervalMs: number;
}

export const DEFAULT_TIMING: ShardTiming = {
  offerGraceMs: 5_000,
  hostGraceMs: 60_000,
  wrapUpMs: 0,
  positionIntervalMs: 1_000,
};

/** Higher priority first, then who waits longest, then by id so that the order is total. */
export function byPlace(a: Contact, b: Contact): number {
  return b.priority - a.priority || a.enqueuedAtMs - b.enqueuedAtMs || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);
}

/** Those who wait in a queue, in their places. */
export const waitingIn = (contacts: ShardState["contacts"], queueId: QueueId): readonly Contact[] =>
  Object.values(contacts)
    .filter((contact) => contact.queueId === queueId && contact.state.name === "waiting")
    .sort(byPlace);

export const isLinked = (hosts: ShardState["hosts"], hostId: PopHostId): boolean => hosts[hostId]?.name === "linked";
