// What happened, counted. Plain numbers: the metrics page reads them when it is asked.

import { METHOD_LABELS } from "./message-counts.ts";

/** One count, to be raised in place: for what happens too often to look up its name. */
export interface Tally {
  count: number;
}

export class Counters {
  readonly #values = new Map<string, Tally>();

  tally(name: string, label = ""): Tally {
    const key = label === "" ? name : `${name}|${label}`;
    let tally = this.#values.get(key);
    if (tally === undefined) {
      tally = { count: 0 };
      this.#values.set(key, tally);
    }
    return tally;
  }

  /** @param label as on the metrics page: `method="INVITE",direction="in"` */
  add(name: string, label = "", count = 1): void {
    this.tally(name, label).count += count;
  }

  get(name: string, label = ""): number {
    return this.#values.get(label === "" ? name : `${name}|${label}`)?.count ?? 0;
  }

  /** The sum over all labels of a name. */
  total(name: string): number {
    let sum = 0;
    for (const [key, { count }] of this.#values) if (key === name || key.startsWith(`${name}|`)) sum += count;
    return sum;
  }

  /** Each label and its count. */
  *of(name: string): Iterable<readonly [string, number]> {
    for (const [key, { count }] of this.#values) {
      if (key === name) yield ["", count];
      else if (key.startsWith(`${name}|`)) yield [key.slice(name.length + 1), count];
    }
  }
}

/** A label a stranger cannot multiply. */
export const methodLabel = (method: string): string => (METHODS.has(method) ? method : "other");
const METHODS: ReadonlySet<string> = new Set(METHOD_LABELS);
