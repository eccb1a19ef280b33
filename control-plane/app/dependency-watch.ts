import type { Log } from "../../kernel/log.ts";

export interface Probe {
  readonly name: string;
  readonly answers: () => Promise<boolean>;
}

/** Asks each dependency again and again whether it answers, and logs when that changes. */
export class DependencyWatch {
  readonly #answering = new Map<string, boolean>();
  readonly #probes: readonly Probe[];
  readonly #everyMs: number;
  readonly #log: Log;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(probes: readonly Probe[], everyMs: number, log: Log) {
    this.#probes = probes;
    this.#everyMs = everyMs;
    this.#log = log;
  }

  start(): void {
    void this.#round();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  answering(name: string): boolean {
    return this.#answering.get(name) ?? false;
  }

  async #round(): Promise<void> {
    await Promise.all(
      this.#probes.map(async ({ name, answers }) => {
        const now = await answers();
        if (this.#answering.get(name) !== now)
          this.#log[now ? "info" : "warn"](now ? "dependency.ready" : "dependency.away", { dependency: name });
        this.#answering.set(name, now);
      }),
    );
    if (!this.#stopped) this.#timer = setTimeout(() => void this.#round(), this.#everyMs);
  }
}
