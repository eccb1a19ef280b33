import type { Outcome } from "../../kernel/outcome.ts";
import type { IntentChange } from "../core/tenancy/apply.ts";
import type { Intent, StoredUnreadable } from "../core/tenancy/intent.ts";
import type { StoreAway } from "./store-away.ts";

/** Somebody else committed since: read again, judge again. */
export interface IntentConflict {
  readonly code: "intent.conflict";
  readonly judgedAgainst: number;
}

/** Where tenants' objects are kept. One version over all of it; a change is taken whole or not at all. */
export interface IntentStore {
  /** All of it, at one version. */
  read(): Promise<Outcome<Intent, StoreAway | StoredUnreadable>>;

  /**
   * Makes `next` the newest version if the store is still at the version it was judged against.
   * @fails intent.conflict, store.away (then it may or may not have happened: the version tells)
   */
  commit(
    judgedAgainst: number,
    next: Pick<Intent, "version" | "madeAtUnixMs">,
    change: IntentChange,
  ): Promise<Outcome<void, IntentConflict | StoreAway>>;

  /** Calls `changed` whenever the version may have become another, also after the store was away. Until closed. */
  watch(changed: () => void): { close(): void };
}
