// Sheds new requests while the event loop is late: core/overload decides how many per second get in, this counts them.

import {
  BEGINNING,
  type NewRequestRate,
  type OverloadLimits,
  type Probe,
  step,
} from "../../core/overload/new-request-rate.ts";

/** So much of a second's requests may come at once. */
const BURST_SECONDS = 0.25;

export class Overload {
  readonly limits: OverloadLimits;
  #rate: NewRequestRate = BEGINNING;
  #tokens = 0;
  #atMs = 0;
  #offered = 0;
  #admitted = 0;

  constructor(limits: OverloadLimits) {
    this.limits = limits;
  }

  get rate(): NewRequestRate {
    return this.#rate;
  }

  /** What the loop was like since the last probe. @returns whether shedding has begun or ended */
  onProbe(probe: Omit<Probe, "offered" | "admitted">): boolean {
    const before = this.#rate.name;
    this.#rate = step(this.limits, this.#rate, { ...probe, offered: this.#offered, admitted: this.#admitted });
    this.#offered = 0;
    this.#admitted = 0;
    return this.#rate.name !== before;
  }

  /** A new request: whether it gets in. */
  admits(nowMs: number): boolean {
    this.#offered++;
    if (this.#rate.name === "limited") {
      const { perSecond } = this.#rate;
      const burst = Math.max(1, perSecond * BURST_SECONDS);
      this.#tokens = Math.min(burst, this.#tokens + ((nowMs - this.#atMs) * perSecond) / 1_000);
      this.#atMs = nowMs;
      if (this.#tokens < 1) return false;
      this.#tokens--;
    }
    this.#admitted++;
    return true;
  }
}
