/** The timers of one machine, by name, as the runtime's. */
export class NamedTimers<Name extends string> {
  readonly #running = new Map<Name, NodeJS.Timeout>();
  readonly #due: (name: Name) => void;

  constructor(due: (name: Name) => void) {
    this.#due = due;
  }

  /** Starting one that runs begins it anew. */
  start(name: Name, afterMs: number): void {
    this.stop(name);
    this.#running.set(
      name,
      setTimeout(() => {
        this.#running.delete(name);
        this.#due(name);
      }, afterMs),
    );
  }

  stop(name: Name): void {
    clearTimeout(this.#running.get(name));
    this.#running.delete(name);
  }

  stopAll(): void {
    for (const name of [...this.#running.keys()]) this.stop(name);
  }
}
