import type { CallId } from "../../kernel/ids.ts";
import type { Outcome } from "../../kernel/outcome.ts";

export interface StoreAway {
  readonly code: "store.away";
  readonly forMs: number;
}

/**
 * Checkpoints of calls, for the host's twin. The newest of a call replaces the older; writes of some milliseconds
 * go out together. Saving never blocks a call: while the store is away, checkpoints of calls still alive are kept
 * (the newest each, bounded by the number of calls) and written when it is back.
 */
export interface CallStore {
  save(call: CallId, state: string): void;
  remove(call: CallId): void;
  /** Everything saved for this host. @fails store.away */
  load(): Promise<Outcome<ReadonlyMap<CallId, string>, StoreAway>>;
  /** Resolves when all that was asked before is written. @fails store.away */
  flush(): Promise<Outcome<void, StoreAway>>;
  health(): Outcome<void, StoreAway>;
  close(): Promise<void>;
}
