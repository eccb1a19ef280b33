// A host that is drained takes no new calls, at none of the services it serves, also when a process of it, or the keeper itself,
// is restarted meanwhile. What its twin takes over from it is drained no longer. A host that has had to take a service over,
// for its twin is gone, is the last one that could take any call: its drain is called off.

import type { Log } from "../../../kernel/log.ts";
import { fail, type Outcome, succeed } from "../../../kernel/outcome.ts";
import type { CallIntake, IntakeFailure } from "../boundary/call-intake.ts";
import type { Keeper } from "./keeper.ts";
import type { KeeperStatus } from "./keeper-status.ts";

export interface DrainParts {
  readonly keeper: Pick<Keeper, "status" | "onChange">;
  readonly intake: CallIntake;
  readonly log: Log;
  /** What a keeper before us has written. */
  readonly drained: boolean;
  /** For the next keeper. @throws when the disk does not take it */
  persist(on: boolean): void;
}

/** Its twin is gone, and not on purpose. One that is only silent for a moment has lost nothing yet. */
const isLast = ({ twin, services }: KeeperStatus): boolean =>
  twin.state !== "heard" &&
  twin.state !== "left" &&
  services.some(({ reason }) => reason === "twin-died" || reason === "twin-silent" || reason === "twin-refused");

export class Drain {
  readonly #keeper: DrainParts["keeper"];
  readonly #intake: CallIntake;
  readonly #persist: (on: boolean) => void;
  readonly #log: Log;
  readonly #changed = new Set<() => void>();
  readonly #forget: () => void;
  /** The processes that were told: a new one has not been. */
  #told = new Set<string>();
  #on: boolean;
  /** A process that began under a drain which was called off since has to hear of it too. */
  #wasOn: boolean;
  #telling = false;

  constructor({ keeper, intake, log, drained, persist }: DrainParts) {
    this.#keeper = keeper;
    this.#intake = intake;
    this.#persist = persist;
    this.#log = log;
    this.#on = drained;
    this.#wasOn = drained;
    if (drained) log.info("keeper.draining", { on: true });
    this.#forget = keeper.onChange(() => {
      if (this.#on && isLast(keeper.status())) {
        log.warn("keeper.drain-called-off");
        void this.set(false);
      } else if (this.#wasOn) void this.#tell();
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
    this.#wasOn ||= on;
    this.#told = new Set();
    this.#log.info("keeper.draining", { on });
    try {
      this.#persist(on);
    } catch (error) {
      this.#log.error("keeper.drain-not-kept", { on, error }); // it holds until this keeper ends
    }
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
