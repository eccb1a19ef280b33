// queue.v1 to our words and back.

import { asId } from "../../../../kernel/ids.ts";
import { impossible } from "../../../../kernel/step.ts";
import {
  type ConnectRequest,
  type ConnectResponse,
  type DeepPartial,
  type Enqueue,
  type HeldOffer as HeldOfferWire,
  OfferFailure as OfferFailureWire,
} from "../../../../proto/gen/queue/v1/queue.ts";
import type { OfTenant, RoutingDirective, RoutingReport } from "../../../boundary/contact-routing.ts";
import type { Arrival, HeldOffer, OfferFailure } from "../../../core/queue/shard-messages.ts";

const contact = (id: string | undefined) => asId<"call">(id ?? "");
const offer = (id: string | undefined) => asId<"offer">(id ?? "");
const tenant = (id: string | undefined) => asId<"tenant">(id ?? "");
const queue = (id: string | undefined) => asId<"queue">(id ?? "");

const arrivalFromWire = (wire: Enqueue): OfTenant<Arrival> => ({
  tenantId: tenant(wire.tenantId),
  contactId: contact(wire.contactId),
  queueId: queue(wire.queueId),
  priority: wire.priority ?? 0,
  enqueuedAtMs: wire.enqueuedAtUnixMs ?? 0,
});

const heldOfferFromWire = (wire: HeldOfferWire): OfTenant<HeldOffer> => ({
  tenantId: tenant(wire.tenantId),
  offerId: offer(wire.offerId),
  contactId: contact(wire.contactId),
  agentId: asId<"agent">(wire.agentId ?? ""),
  queueId: queue(wire.queueId),
  accepted: wire.accepted ?? false,
});

/** What a newer POP calls a failure that we do not know is a phone that could not be reached: the next agent is tried. */
function failureFromWire(wire: number | undefined): OfferFailure {
  switch (wire) {
    case OfferFailureWire.OFFER_FAILURE_REJECTED:
      return "rejected";
    case OfferFailureWire.OFFER_FAILURE_NO_ANSWER:
      return "no-answer";
    case OfferFailureWire.OFFER_FAILURE_CONTACT_GONE:
      return "contact-gone";
    default:
      return "unreachable";
  }
}

/** Undefined for a report newer than we are: skipped, never an error. */
export function reportFromWire({ report }: ConnectRequest): RoutingReport | undefined {
  switch (report?.$case) {
    case "hello": {
      const { popId, hostId, waiting, offers, epoch } = report.value;
      return {
        kind: "hello",
        popId: asId<"pop">(popId ?? ""),
        hostId: asId<"pop-host">(hostId ?? ""),
        epoch: epoch ?? 0,
        waiting: waiting.map(arrivalFromWire),
        offers: offers.map(heldOfferFromWire),
      };
    }
    case "enqueue":
      return { kind: "enqueue", ...arrivalFromWire(report.value) };
    case "cancel": {
      const { tenantId, contactId, reason } = report.value;
      return { kind: "cancel", tenantId: tenant(tenantId), contactId: contact(contactId), reason: reason ?? "" };
    }
    case "offerAccepted":
      return {
        kind: "offer-accepted",
        contactId: contact(report.value.contactId),
        offerId: offer(report.value.offerId),
      };
    case "offerFailed": {
      const { contactId, offerId, failure, sipStatus } = report.value;
      return {
        kind: "offer-failed",
        contactId: contact(contactId),
        offerId: offer(offerId),
        failure: failureFromWire(failure),
        sipStatus: sipStatus ?? 0,
      };
    }
    case "agentReleased":
      return {
        kind: "agent-released",
        contactId: contact(report.value.contactId),
        offerId: offer(report.value.offerId),
      };
    default:
      return undefined;
  }
}

export function directiveToWire(directive: RoutingDirective): DeepPartial<ConnectResponse> {
  switch (directive.kind) {
    case "welcome":
      return { directive: { $case: "welcome", value: { regionId: directive.regionId } } };
    case "tell-position": {
      const { contactId, queueId, position } = directive;
      return { directive: { $case: "queued", value: { contactId, queueId, position } } };
    }
    case "offer": {
      const { offerId, contactId, agentId, agentUri, ringTimeoutMs, queueId } = directive;
      return {
        directive: { $case: "offer", value: { offerId, contactId, agentId, agentUri, ringTimeoutMs, queueId } },
      };
    }
    case "withdraw": {
      const { offerId, contactId, reason } = directive;
      return { directive: { $case: "offerWithdrawn", value: { offerId, contactId, reason } } };
    }
    case "refuse": {
      const { contactId, code, reason } = directive;
      return { directive: { $case: "contactRefused", value: { contactId, code, reason } } };
    }
    default:
      return impossible(directive);
  }
}
