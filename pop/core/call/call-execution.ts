// What a call is told, and what it asks for. The machine: call-machine.ts.

import type { CallId, LegId, PopHostId, PopId, RegionId, TrunkId } from "../../../kernel/ids.ts";
import type { FlowContext, FlowTimer } from "../ivr/flow-execution.ts";
import type { MediaAddresses } from "../media/addresses.ts";
import type { MediaFailure } from "../media/media-failure.ts";
import type { PlayId } from "../media/prompt.ts";
import type { Sdp } from "../media/sdp.ts";
import type { Playing } from "./call-state.ts";
import type { CallEvent, ContactRecord } from "./contact-record.ts";
import type { RoutingDirective, RoutingReport } from "./contact-routing.ts";

/** Looked up for each step, never part of the state. */
export interface CallContext {
  readonly flow: FlowContext;
  readonly regionId: RegionId;
  readonly popId: PopId;
  readonly hostId: PopHostId;
  readonly limits: CallLimits;
  /** Where a number is reached through a trunk of the call's tenant; undefined: no trunk carries it. */
  outboundUri(number: string, trunkId: TrunkId | undefined): string | undefined;
}

export interface CallLimits {
  /** From INVITE to an anchored answer. */
  readonly setupTimeoutMs: number;
  /** The flow starts without the ACK after this; the ACK may be lost, the caller listens already. */
  readonly ackGraceMs: number;
  /** For the region to take a contact into a queue, before the flow's failure path. */
  readonly routingTimeoutMs: number;
  readonly callMsMax: number;
}

/** "caller", or the leg that we placed. */
export type CallSide = "caller" | LegId;

export type CallTimer =
  | FlowTimer
  | "call.setup"
  | "call.ack"
  | "call.ring"
  | "call.routing"
  | "call.worker"
  | "call.limit";

export type CallInput =
  // the caller's dialog
  | { readonly kind: "caller-acked" }
  | { readonly kind: "caller-cancelled" }
  | { readonly kind: "caller-hung-up"; readonly reason: string }
  | { readonly kind: "answer-failed"; readonly detail: string }
  // the leg we placed
  | { readonly kind: "leg-ringing"; readonly leg: LegId; readonly status: number }
  | { readonly kind: "leg-answered"; readonly leg: LegId; readonly sdp: Sdp }
  | { readonly kind: "leg-failed"; readonly leg: LegId; readonly status: number; readonly detail: string }
  | { readonly kind: "leg-hung-up"; readonly leg: LegId; readonly reason: string }
  // re-INVITE and UPDATE of either side; sdp undefined: it asks us for an offer
  | { readonly kind: "reoffered"; readonly side: CallSide; readonly request: string; readonly sdp: Sdp | undefined }
  /** A REFER of either side; number undefined: its target is none that can be dialled. */
  | {
      readonly kind: "referred";
      readonly side: CallSide;
      readonly request: string;
      readonly number: string | undefined;
    }
  // media
  | { readonly kind: "anchored"; readonly answer: Sdp; readonly codec: string; readonly media: MediaAddresses }
  | { readonly kind: "anchor-failed"; readonly failure: MediaFailure }
  | { readonly kind: "leg-offer-ready"; readonly leg: LegId; readonly sdp: Sdp }
  | { readonly kind: "leg-offer-failed"; readonly leg: LegId; readonly failure: MediaFailure }
  | { readonly kind: "bridged"; readonly leg: LegId; readonly codec: string; readonly media: MediaAddresses }
  | { readonly kind: "bridge-failed"; readonly leg: LegId; readonly failure: MediaFailure }
  | { readonly kind: "park-failed"; readonly failure: MediaFailure }
  | { readonly kind: "reoffer-answered"; readonly side: CallSide; readonly request: string; readonly sdp: Sdp }
  | {
      readonly kind: "reoffer-failed";
      readonly side: CallSide;
      readonly request: string;
      readonly failure: MediaFailure;
    }
  | { readonly kind: "worker-back" }
  // the relay has lost the call's media, or a side's keys: that side is asked to send to a new place. ./re-anchor.ts
  | { readonly kind: "media-lost" }
  | { readonly kind: "re-anchored"; readonly offers: readonly AnchorOffer[]; readonly media: MediaAddresses }
  | { readonly kind: "re-anchor-failed"; readonly failure: MediaFailure }
  // our own re-INVITE. status 408 and 481: that dialog is gone, 0: no answer could be had
  | { readonly kind: "reinvite-answered"; readonly side: CallSide; readonly sdp: Sdp }
  | { readonly kind: "reinvite-failed"; readonly side: CallSide; readonly status: number; readonly detail: string }
  | { readonly kind: "dtmf"; readonly side: CallSide; readonly digit: string }
  /** "lost": the worker went away in the middle of it, or was not there to begin it. */
  | { readonly kind: "played"; readonly play: PlayId; readonly how: "finished" | "stopped" | "failed" | "lost" }
  /** The worker has it, and plays from where it was told. */
  | { readonly kind: "play-started"; readonly play: PlayId }
  // the region, time, people
  | { readonly kind: "directed"; readonly directive: RoutingDirective }
  | { readonly kind: "timer"; readonly timer: CallTimer }
  | { readonly kind: "hang-up-command"; readonly code: "operator.hung-up" | "pop.drained" }
  /** The process that had the call died `outageMs` ago: this one has its state, and an engine may have missed what was asked of it. */
  | { readonly kind: "resumed"; readonly outageMs: number; readonly epoch: number }
  /** The dialogs are gone: the SIP server stays away, or came back without them, or our process could not take them up again. */
  | {
      readonly kind: "signalling-lost";
      readonly code: "sip.server-away" | "sip.dialog-lost" | "pop.restarted" | "checkpoint.unreadable";
    };

/** What a side is offered whose media has a new place at the relay. */
export interface AnchorOffer {
  readonly side: CallSide;
  readonly sdp: Sdp;
}

export type CallEffect =
  // signalling
  | { readonly kind: "answer"; readonly sdp: Sdp }
  | {
      readonly kind: "reject";
      readonly status: number;
      readonly code: string;
      readonly retryAfterSeconds: number | undefined;
    }
  | {
      readonly kind: "invite";
      readonly leg: LegId;
      readonly uri: string;
      readonly sdp: Sdp;
      readonly callingNumber: string;
    }
  | { readonly kind: "cancel-leg"; readonly leg: LegId }
  | { readonly kind: "hang-up"; readonly side: CallSide; readonly code: string }
  | { readonly kind: "answer-reoffer"; readonly side: CallSide; readonly request: string; readonly sdp: Sdp }
  | { readonly kind: "reject-reoffer"; readonly side: CallSide; readonly request: string; readonly status: number }
  | { readonly kind: "accept-refer"; readonly side: CallSide; readonly request: string }
  | { readonly kind: "reject-refer"; readonly side: CallSide; readonly request: string; readonly status: number }
  /** How far the transfer is, as a SIP status (RFC 3515 §2.4.5); `over`: the last word. */
  | {
      readonly kind: "notify-refer";
      readonly side: CallSide;
      readonly request: string;
      readonly status: number;
      readonly over: boolean;
    }
  /** Our own re-INVITE: "reinvite-answered" or "reinvite-failed" follows, once. */
  | { readonly kind: "reinvite"; readonly side: CallSide; readonly sdp: Sdp }
  // media; performed in this order within one call
  | { readonly kind: "anchor" }
  | { readonly kind: "offer-leg"; readonly leg: LegId }
  | { readonly kind: "bridge"; readonly leg: LegId; readonly answer: Sdp }
  | { readonly kind: "park"; readonly leg: LegId }
  /** A leg whose going changes nothing for those who talk. */
  | { readonly kind: "drop-leg"; readonly leg: LegId }
  | { readonly kind: "reattach-worker" }
  /** A new place at the relay for the caller, and for `leg`: "re-anchored" follows. */
  | { readonly kind: "re-anchor"; readonly leg: LegId | undefined }
  /** What a side said to our re-INVITE. */
  | { readonly kind: "take-answer"; readonly side: CallSide; readonly sdp: Sdp }
  | { readonly kind: "reoffer"; readonly side: CallSide; readonly request: string; readonly sdp: Sdp }
  /** From `playing.fromMs` on. One that plays already under that name goes on as it is. */
  | { readonly kind: "play"; readonly playing: Playing }
  | { readonly kind: "stop-playing" }
  | { readonly kind: "release-media" }
  // the rest
  | { readonly kind: "report"; readonly report: RoutingReport }
  | { readonly kind: "start-timer"; readonly timer: CallTimer; readonly afterMs: number }
  | { readonly kind: "stop-timer"; readonly timer: CallTimer }
  | { readonly kind: "tell"; readonly event: CallEvent }
  | { readonly kind: "note"; readonly note: CallNote }
  /** The last effect of a call: nothing of it is left, but the record. */
  | { readonly kind: "ended"; readonly call: CallId; readonly record: ContactRecord };

/** One line of the journal that `tollgate call trace` shows. */
export interface CallNote {
  readonly kind: "flow" | "queue" | "call" | "media";
  readonly what: string;
  readonly why: string;
}
