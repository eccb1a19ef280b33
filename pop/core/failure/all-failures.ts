// Every failure code of the POP, as data: docs/FAILURES.md and the metrics' labels are checked against it.

import type { CallFailure, Verdict } from "./call-failure.ts";
import type { FlowFailureCode } from "./flow-failure.ts";

/** From the region, when a contact asks for a queue; the POP itself says routing.unreachable. */
export type QueueRefusalCode =
  | "queue.unknown"
  | "queue.full"
  | "shard.not-owned"
  | "shard.store-away"
  | "routing.unreachable";

/** Why a transfer to a number did not come about. */
export type TransferCode = "transfer.no-trunk" | "transfer.rejected" | "transfer.no-answer" | "transfer.unreachable";

/** What the call machine itself ends a call with. */
export type CallEndCode =
  | "call.setup-timeout"
  | "call.too-long"
  | "media.re-anchor-failed"
  | "sip.answer-failed"
  | "sip.server-away"
  | "sip.dialog-lost"
  | "operator.hung-up"
  | "pop.drained"
  | "pop.restarted"
  | "checkpoint.unreadable";

export type FailureCode = CallFailure["code"] | FlowFailureCode | QueueRefusalCode | TransferCode | CallEndCode;

export interface FailureEntry {
  /** tenant: whoever configured flow, trunk or queue. */
  readonly blame: Verdict["blame"] | "tenant";
  /** What the caller's side is told; 0: nothing at all; undefined: the call is up already, or goes on. */
  readonly sipStatus: number | undefined;
  /** What an operator does, in one sentence. */
  readonly operator: string;
}

const refused = (blame: FailureEntry["blame"], sipStatus: number, operator: string): FailureEntry => ({
  blame,
  sipStatus,
  operator,
});
const inCall = (blame: FailureEntry["blame"], operator: string): FailureEntry => ({
  blame,
  sipStatus: undefined,
  operator,
});

export const allFailures: Readonly<Record<FailureCode, FailureEntry>> = {
  // a call is not let in
  "source.unknown": refused(
    "caller",
    0,
    "Nothing, unless the address is a carrier's: then add it to the trunk's sourceCidrs.",
  ),
  "trunk.at-capacity": refused(
    "us",
    503,
    "Raise the trunk's callsConcurrentMax if the contract allows more, or add a trunk.",
  ),
  "trunk.too-fast": refused(
    "trunk",
    503,
    "Ask the carrier to keep to the agreed rate, or raise the trunk's callsPerSecondMax.",
  ),
  "tenant.at-capacity": refused("us", 503, "Raise the tenant's callsConcurrentMax if the contract allows more."),
  "pop.at-capacity": refused("us", 503, "Add POP hosts, or move traffic away: the host is full."),
  "pop.draining": refused("us", 503, "Nothing: the host is being taken out of service on purpose."),
  "pop.no-snapshot": refused("us", 503, "Look why the host has neither a snapshot on disk nor a link to its region."),
  "number.unknown": refused(
    "caller",
    404,
    "Check that the number is configured for the tenant whose trunk the call came by.",
  ),
  "number.unusable": refused("caller", 484, "Ask the carrier to send a telephone number in the Request-URI."),
  "sip.too-many-hops": refused("caller", 483, "Look for a routing loop between the carrier and us."),
  "sip.no-offer": refused("us", 488, "Ask the carrier to send its SDP offer in the INVITE."),
  "call.setup-timeout": refused("us", 503, "Look at the media relay's and worker's answer times."),

  // media
  "media.relay-away": refused("us", 503, "Look whether rtpengine runs and answers on its control port."),
  "media.relay-refused": refused("us", 503, "Read rtpengine's own words in the detail and in its log."),
  "media.not-anchored": refused("us", 500, "Report it with the call's trace: a command came for a call without media."),
  "media.no-such-leg": refused(
    "us",
    500,
    "Report it with the call's trace: a command came for a leg that is not there.",
  ),
  "media.sdp-unreadable": refused(
    "caller",
    488,
    "Compare the caller's SDP with the detail, and take it up with the carrier.",
  ),
  "media.no-common-codec": refused("caller", 488, "Ask the carrier to offer G.711."),
  "media.transport-unsupported": refused(
    "us",
    488,
    "Ask the carrier to offer RTP/AVP, or RTP/SAVP with keys in the SDP, on this trunk.",
  ),
  "media.worker-away": refused("us", 503, "Look whether the media worker runs: it is restarted by itself."),
  "media.worker-refused": refused("us", 503, "Read the media worker's own words in the detail and in its log."),
  "media.endpoints-exhausted": refused(
    "us",
    503,
    "Widen the media worker's port range, or lower the host's call limit.",
  ),
  "media.not-open": refused(
    "us",
    500,
    "Report it with the call's trace: a play was asked for without an open endpoint.",
  ),
  "media.prompt-unreadable": refused(
    "us",
    500,
    "Look whether the prompt cache's files are still on disk and readable.",
  ),

  // a flow's activity; the caller goes its failure path or hears the default treatment
  "flow.prompt-failed": inCall(
    "us",
    "Look in the trace which prompt it was, and whether its file exists or speech works.",
  ),
  "flow.no-input": inCall("caller", "Nothing; if frequent, give the activity an onNoInput or a longer timeout."),
  "flow.no-match": inCall("caller", "Nothing; if frequent, reword the prompt or give the menu an onNoMatch."),
  "flow.loop": inCall("tenant", "Have the flow's author break the circle of activities that take no time."),
  "flow.template-invalid": inCall(
    "tenant",
    "Have the flow's author set the variable before it is read, or correct the template.",
  ),
  "flow.not-a-number": inCall(
    "tenant",
    "Have the flow's author make sure that both sides of the comparison are numbers.",
  ),
  "flow.activity-unknown": inCall("us", "Report it: the snapshot check should have refused this flow."),
  "flow.queue-refused": inCall("us", "Look in the trace at the queue's own code, and there for what to do."),
  "flow.wait-exceeded": inCall("tenant", "Nothing, or staff the queue better; the flow may name an onWaitExceeded."),
  "flow.number-unusable": inCall("tenant", "Have the flow's author correct the number of the transfer."),
  "flow.transfer-failed": inCall("us", "Look in the trace at the transfer's own code, and there for what to do."),

  // a queue will not have the contact
  "queue.unknown": inCall("tenant", "Check that the queue is configured in the region that routes it."),
  "queue.full": inCall("tenant", "Raise the queue's bound or staff it better."),
  "shard.not-owned": inCall("us", "Wait some seconds; if it lasts, look why no control-plane replica owns the shard."),
  "shard.store-away": inCall("us", "Look whether the region's Redis answers."),
  "routing.unreachable": inCall("us", "Look at the POP's link to its region's control plane."),

  // a transfer did not come about
  "transfer.no-trunk": inCall("tenant", "Give one of the tenant's trunks an outboundUri."),
  "transfer.rejected": inCall("trunk", "Nothing if busy or declined; else take the SIP status up with the carrier."),
  "transfer.no-answer": inCall("caller", "Nothing; if frequent, raise the activity's ringTimeoutMs."),
  "transfer.unreachable": inCall("trunk", "Look whether the trunk's outboundUri answers."),

  // a call is ended by us
  "call.too-long": inCall("us", "Nothing; raise the POP's longest call if such calls are wanted."),
  "sip.answer-failed": inCall("us", "Look at the SIP server: our answer could not be sent."),
  "sip.server-away": inCall("us", "Look why the SIP server did not come back in time: its calls were given up."),
  "sip.dialog-lost": inCall(
    "us",
    "Look why the SIP server came back without the call: its checkpoints (Redis) were away, or it stayed away too long.",
  ),
  "media.re-anchor-failed": inCall(
    "us",
    "Look why rtpengine had lost its calls (Redis away when it was restarted), and in the trace why the side refused the re-INVITE.",
  ),
  "operator.hung-up": inCall("us", "Nothing: somebody asked for it."),
  "pop.drained": inCall("us", "Nothing: the drain's deadline came before the call's end; allow longer if that hurts."),
  "pop.restarted": inCall(
    "us",
    "Look why Redis was away when the next pop process started: it could not take the calls of the one before up, and closed them.",
  ),
  "checkpoint.unreadable": inCall(
    "us",
    "Report it with the log line's detail: the call's state was damaged, or written by a release too far from the one that read it.",
  ),
};
