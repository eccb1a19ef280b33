import type { CallId, LegId } from "../../kernel/ids.ts";
import type { Outcome } from "../../kernel/outcome.ts";
import type { MediaAddresses, RtpAddress } from "../core/media/addresses.ts";
import type { MediaFailure } from "../core/media/media-failure.ts";
import type { Sdp } from "../core/media/sdp.ts";
import type { Saved } from "./saved.ts";

/** Whose audio: the caller's, or that of one leg we placed. */
export type MediaSide = "caller" | LegId;

export interface Anchored {
  readonly answerForCaller: Sdp;
  /** Where the media worker must send its audio for this call. */
  readonly workerSendsTo: RtpAddress;
  /** The caller's RFC 4733 payload type; absent when it offered none. */
  readonly dtmfPayloadType?: number;
  readonly media: MediaAddresses;
  /** The caller was told another place before: it has to hear of this one. */
  readonly moved: boolean;
}

export interface Standing {
  readonly worker: RtpAddress;
  /** Every leg that was offered and not parked. */
  readonly legs: readonly LegId[];
  readonly bridged: LegId | undefined;
}

export interface DtmfPressed {
  readonly call: CallId;
  readonly side: MediaSide;
  /** One of 0-9 * # A-D. */
  readonly digit: string;
  readonly durationMs: number;
}

/**
 * Where external RTP ends: rtpengine in production. One anchor per call, at most one joined leg at a time.
 * Every command is bounded in time, may be repeated with the same arguments, and never throws.
 */
export interface MediaRelay {
  /**
   * Joins the caller with the media worker. Repeated with the same offer it gives the same answer, and legs keep their
   * places; only where the relay has forgotten the call every place is new, and legs have none.
   * @fails media.sdp-unreadable, media.no-common-codec: answer 488; media.relay-away, media.relay-refused: 503
   */
  anchor(call: CallId, callerOffer: Sdp, worker: RtpAddress): Promise<Outcome<Anchored, MediaFailure>>;

  /** The SDP offer for the INVITE of `leg`, or for a re-INVITE when the call was anchored anew. The caller keeps hearing the worker. @fails media.not-anchored and the relay's own */
  offer(call: CallId, leg: LegId): Promise<Outcome<Sdp, MediaFailure>>;

  /** `leg` answered: caller and leg hear each other, and the worker no more. @fails media.no-such-leg, media.sdp-unreadable and the relay's own */
  bridge(call: CallId, leg: LegId, answer: Sdp): Promise<Outcome<{ readonly media: MediaAddresses }, MediaFailure>>;

  /** Drops `leg`, answered or not (undefined: whichever there is); the caller goes back to, or stays with, the worker. */
  park(
    call: CallId,
    leg: LegId | undefined,
  ): Promise<Outcome<{ readonly workerSendsTo: RtpAddress; readonly media: MediaAddresses }, MediaFailure>>;

  /** A new offer from one side of a running call (hold, changed address): the answer for that side. RFC 3264 §8 */
  reoffer(call: CallId, side: MediaSide, offer: Sdp): Promise<Outcome<Sdp, MediaFailure>>;

  /** Safe to repeat, and safe for a call that never had one. */
  release(call: CallId): Promise<void>;

  /** What it was told last, by our own book: no word to the relay. undefined: not anchored. */
  standing(call: CallId): Standing | undefined;

  /** What the relay was told about the call; undefined where it has none. */
  saved(call: CallId): Saved | undefined;

  /** The relay has the call still, or again, from a store of its own: goes on with it, without a word to the relay. */
  restore(call: CallId, saved: Saved): void;

  /**
   * Called when it shows that the relay does not have the call any more, restarted without its store say: `anchor` and `offer`
   * give it a new place, which its sides have to be told. Once per loss.
   */
  onForgotten(listener: (call: CallId) => void): void;

  /** Called once per digit, when the key is let go. */
  onDtmf(listener: (event: DtmfPressed) => void): void;

  /** @fails media.relay-away */
  health(): Promise<Outcome<void, MediaFailure>>;

  close(): Promise<void>;
}
