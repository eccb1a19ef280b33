import type { CallId } from "../../kernel/ids.ts";
import type { Outcome } from "../../kernel/outcome.ts";
import type { RtpAddress } from "../core/media/addresses.ts";
import type { MediaFailure } from "../core/media/media-failure.ts";
import type { PlayId, PromptRef } from "../core/media/prompt.ts";
import type { Saved } from "./saved.ts";

export interface Played {
  readonly call: CallId;
  readonly play: PlayId;
  /** "lost": the worker went away in the middle of it. */
  readonly how: "finished" | "stopped" | "failed" | "lost";
  /** Audio sent of this play so far, from its start point on. */
  readonly atMs: number;
}

/**
 * What plays to callers: the media worker. Every request is bounded in time and never throws.
 * Each play ends with exactly one `played` event, also when another play replaces it or the call is closed (stopped),
 * or the connection to the worker breaks (lost, and after all of them onLost).
 */
export interface MediaServer {
  /**
   * Reserves an endpoint; the same one when repeated. Where the worker has lost it: one at the same address, sending
   * where it sent, with nothing to play; or, when that address is taken, a new one, which sends nowhere yet.
   * @fails media.endpoints-exhausted, media.worker-away
   */
  open(call: CallId): Promise<Outcome<RtpAddress, MediaFailure>>;

  /** What the worker was told about the call: its endpoint, and where it sends. undefined where it is not open. */
  saved(call: CallId): Saved | undefined;

  /** Where the endpoint sends now, by our own book; undefined: nowhere, since it is not connected, or hushed. */
  sendsTo(call: CallId): RtpAddress | undefined;

  /** A call of an earlier process, without a word to the worker: `open` then gives its endpoint again. */
  restore(call: CallId, saved: Saved): void;

  /**
   * From here on the endpoint sends there, silence while nothing plays (some carriers end a call without RTP). A new
   * stream each time, so repeat it after every park. @fails media.not-open
   */
  connect(call: CallId, sendsTo: RtpAddress, dtmfPayloadType?: number): Promise<Outcome<void, MediaFailure>>;

  /**
   * Plays `items` in order; replaces what plays. Asked for again, what plays already under that name plays on where it is, and
   * what has come to its end is told to have.
   * @param fromMs where in the items to start, for a prompt that is taken up again
   * @returns the length of one pass of all items, whatever `fromMs`
   * @fails media.prompt-unreadable (what played before plays on), media.not-open, media.worker-away
   */
  play(
    call: CallId,
    play: PlayId,
    items: readonly PromptRef[],
    repeat: "once" | "forever",
    fromMs?: number,
  ): Promise<Outcome<{ readonly durationMs: number }, MediaFailure>>;

  /** Safe when nothing plays (atMs 0). */
  stop(call: CallId): Promise<Outcome<{ readonly atMs: number }, MediaFailure>>;

  /** Stops, and sends nothing at all until the next connect or play: for as long as a leg is joined. @fails media.not-open */
  hush(call: CallId): Promise<Outcome<void, MediaFailure>>;

  /** Safe to repeat, and safe for a call that is not open. */
  close(call: CallId): Promise<void>;

  onPlayed(listener: (event: Played) => void): void;

  /**
   * The connection broke. Endpoints live on in the worker for a while and keep playing (music, say);
   * after the adapter has reconnected by itself, `open` gives a call its old endpoint again.
   */
  onLost(listener: () => void): void;
  /** Connected, at first or again. */
  onConnected(listener: () => void): void;

  /** @fails media.worker-away */
  health(): Promise<Outcome<void, MediaFailure>>;
  /** Ends the connection; endpoints that are still open are left to the worker's own time limit. */
  disconnect(): Promise<void>;
}
