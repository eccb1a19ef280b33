// How long this very process did not run. A packet that it could not look at in time was not late on the wire.

import { monitorEventLoopDelay } from "node:perf_hooks";

const LOOK_EVERY_MS = 10;

export class OwnStall {
  readonly #delay = monitorEventLoopDelay({ resolution: LOOK_EVERY_MS });

  /** From now on. */
  begin(): void {
    this.#delay.reset();
    this.#delay.enable();
  }

  /** The longest since `begin`. */
  maxMs(): number {
    return Math.max(0, this.#delay.max / 1e6 - LOOK_EVERY_MS);
  }
}
