// queue.v1 ↔ the core's contact routing. A directive that cannot be understood is ignored; an offer that lacks what it takes
// to ring is answered for the caller of this module, so that the region does not wait for it.

import { asId } from "../../../kernel/ids.ts";
import {
  type ConnectRequest,
  type ConnectResponse,
  type Enqueue,
  OfferFailure,
} from "../../../proto/gen/queue/v1/queue.ts";
import type { HeldContacts, RoutingDirective, RoutingReport, WaitingContact } from "../../boundary/contact-routing.ts";

export type FromRegion =
  | { readonly kind: "welcome" }
  | { readonly kind: "directive"; readonly directive: RoutingDirective }
  | { readonly kind: "unusable-offer"; readonly answer: RoutingReport }
  | { readonly kind: "unknown" };

const UNKNOWN: FromRegion = { kind: "unknown" };

export function routingFromWire({ directive }: ConnectResponse): FromRegion {
  switch (directive?.$case) {
    case "welcome":
      return { kind: "welcome" };
    case "queued": {
      const { contactId, queueId, position } = directive.value;
      if (!contactId) return UNKNOWN;
      return directed({
        kind: "queued",
        contactId: asId<"call">(contactId),
        queueId: asId<"queue">(queueId ?? ""),
        position: position ?? 0,
      });
    }
    case "offer": {
      const offer = directive.value;
      if (!offer.offerId || !offer.contactId) return UNKNOWN;
      const offerId = asId<"offer">(offer.offerId);
      const contactId = asId<"call">(offer.contactId);
      if (!offer.agentId || !offer.agentUri || !offer.ringTimeoutMs)
        return {
          kind: "unusable-offer",
          answer: { kind: "offer-failed", offerId, contactId, failure: "unreachable", sipStatus: 0 },
        };
      return directed({
        kind: "offer",
        offerId,
        contactId,
        agentId: asId<"agent">(offer.agentId),
        agentUri: offer.agentUri,
        ringTimeoutMs: offer.ringTimeoutMs,
        queueId: asId<"queue">(offer.queueId ?? ""),
      });
    }
    case "offerWithdrawn": {
      const { offerId, contactId, reason } = directive.value;
      if (!offerId || !contactId) return UNKNOWN;
      return directed({
        kind: "offer-withdrawn",
        offerId: asId<"offer">(offerId),
        contactId: asId<"call">(contactId),
        reason: reason ?? "",
      });
    }
    case "contactRefused": {
      const { contactId, code } = directive.value;
      if (!contactId) return UNKNOWN;
      return directed({ kind: "refused", contactId: asId<"call">(contactId), code: code || "queue.refused" });
    }
    default:
      return UNKNOWN;
  }
}

const directed = (directive: RoutingDirective): FromRegion => ({ kind: "directive", directive });

export const heldToWire = (
  identity: { readonly popId: string; readonly hostId: string; readonly epoch: number },
  held: HeldContacts,
): ConnectRequest => ({
  report: {
    $case: "hello",
    value: {
      popId: identity.popId,
      hostId: identity.hostId,
      epoch: identity.epoch,
      waiting: held.waiting.map(waitingToWire),
      offers: held.offers.map((offer) => ({ ...offer })),
    },
  },
});

const waitingToWire = (contact: WaitingContact): Enqueue => ({
  contactId: contact.contactId,
  tenantId: contact.tenantId,
  queueId: contact.queueId,
  priority: contact.priority,
  enqueuedAtUnixMs: Math.round(contact.enqueuedAtUnixMs),
});

const OFFER_FAILURES = {
  rejected: OfferFailure.OFFER_FAILURE_REJECTED,
  "no-answer": OfferFailure.OFFER_FAILURE_NO_ANSWER,
  unreachable: OfferFailure.OFFER_FAILURE_UNREACHABLE,
  "contact-gone": OfferFailure.OFFER_FAILURE_CONTACT_GONE,
} as const;

export function routingToWire(report: RoutingReport): ConnectRequest {
  switch (report.kind) {
    case "enqueue":
      return { report: { $case: "enqueue", value: waitingToWire(report) } };
    case "cancel":
      return {
        report: {
          $case: "cancel",
          value: { contactId: report.contactId, tenantId: report.tenantId, reason: report.reason },
        },
      };
    case "offer-accepted":
      return {
        report: { $case: "offerAccepted", value: { offerId: report.offerId, contactId: report.contactId } },
      };
    case "offer-failed":
      return {
        report: {
          $case: "offerFailed",
          value: {
            offerId: report.offerId,
            contactId: report.contactId,
            failure: OFFER_FAILURES[report.failure],
            sipStatus: report.sipStatus,
          },
        },
      };
    case "agent-released":
      return {
        report: { $case: "agentReleased", value: { offerId: report.offerId, contactId: report.contactId } },
      };
  }
}
