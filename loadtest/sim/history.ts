// What happened, as text: one line each, hashed as it grows. Two runs of a seed are equal when their hashes are.

import { createHash } from "node:crypto";
import type { SimWorld } from "../../kernel/sim/world.ts";

/** Kept for whoever reads about a failure; older ones live on in the hash alone. */
const LINES_MAX = 20_000;

export class History {
  readonly #world: SimWorld;
  readonly #hash = createHash("sha256");
  #lines: string[] = [];
  /** Lines ever written. */
  count = 0;

  constructor(world: SimWorld) {
    this.#world = world;
  }

  write(text: string): void {
    const line = `${this.#world.nowMs().toFixed(1).padStart(9)}  ${text}`;
    this.#hash.update(`${line}\n`);
    this.#lines.push(line);
    this.count += 1;
    if (this.#lines.length > 2 * LINES_MAX) this.#lines = this.#lines.slice(-LINES_MAX);
  }

  /** A rung of the ladder. */
  rung(from: string, label: string, to: string, lost: boolean): void {
    this.write(`${from.padEnd(9)} ${lost ? "--x" : "-->"} ${to.padEnd(9)} ${label}`);
  }

  /** Of all lines so far; the history may grow on. */
  digest(): string {
    return this.#hash.copy().digest("hex").slice(0, 16);
  }

  last(count: number, about?: string): readonly string[] {
    const lines = about === undefined ? this.#lines : this.#lines.filter((line) => line.includes(about));
    return lines.slice(-count);
  }

  get lines(): readonly string[] {
    return this.#lines;
  }
}
