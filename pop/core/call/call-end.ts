// How a call, and a leg that never came to talking, is ended: everybody who has a part in it hears of it, once.

import type { CallInput, CallTimer } from "./call-execution.ts";
import type { FarLeg } from "./call-state.ts";
import type { ContactRecord, EndedBy } from "./contact-record.ts";
import type { RoutingDirective, RoutingReport } from "./contact-routing.ts";
import { dropTarget } from "./refer.ts";
import { closeSegment, type Turn } from "./turn.ts";

export type PlacedLeg = Exclude<FarLeg, { name: "none" }>;

export function hangUpAndEnd(turn: Turn, endedBy: EndedBy, code: string): void {
  turn.do({ kind: "hang-up", side: "caller", code });
  endCall(turn, endedBy, code);
}

export function endCall(turn: Turn, endedBy: EndedBy, endCode: string): void {
  const { phase, basics } = turn.state;
  const answeredAtUnixMs = phase.name === "running" || phase.name === "answering" ? phase.answeredAtUnixMs : undefined;
  if (phase.name === "running") {
    const { far, place } = phase;
    const { id, tenantId } = basics;
    dropTarget(turn, phase, "abandoned");
    if (far.name === "talking") {
      turn.do({ kind: "hang-up", side: far.leg, code: endCode });
      if (far.party.kind === "agent")
        turn.report({ kind: "agent-released", offerId: far.party.offerId, contactId: id });
    } else if (far.name !== "none") dropFarLeg(turn, far, "abandoned");
    if (place.name !== "none") {
      const reason = endedBy === "caller" ? "abandoned" : "released";
      turn.report({ kind: "cancel", contactId: id, tenantId, reason });
      turn.tell("queue.left", { queueId: place.queueId, reason });
    }
    closeSegment(turn, endCode === "normal" ? "ended" : endCode, undefined);
  }
  for (const timer of ALL_TIMERS) turn.stop(timer);
  turn.do({ kind: "release-media" });
  turn.note("call", `ended by ${endedBy}`, endCode);
  const record: ContactRecord = {
    contactId: basics.id,
    tenantId: basics.tenantId,
    regionId: turn.ctx.regionId,
    popId: turn.ctx.popId,
    hostId: turn.ctx.hostId,
    trunkId: basics.trunkId,
    entryPointId: basics.entryPointId,
    flowId: basics.flowId,
    flowVersion: basics.flowVersion,
    callingNumber: basics.callingNumber,
    calledNumber: basics.calledNumber,
    arrivedAtUnixMs: basics.arrivedAtUnixMs,
    answeredAtUnixMs,
    endedAtUnixMs: turn.now,
    endedBy,
    endCode,
    segments: turn.state.segments,
    media: turn.state.media,
    reAnchored: turn.state.reAnchoredCount ?? 0,
  };
  turn.tell("call.ended", { endedBy, endCode }, record);
  turn.phase({ name: "ended" });
  turn.do({ kind: "ended", call: basics.id, record });
}

const ALL_TIMERS: readonly CallTimer[] = [
  "flow.input",
  "flow.message",
  "flow.wait",
  "call.setup",
  "call.ack",
  "call.ring",
  "call.routing",
  "call.worker",
  "call.limit",
];

/** A region that offers us a contact which is gone must hear it, or the agent stays reserved. */
export function ended(turn: Turn, input: CallInput): void {
  if (input.kind === "directed" && input.directive.kind === "offer") turn.report(offerGone(turn, input.directive));
}

export const offerGone = (turn: Turn, { offerId }: Extract<RoutingDirective, { kind: "offer" }>): RoutingReport => ({
  kind: "offer-failed",
  offerId,
  contactId: turn.state.basics.id,
  failure: "contact-gone",
  sipStatus: 0,
});

/** Ends a leg that is not talking, whoever wants it; the region asked for it or the caller is no longer there. */
export function dropFarLeg(turn: Turn, far: PlacedLeg, outcome: string): void {
  turn.stop("call.ring");
  turn.ringingOver(far, outcome);
  if (far.name === "ringing") turn.do({ kind: "cancel-leg", leg: far.leg });
  if (far.name === "joining") turn.do({ kind: "hang-up", side: far.leg, code: outcome });
  turn.do({ kind: "park", leg: far.leg });
  turn.run({ far: { name: "none" } });
  if (far.party.kind === "agent") {
    const { offerId } = far.party;
    turn.report({
      kind: "offer-failed",
      offerId,
      contactId: turn.state.basics.id,
      failure: "contact-gone",
      sipStatus: 0,
    });
  }
}
