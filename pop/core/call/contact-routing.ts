// What a POP host says of its contacts to the region, and what the region directs. Wire form: proto queue/v1.

import type { AgentId, CallId, OfferId, QueueId, TenantId } from "../../../kernel/ids.ts";
import type { UnixMs } from "../../../kernel/units.ts";

export interface WaitingContact {
  readonly contactId: CallId;
  readonly tenantId: TenantId;
  readonly queueId: QueueId;
  readonly priority: number;
  readonly enqueuedAtUnixMs: UnixMs;
}

export interface HeldOffer {
  readonly offerId: OfferId;
  readonly contactId: CallId;
  readonly tenantId: TenantId;
  readonly agentId: AgentId;
  readonly queueId: QueueId;
  readonly accepted: boolean;
}

/** Every contact that this host holds, told at each reconnect: what is not in it is over. */
export interface HeldContacts {
  readonly waiting: readonly WaitingContact[];
  readonly offers: readonly HeldOffer[];
}

export type RoutingReport =
  | ({ readonly kind: "enqueue" } & WaitingContact)
  | {
      readonly kind: "cancel";
      readonly contactId: CallId;
      readonly tenantId: TenantId;
      readonly reason: "abandoned" | "wait-exceeded" | "released";
    }
  | { readonly kind: "offer-accepted"; readonly offerId: OfferId; readonly contactId: CallId }
  | {
      readonly kind: "offer-failed";
      readonly offerId: OfferId;
      readonly contactId: CallId;
      readonly failure: "rejected" | "no-answer" | "unreachable" | "contact-gone";
      readonly sipStatus: number;
    }
  | { readonly kind: "agent-released"; readonly offerId: OfferId; readonly contactId: CallId };

export type RoutingDirective =
  | { readonly kind: "queued"; readonly contactId: CallId; readonly queueId: QueueId; readonly position: number }
  | {
      readonly kind: "offer";
      readonly offerId: OfferId;
      readonly contactId: CallId;
      readonly agentId: AgentId;
      readonly agentUri: string;
      readonly ringTimeoutMs: number;
      readonly queueId: QueueId;
    }
  | { readonly kind: "offer-withdrawn"; readonly offerId: OfferId; readonly contactId: CallId; readonly reason: string }
  | { readonly kind: "refused"; readonly contactId: CallId; readonly code: string };
