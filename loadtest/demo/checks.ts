// What the demo promises, one line each: held or not, and what was measured.

import type { Paint } from "../../cli/terminal/colour.ts";

export interface Check {
  readonly name: string;
  readonly held: boolean;
  readonly measured: string;
}

export class Checks {
  readonly #all: Check[] = [];
  readonly #say: (line: string) => void;
  readonly #paint: Paint;

  constructor(say: (line: string) => void, paint: Paint) {
    this.#say = say;
    this.#paint = paint;
  }

  get all(): readonly Check[] {
    return this.#all;
  }

  /** At least one was made, and every one held. */
  get held(): boolean {
    return this.#all.length > 0 && this.#all.every(({ held }) => held);
  }

  note(name: string, held: boolean, measured: string): boolean {
    this.#all.push({ name, held, measured });
    this.#say(`    ${this.#mark(held)} ${name}  ${this.#paint.dim(measured)}`);
    return held;
  }

  /** Waits for something that throws when it does not come; what follows needs it, so its failure is passed on. */
  async expect<Value>(name: string, wait: Promise<Value>, measured: (value: Value) => string): Promise<Value> {
    try {
      const value = await wait;
      this.note(name, true, measured(value));
      return value;
    } catch (error) {
      this.note(name, false, error instanceof Error ? error.message : String(error));
      throw new CheckFailed(name);
    }
  }

  table(): string {
    const width = Math.max(...this.#all.map(({ name }) => name.length));
    return this.#all
      .map(({ name, held, measured }) => `  ${this.#mark(held)} ${name.padEnd(width)}  ${measured}`)
      .join("\n");
  }

  #mark(held: boolean): string {
    return held ? this.#paint.green("✓") : this.#paint.red("✗");
  }
}

/** A check without which the rest cannot go on; it is in the list already. */
export class CheckFailed extends Error {}
