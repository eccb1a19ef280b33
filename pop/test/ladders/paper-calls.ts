// How far a call on paper has come when a ladder's own story begins.

import { asId, type CallId } from "../../../kernel/ids.ts";
import type { RoutingDirective } from "../../core/call/contact-routing.ts";
import { type PaperPop, SDP_OF_PHONE } from "./paper-pop.ts";

export const offer = (contactId: CallId): RoutingDirective => ({
  kind: "offer",
  offerId: asId<"offer">("o1"),
  contactId,
  agentId: asId<"agent">("alice"),
  agentUri: "sip:alice@127.30.0.1",
  ringTimeoutMs: 15_000,
  queueId: asId<"queue">("support"),
});
export const queued = (contactId: CallId): RoutingDirective => ({
  kind: "queued",
  contactId,
  queueId: asId<"queue">("support"),
  position: 1,
});

export async function inQueue(pop: PaperPop): Promise<CallId> {
  const call = await pop.ring();
  await pop.says("caller", "ACK", call, { kind: "caller-acked" });
  await pop.promptEnds(call);
  await pop.presses(call, "1");
  return call;
}

/** With alice, the first leg. */
export async function talking(pop: PaperPop): Promise<CallId> {
  const call = await inQueue(pop);
  await pop.region(queued(call));
  await pop.region(offer(call));
  await pop.says("agent", "200", call, { kind: "leg-answered", leg: pop.leg(call), sdp: SDP_OF_PHONE });
  return call;
}
