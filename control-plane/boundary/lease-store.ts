import type { Outcome } from "../../kernel/outcome.ts";
import type { StoreAway } from "./store-away.ts";

export interface LeaseHeld {
  readonly code: "lease.held";
  readonly name: string;
  /** The replica that has it. */
  readonly by: string;
}

/** Ownership of one thing, for as long as it is kept alive. */
export interface Lease {
  readonly name: string;
  /** Larger than every epoch of this name before: writes of an older one are to be refused. */
  readonly epoch: number;
  /**
   * Keeps it alive. "lost": the store says it is gone or another's, and does not come back.
   * "away": nobody answers, so nobody else can have been given it through the same store.
   */
  renew(): Promise<"kept" | "lost" | "away">;
  /** Lets another have it at once. Safe to repeat; does nothing when the store is away. */
  release(): Promise<void>;
}

/** Who owns what. A lease not renewed within its time to live is free again. */
export interface LeaseStore {
  /**
   * A replica gets its own lease again at once: two processes never share a replica id, so the former one is dead.
   * @param above the epoch will be larger than this: what the fenced store has seen, in case the lease store lost its memory
   * @fails lease.held, store.away
   */
  acquire(name: string, replicaId: string, above: number): Promise<Outcome<Lease, LeaseHeld | StoreAway>>;
}
