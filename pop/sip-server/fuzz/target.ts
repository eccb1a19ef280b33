import type { Chance } from "./chance.ts";

/** What is fuzzed: how inputs are made, and what must hold of each. */
export interface Target {
  readonly name: string;
  /** Good inputs to begin with. */
  readonly seeds: readonly string[];
  /** A fresh input, by the grammar. */
  make(chance: Chance): string;
  /** Another one near it. */
  mutate(input: string, other: string, chance: Chance): string;
  /** @throws Violation, or whatever the code under test throws */
  run(input: string): void | Promise<void>;
  /** Smaller inputs to try while minimising, best first. */
  smaller(input: string): Iterable<string>;
}

export class Violation extends Error {}

export function hold(condition: boolean, what: () => string): asserts condition {
  if (!condition) throw new Violation(what());
}
