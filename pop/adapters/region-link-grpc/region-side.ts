// The wire as the region reads and writes it, back into the core's words: for tests, which compare what was heard with what was said.

import { asId } from "../../../kernel/ids.ts";
import type { ConnectRequest as LinkRequest } from "../../../proto/gen/pop_link/v1/pop_link.ts";
import {
  OfferFailure,
  type ConnectRequest as RoutingRequest,
  type ConnectResponse as RoutingResponse,
} from "../../../proto/gen/queue/v1/queue.ts";
import type { HeardRouting } from "../../boundary/contact-routing.contract.ts";
import type { RoutingDirective, WaitingContact } from "../../boundary/contact-routing.ts";
import type { HeardReport } from "../../boundary/region-link.contract.ts";

export function heardReport(report: NonNullable<LinkRequest["report"]>): HeardReport {
  switch (report.$case) {
    case "hello":
      return { kind: "hello", appliedVersion: report.value.appliedVersion ?? 0 };
    case "applied":
      return { kind: "applied", version: report.value.version ?? 0 };
    case "refused":
      return {
        kind: "refused",
        version: report.value.version ?? 0,
        mistakes: report.value.mistakes.map(({ path = "", message = "" }) => ({ path, message })),
      };
    case "presence":
      return { kind: "presence", calls: report.value.calls ?? 0, draining: report.value.draining ?? false };
    case "commandDone":
      return {
        kind: "command-done",
        id: report.value.id ?? "",
        reason: report.value.done ? undefined : report.value.reason,
      };
  }
}

export function heardRouting(report: NonNullable<RoutingRequest["report"]>): HeardRouting {
  switch (report.$case) {
    case "hello":
      return {
        kind: "hello",
        waiting: report.value.waiting.map(waitingFromWire),
        offers: report.value.offers.map((offer) => ({
          offerId: asId<"offer">(offer.offerId ?? ""),
          contactId: asId<"call">(offer.contactId ?? ""),
          tenantId: asId<"tenant">(offer.tenantId ?? ""),
          agentId: asId<"agent">(offer.agentId ?? ""),
          queueId: asId<"queue">(offer.queueId ?? ""),
          accepted: offer.accepted ?? false,
        })),
      };
    case "enqueue":
      return { kind: "enqueue", ...waitingFromWire(report.value) };
    case "cancel":
      return {
        kind: "cancel",
        contactId: asId<"call">(report.value.contactId ?? ""),
        tenantId: asId<"tenant">(report.value.tenantId ?? ""),
        reason: report.value.reason as "abandoned" | "wait-exceeded" | "released",
      };
    case "offerAccepted":
      return { kind: "offer-accepted", ...offerOf(report.value) };
    case "offerFailed":
      return {
        kind: "offer-failed",
        ...offerOf(report.value),
        failure: FAILURES[report.value.failure ?? 0] ?? "rejected",
        sipStatus: report.value.sipStatus ?? 0,
      };
    case "agentReleased":
      return { kind: "agent-released", ...offerOf(report.value) };
  }
}

const FAILURES: Readonly<Record<number, "rejected" | "no-answer" | "unreachable" | "contact-gone">> = {
  [OfferFailure.OFFER_FAILURE_REJECTED]: "rejected",
  [OfferFailure.OFFER_FAILURE_NO_ANSWER]: "no-answer",
  [OfferFailure.OFFER_FAILURE_UNREACHABLE]: "unreachable",
  [OfferFailure.OFFER_FAILURE_CONTACT_GONE]: "contact-gone",
};

const offerOf = (wire: { offerId?: string | undefined; contactId?: string | undefined }) => ({
  offerId: asId<"offer">(wire.offerId ?? ""),
  contactId: asId<"call">(wire.contactId ?? ""),
});

const waitingFromWire = (
  wire: Extract<NonNullable<RoutingRequest["report"]>, { $case: "enqueue" }>["value"],
): WaitingContact => ({
  contactId: asId<"call">(wire.contactId ?? ""),
  tenantId: asId<"tenant">(wire.tenantId ?? ""),
  queueId: asId<"queue">(wire.queueId ?? ""),
  priority: wire.priority ?? 0,
  enqueuedAtUnixMs: wire.enqueuedAtUnixMs ?? 0,
});

export function directiveToWire(directive: RoutingDirective): NonNullable<RoutingResponse["directive"]> {
  switch (directive.kind) {
    case "queued":
      return { $case: "queued", value: { ...directive } };
    case "offer":
      return { $case: "offer", value: { ...directive } };
    case "offer-withdrawn":
      return { $case: "offerWithdrawn", value: { ...directive } };
    case "refused":
      return { $case: "contactRefused", value: { contactId: directive.contactId, code: directive.code, reason: "" } };
  }
}
