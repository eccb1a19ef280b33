import type { TenantId } from "../../kernel/ids.ts";
import type { Outcome } from "../../kernel/outcome.ts";
import type { ShardState } from "../core/queue/shard-state.ts";
import type { StoreAway } from "./store-away.ts";

/** A newer owner has written: this one is no owner any more. */
export interface EpochStale {
  readonly code: "shard.epoch-stale";
  readonly epoch: number;
  readonly newest: number;
}

/** What stands there was not written by us, or by a release with another shape. */
export interface ShardUnreadable {
  readonly code: "shard.unreadable";
  readonly detail: string;
}

export interface StoredShard {
  readonly epoch: number;
  readonly state: ShardState;
}

/** Keeps each tenant's queue shard for its next owner. Fenced: who has an older epoch cannot write. */
export interface QueueShardStore {
  /** Undefined: never saved. */
  load(tenantId: TenantId): Promise<Outcome<StoredShard | undefined, StoreAway | ShardUnreadable>>;

  /** @fails shard.epoch-stale, store.away */
  save(tenantId: TenantId, epoch: number, state: ShardState): Promise<Outcome<void, EpochStale | StoreAway>>;
}
