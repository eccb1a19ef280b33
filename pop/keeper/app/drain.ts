// A host that is drained takes no new calls, at none of the services it serves, also when a process of it is restarted
// meanwhile. What its twin takes over from it is drained no longer.

import type { Log } from "../../../kernel/log.ts";
import { fail, type Outcome, succeed } from "../../../kernel/outcome.ts";
import type { CallIntake, IntakeFailure } from "../boundary/call-intake.ts";
import type { Keeper } from "./keeper.ts";

export class Drain {
  readonly #keeper: Keeper;
  readonly #intake: CallIntake;
  readonly #log: Log;
  readonly #changed = new Set<() => void>();
  readonly #forget: () => void;
  /** The processes that were told: a new one has not been. */
  #told = new Set<string>();
  #on = false;
  #telling = false;

  constructor(keeper: Keeper, intake: CallIntake, log: Log) {
    this.#keeper = keeper;
    this.#intake = intake;
    this.#log = log;
    this.#forget = keeper.onChange(() => {
      if (this.#on) void this.#tell();
    });
  }

  get on(): boolean {
    return this.#on;
  }

  onChange(changed: () => void): () => void {
    this.#changed.add(changed);
    return () => this.#changed.delete(changed);
  }

  /** @fails drain.pop-away when one that serves did not hear it; it is told again when it is back */
  async set(on: boolean): Promise<Outcome<void, IntakeFailure>> {
    this.#on = on;
    this.#told = new Set();
    this.#log.info("keeper.draining", { on });
    for (const changed of this.#changed) changed();
    return this.#tell();
  }

  close(): void {
    this.#forget();
  }

  async #tell(): Promise<Outcome<void, IntakeFailure>> {
    if (this.#telling) return succeed(undefined);
    this.#telling = true;
    const on = this.#on;
    let failed: IntakeFailure | undefined;
    for (const { service, process, state, pid } of this.#keeper.status().processes) {
      if (process !== "pop" || service === undefined || state !== "ready" || this.#told.has(String(pid))) continue;
      this.#told.add(String(pid));
      const told = await this.#intake.drain(service, on);
      if (told.ok) continue;
      this.#told.delete(String(pid));
      failed = told.failure;
    }
    this.#telling = false;
    if (on !== this.#on) return this.#tell(); // called off meanwhile
    return failed === undefined ? succeed(undefined) : fail(failed);
  }
}
