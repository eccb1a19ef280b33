// The stream on which a POP host brings contacts and hears of offers: what passes on it, in our words.

import type { CallId, OfferId, PopHostId, PopId, TenantId } from "../../kernel/ids.ts";
import type { Outcome } from "../../kernel/outcome.ts";
import type { Arrival, HeldOffer, OfferFailure, ShardEffect } from "../core/queue/shard-messages.ts";
import type { AdmissionFailure } from "./pop-links.ts";

export type OfTenant<Thing> = Thing & { readonly tenantId: TenantId };

export type RoutingReport =
  | {
      readonly kind: "hello";
      readonly popId: PopId;
      readonly hostId: PopHostId;
      /** Of the owner of the host's service. */
      readonly epoch: number;
      readonly waiting: readonly OfTenant<Arrival>[];
      readonly offers: readonly OfTenant<HeldOffer>[];
    }
  | ({ readonly kind: "enqueue" } & OfTenant<Arrival>)
  | { readonly kind: "cancel"; readonly tenantId: TenantId; readonly contactId: CallId; readonly reason: string }
  | { readonly kind: "offer-accepted"; readonly contactId: CallId; readonly offerId: OfferId }
  | {
      readonly kind: "offer-failed";
      readonly contactId: CallId;
      readonly offerId: OfferId;
      readonly failure: OfferFailure;
      readonly sipStatus: number;
    }
  | { readonly kind: "agent-released"; readonly contactId: CallId; readonly offerId: OfferId };

export type RoutingDirective =
  | { readonly kind: "welcome"; readonly regionId: string }
  | Exclude<ShardEffect, { kind: "decided" }>;

/** One host's link to queue routing, from its hello until the stream ends. */
export interface RoutingLink {
  receive(report: RoutingReport): void;
  directives(): AsyncIterable<RoutingDirective>;
  close(): void;
}

export interface ContactRouting {
  admit(
    hello: Extract<RoutingReport, { kind: "hello" }>,
    certificateOf: string,
  ): Outcome<RoutingLink, AdmissionFailure>;
}
