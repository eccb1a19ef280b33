// The right to answer for one service: a lease with an end, under an epoch that grows with every new owner. Whoever
// is not sure to hold it any more is silent: another may be answering already.

import type { InstantMs } from "./time.ts";

/** What a process knows about its right to serve. Asked per message, so it must cost next to nothing. */
export interface Ownership {
  /** Larger than that of every owner before. Writes of an older one are refused by the checkpoint store. */
  readonly epoch: number;
  /** False from the moment the lease has run out, also in a process that was stopped meanwhile and does not know yet. */
  held(): boolean;
}

/** Of a process that nobody keeps: a test, or a host without a twin. */
export const soleOwner: Ownership = { epoch: 0, held: () => true };

/** Held until a moment that its keeper moves on. */
export class LeasedOwnership implements Ownership {
  readonly epoch: number;
  readonly #nowMs: () => InstantMs;
  #untilMs: InstantMs;
  #ended = false;

  /** @param nowMs the clock that `untilMs` is counted by: for processes of one machine, its monotonic one */
  constructor(epoch: number, untilMs: InstantMs, nowMs: () => InstantMs) {
    this.epoch = epoch;
    this.#untilMs = untilMs;
    this.#nowMs = nowMs;
  }

  held(): boolean {
    return this.#nowMs() < this.#untilMs;
  }

  /** How long it still lasts, if nobody extends it; 0 or less when it is over. */
  leftMs(): number {
    return this.#untilMs - this.#nowMs();
  }

  /** Another is known to have it: over, for good. */
  end(): void {
    this.#untilMs = Number.NEGATIVE_INFINITY;
    this.#ended = true;
  }

  /** Never shortens: a renewal that was overtaken changes nothing. */
  extend(untilMs: InstantMs): void {
    if (untilMs > this.#untilMs && !this.#ended) this.#untilMs = untilMs;
  }
}
