import type { TenantId } from "../../../kernel/ids.ts";
import { fail, type Outcome, succeed } from "../../../kernel/outcome.ts";
import type { EpochStale, QueueShardStore, StoredShard } from "../../boundary/queue-shard-store.ts";
import type { StoreAway } from "../../boundary/store-away.ts";
import type { ShardState } from "../../core/queue/shard-state.ts";

const AWAY: StoreAway = { code: "store.away", store: "memory", detail: "taken away" };

/** Shards in memory, as JSON so that what cannot be kept shows at once. */
export class MemoryQueueShardStore implements QueueShardStore {
  away = false;
  readonly #shards = new Map<TenantId, { epoch: number; json: string }>();

  async load(tenantId: TenantId): Promise<Outcome<StoredShard | undefined, StoreAway>> {
    if (this.away) return fail(AWAY);
    const stored = this.#shards.get(tenantId);
    return succeed(stored && { epoch: stored.epoch, state: JSON.parse(stored.json) as ShardState });
  }

  async save(tenantId: TenantId, epoch: number, state: ShardState): Promise<Outcome<void, EpochStale | StoreAway>> {
    if (this.away) return fail(AWAY);
    const newest = this.#shards.get(tenantId)?.epoch ?? 0;
    if (newest > epoch) return fail({ code: "shard.epoch-stale", epoch, newest });
    this.#shards.set(tenantId, { epoch, json: JSON.stringify(state) });
    return succeed(undefined);
  }
}
