// What has happened to something, and when; and how to wait for it with a deadline instead of sleeping.

interface Waiter {
  readonly happened: (atMs: number) => void;
  readonly never: (error: Error) => void;
}

export class Moments<Name extends string> {
  /** For messages: "call to +49… of 127.20.0.1". */
  readonly #of: string;
  readonly #at = new Map<Name, number>();
  readonly #waiters = new Map<Name, Set<Waiter>>();
  #over: string | undefined;

  constructor(of: string) {
    this.#of = of;
  }

  /** The first time counts; on the same clock as the packets that a probe hears. */
  happened(name: Name): void {
    if (this.#at.has(name)) return;
    const atMs = performance.now();
    this.#at.set(name, atMs);
    const waiters = this.#waiters.get(name);
    this.#waiters.delete(name);
    for (const { happened } of waiters ?? []) happened(atMs);
  }

  /** Nothing more will happen: whoever still waits for something else is told why. */
  over(why: string): void {
    this.#over ??= why;
    const waiters = [...this.#waiters.values()].flatMap((some) => [...some]);
    this.#waiters.clear();
    for (const { never } of waiters) never(new Error(`${this.#of}: ${why}`));
  }

  atMs(name: Name): number | undefined {
    return this.#at.get(name);
  }

  /**
   * Resolves with the moment, at once when it has passed already.
   * @throws Error after `timeoutMs`, or as soon as it can no longer happen
   */
  until(name: Name, timeoutMs: number): Promise<number> {
    const at = this.#at.get(name);
    if (at !== undefined) return Promise.resolve(at);
    if (this.#over !== undefined) return Promise.reject(new Error(`${this.#of}: not ${name}: ${this.#over}`));
    return new Promise((resolve, reject) => {
      const waiters = this.#waiters.get(name) ?? new Set();
      this.#waiters.set(name, waiters);
      const timer = setTimeout(() => {
        waiters.delete(waiter);
        const so = [...this.#at.keys()].join(", ") || "nothing";
        reject(new Error(`${this.#of}: not ${name} within ${timeoutMs} ms (so far: ${so})`));
      }, timeoutMs);
      const waiter: Waiter = {
        happened: (atMs) => {
          clearTimeout(timer);
          resolve(atMs);
        },
        never: (error) => {
          clearTimeout(timer);
          reject(error);
        },
      };
      waiters.add(waiter);
    });
  }
}
