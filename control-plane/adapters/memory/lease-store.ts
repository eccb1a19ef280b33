import { fail, type Outcome, succeed } from "../../../kernel/outcome.ts";
import type { Clock } from "../../../kernel/time.ts";
import type { Lease, LeaseHeld, LeaseStore } from "../../boundary/lease-store.ts";
import type { StoreAway } from "../../boundary/store-away.ts";

interface Held {
  readonly by: string;
  readonly epoch: number;
  expiresAtMs: number;
}

/** Leases in memory, on the clock it is given. `away` takes it away; `forget` ends a lease under its owner. */
export class MemoryLeaseStore implements LeaseStore {
  away = false;
  readonly #held = new Map<string, Held>();
  readonly #epochs = new Map<string, number>();
  readonly #clock: Clock;
  readonly #ttlMs: number;

  constructor(clock: Clock, ttlMs: number) {
    this.#clock = clock;
    this.#ttlMs = ttlMs;
  }

  forget(name: string): void {
    this.#held.delete(name);
  }

  async acquire(name: string, replicaId: string, above: number): Promise<Outcome<Lease, LeaseHeld | StoreAway>> {
    if (this.away) return fail({ code: "store.away", store: "memory", detail: "taken away" });
    const now = this.#clock.nowMs();
    const other = this.#held.get(name);
    if (other && other.by !== replicaId && other.expiresAtMs > now)
      return fail({ code: "lease.held", name, by: other.by });
    const epoch = Math.max(this.#epochs.get(name) ?? 0, above) + 1;
    this.#epochs.set(name, epoch);
    const held: Held = { by: replicaId, epoch, expiresAtMs: now + this.#ttlMs };
    this.#held.set(name, held);
    return succeed({
      name,
      epoch,
      renew: async () => {
        if (this.away) return "away";
        if (this.#held.get(name) !== held || held.expiresAtMs <= this.#clock.nowMs()) return "lost";
        held.expiresAtMs = this.#clock.nowMs() + this.#ttlMs;
        return "kept";
      },
      release: async () => {
        if (!this.away && this.#held.get(name) === held) this.#held.delete(name);
      },
    });
  }
}
