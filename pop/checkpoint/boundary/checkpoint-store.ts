import type { Outcome } from "../../../kernel/outcome.ts";

export interface StoreAway {
  readonly code: "store.away";
  readonly forMs: number;
}

/** A newer owner has taken the service: this process must not serve it any more. Final. */
export interface Superseded {
  readonly code: "store.superseded";
  readonly epoch: number;
  /** Whose writes are taken now. */
  readonly by: number;
}

/**
 * What the next owner of a service needs, by field: one text each, the newest replaces the older. Writes of some
 * milliseconds go out together, under the owner's epoch: a store that has heard of a newer epoch refuses them.
 * Saving never blocks: while the store is away, the newest of each field is kept (bounded by the fields that live)
 * and written when it is back.
 */
export interface CheckpointStore {
  /** `text` is asked for when the group is written: a field that changes three times in a group is made a text once. */
  save(field: string, text: (field: string) => string): void;
  remove(field: string): void;
  /**
   * Calls back once the newest of `field` is written, at the latest after `waitMsMax`; at once, and synchronously, where
   * there is nothing to wait for, the store is away, or it has let somebody wait that long and has not answered since.
   * Never in a process that is superseded. For messages that oblige a peer: what it then believes, we must still know
   * after our death.
   */
  committed(field: string, then: () => void): void;
  /** Everything saved for this service, by whichever owner; from then on older owners are refused. @fails store.away, store.superseded */
  load(): Promise<Outcome<ReadonlyMap<string, string>, StoreAway | Superseded>>;
  /** Resolves when all that was asked before is written. @fails store.away, store.superseded */
  flush(): Promise<Outcome<void, StoreAway | Superseded>>;
  health(): Outcome<void, StoreAway | Superseded>;
  close(): Promise<void>;
}
