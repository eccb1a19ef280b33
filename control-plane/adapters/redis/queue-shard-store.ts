import type { Redis } from "ioredis";
import type { TenantId } from "../../../kernel/ids.ts";
import { fail, type Outcome, succeed } from "../../../kernel/outcome.ts";
import type { EpochStale, QueueShardStore, ShardUnreadable, StoredShard } from "../../boundary/queue-shard-store.ts";
import type { StoreAway } from "../../boundary/store-away.ts";
import type { ShardState } from "../../core/queue/shard-state.ts";
import { redisAway } from "./redis-client.ts";

const shardKey = (tenantId: TenantId) => `tollgate:v1:shard:${tenantId}`;

/** The shape of the JSON; another one is not guessed at. */
const FORMAT = 1;

/** Writes unless a newer epoch has written: returns that one, or 0. */
const SAVE_FENCED = `
local newest = tonumber(redis.call('HGET', KEYS[1], 'epoch') or '0')
if newest > tonumber(ARGV[1]) then return newest end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'state', ARGV[2])
return 0`;

export class RedisQueueShardStore implements QueueShardStore {
  readonly #redis: Redis;

  constructor(redis: Redis) {
    this.#redis = redis;
  }

  async load(tenantId: TenantId): Promise<Outcome<StoredShard | undefined, StoreAway | ShardUnreadable>> {
    let stored: (string | null)[];
    try {
      stored = await this.#redis.hmget(shardKey(tenantId), "epoch", "state");
    } catch (error) {
      return fail(redisAway(error));
    }
    const [epoch, json] = stored;
    if (typeof epoch !== "string" || typeof json !== "string") return succeed(undefined);
    try {
      const { format, state } = JSON.parse(json) as { format?: unknown; state?: ShardState };
      if (format !== FORMAT || state === undefined)
        return fail({ code: "shard.unreadable", detail: `format ${String(format)}, not ${FORMAT}` });
      return succeed({ epoch: Number(epoch), state });
    } catch (error) {
      return fail({ code: "shard.unreadable", detail: String(error) });
    }
  }

  async save(tenantId: TenantId, epoch: number, state: ShardState): Promise<Outcome<void, EpochStale | StoreAway>> {
    try {
      const json = JSON.stringify({ format: FORMAT, state });
      const newest = Number(await this.#redis.eval(SAVE_FENCED, 1, shardKey(tenantId), epoch, json));
      return newest === 0 ? succeed(undefined) : fail({ code: "shard.epoch-stale", epoch, newest });
    } catch (error) {
      return fail(redisAway(error));
    }
  }
}
