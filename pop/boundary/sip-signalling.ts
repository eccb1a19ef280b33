import type { CallId, LegId } from "../../kernel/ids.ts";
import type { CallInput, CallSide } from "../core/call/call-execution.ts";
import type { Sdp } from "../core/media/sdp.ts";
import type { Saved } from "./saved.ts";

/** An INVITE that begins a call, in the core's words. */
export interface IncomingCall {
  readonly call: CallId;
  readonly sipCallId: string;
  readonly sourceAddress: string;
  readonly requestUri: string;
  /** The user part of From, or "anonymous". */
  readonly callingNumber: string;
  /** RFC 3261 §8.1.1.6; 70 where the header is absent. */
  readonly maxForwards: number;
  /** undefined: an offerless INVITE. */
  readonly offer: Sdp | undefined;
}

export interface SignallingHost {
  invited(incoming: IncomingCall): void;
  /** Something about a call we know. Never called for a call after `forget`. */
  signalled(call: CallId, input: CallInput): void;
  /** The SIP Call-ID of a leg that was placed: for the trace. */
  dialog(call: CallId, leg: LegId, sipCallId: string): void;
  /** Do we take new calls? The answer to an OPTIONS ping. */
  serving(): boolean;
}

/**
 * SIP, through a drachtio server. Commands start something and return at once; what comes of it
 * arrives as an input of the call. A command for a call or leg that is gone does nothing.
 */
export interface SipSignalling {
  start(host: SignallingHost): Promise<void>;
  connected(): boolean;
  answer(call: CallId, sdp: Sdp): void;
  reject(call: CallId, status: number, code: string, retryAfterSeconds: number | undefined): void;
  invite(call: CallId, leg: LegId, request: LegRequest): void;
  /** An answer that crosses the CANCEL is acknowledged and hung up, and never told. RFC 3261 §9.1 */
  cancelLeg(call: CallId, leg: LegId): void;
  hangUp(call: CallId, side: CallSide, code: string): void;
  answerReoffer(call: CallId, side: CallSide, request: string, sdp: Sdp): void;
  rejectReoffer(call: CallId, side: CallSide, request: string, status: number): void;
  /** 202; the outcome follows by `notifyRefer`. RFC 3515 §2.4.2 */
  acceptRefer(call: CallId, side: CallSide, request: string): void;
  rejectRefer(call: CallId, side: CallSide, request: string, status: number): void;
  /** How far the transfer that `request` asked for is, as a SIP status in a NOTIFY; `over`: the last one. Nothing when that side is gone. RFC 3515 §2.4.4 */
  notifyRefer(call: CallId, side: CallSide, request: string, status: number, over: boolean): void;
  /**
   * Our own re-INVITE with this offer, in a dialog that is up. RFC 3261 §14.1. "reinvite-answered" or "reinvite-failed" follows,
   * once. Where both sides ask at once (491) it is sent again after the time of §14.1; bounded.
   */
  reinvite(call: CallId, side: CallSide, sdp: Sdp): void;
  /** The call is over for us. */
  forget(call: CallId): void;
  /** Where the call's dialogs and unanswered requests are found again. undefined: the call is not known. */
  saved(call: CallId): Saved | undefined;
  /**
   * Takes up a call of an earlier process, before `start`. When the server is connected and has said what it still has, inputs tell
   * what is missing: a side whose dialog is gone has hung up. The call's wishes are then said again (`answer`, `invite` …), and do
   * nothing where they were fulfilled before.
   */
  restore(call: CallId, saved: Saved): void;
  /** Everybody else is dropped before parsing, where the server can do that. */
  trustSources(cidrs: readonly string[]): void;
  close(): Promise<void>;
}

export interface LegRequest {
  readonly uri: string;
  readonly sdp: Sdp;
  readonly callingNumber: string;
}
