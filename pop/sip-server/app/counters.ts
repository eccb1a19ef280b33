// What happened, counted. Plain numbers: the metrics page reads them when it is asked.

import { METHOD_LABELS } from "./message-counts.ts";

export class Counters {
  readonly #values = new Map<string, number>();

  /** @param label as on the metrics page: `method="INVITE",direction="in"` */
  add(name: string, label = "", count = 1): void {
    const key = label === "" ? name : `${name}|${label}`;
    this.#values.set(key, (this.#values.get(key) ?? 0) + count);
  }

  get(name: string, label = ""): number {
    return this.#values.get(label === "" ? name : `${name}|${label}`) ?? 0;
  }

  /** The sum over all labels of a name. */
  total(name: string): number {
    let sum = 0;
    for (const [key, value] of this.#values) if (key === name || key.startsWith(`${name}|`)) sum += value;
    return sum;
  }

  /** Each label and its count. */
  *of(name: string): Iterable<readonly [string, number]> {
    for (const [key, value] of this.#values) {
      if (key === name) yield ["", value];
      else if (key.startsWith(`${name}|`)) yield [key.slice(name.length + 1), value];
    }
  }
}

/** A label a stranger cannot multiply. */
export const methodLabel = (method: string): string => (METHODS.has(method) ? method : "other");
const METHODS: ReadonlySet<string> = new Set(METHOD_LABELS);
