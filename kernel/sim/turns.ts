// Simulated time for code that uses promises: after each thing that happens, every promise and immediate that can go on
// goes on before the next thing happens. Nothing here waits for real time, so a run is as repeatable as its seed.

import type { InstantMs } from "../time.ts";
import type { SimWorld } from "./world.ts";

const realImmediate = globalThis.setImmediate;

/**
 * Counts what asks for another turn of the event loop. Node works off all promise reactions before the next immediate, so
 * a turn in which nobody has asked for one more is a turn after which nothing is left to do.
 */
export class Turns {
  #asked = 0;

  /** In the place of `setImmediate`, for libraries that call it. */
  readonly immediate = (run: (...given: unknown[]) => void, ...given: unknown[]): NodeJS.Immediate => {
    this.#asked++;
    return realImmediate(() => {
      this.#asked--;
      run(...given);
    });
  };

  async settle(): Promise<void> {
    do await new Promise<void>((resolve) => void realImmediate(resolve));
    while (this.#asked > 0);
  }

  /** As `world.runFor`, with every promise settled between two things that happen. `looked`: after each of them. */
  async runUntil(world: SimWorld, untilMs: InstantMs, looked: () => boolean): Promise<void> {
    while (world.step(untilMs)) {
      await this.settle();
      if (!looked()) return;
    }
    world.skipTo(untilMs);
  }
}
