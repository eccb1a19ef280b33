// Choices from one seeded source: the same seed makes the same inputs.

import { type Rng, seededRng } from "../../../kernel/rng.ts";

export class Chance {
  readonly #rng: Rng;

  constructor(seed: number) {
    this.#rng = seededRng(seed);
  }

  /** 0 … below - 1. */
  below(below: number): number {
    return Math.floor(this.#rng.next() * below);
  }

  one(in_: number): boolean {
    return this.below(in_) === 0;
  }

  of<T>(choices: readonly [T, ...T[]] | readonly T[]): T {
    const chosen = choices[this.below(choices.length)];
    if (chosen === undefined && choices.length === 0) throw new Error("nothing to choose from");
    return chosen as T;
  }
}
