// Simulated time for code that uses promises: after each thing that happens, every promise and immediate that can go on
// goes on before the next thing happens. Nothing here waits for real time, so a run is as repeatable as its seed.

import type { InstantMs } from "../time.ts";
import type { SimWorld } from "./world.ts";

const realImmediate = globalThis.setImmediate;

/** Immediates of one turn of the event loop: a turn asks the operating system for news, which costs more than a step. */
const SLOTS = 512;

interface Asked {
  readonly run: (...given: unknown[]) => void;
  readonly given: readonly unknown[];
}

/**
 * Node works off all ticks and promise reactions between two immediates, also between two of the same turn of the event
 * loop. So each step takes place in an immediate of its own, many of them a turn, and what libraries ask to be done
 * "immediately" takes the next ones before anything else happens.
 */
export class Turns {
  #asked: Asked[] = [];

  /** In the place of `setImmediate`, for libraries that call it. */
  readonly immediate = (run: (...given: unknown[]) => void, ...given: unknown[]): void => {
    this.#asked.push({ run, given });
  };

  /** As `world.runFor`, with every promise settled between two things that happen. `looked`: after each of them; false: no more. */
  runUntil(world: SimWorld, untilMs: InstantMs, looked: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      let isOver = false;
      /** Something has happened that nobody has looked at. */
      let isNew = false;
      let slots = 0;
      const turn = () => {
        slots = SLOTS;
        for (let at = 0; at < SLOTS; at++) realImmediate(slot);
      };
      const end = (settle: () => void) => {
        isOver = true;
        settle();
      };
      const slot = () => {
        slots -= 1;
        if (isOver) return;
        try {
          const asked = this.#asked.shift();
          if (asked !== undefined) asked.run(...asked.given);
          else if (isNew && !looked()) return end(resolve);
          else {
            isNew = world.step(untilMs);
            if (!isNew) {
              world.skipTo(untilMs);
              return end(resolve);
            }
          }
        } catch (error) {
          return end(() => reject(error));
        }
        if (slots === 0) turn();
      };
      turn();
    });
  }
}
