import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Redis } from "ioredis";
import { asId } from "../../../kernel/ids.ts";
import { silentLog } from "../../../kernel/log.ts";
import { contactEventStoreContract } from "../../boundary/contact-event-store.contract.ts";
import { queueShardStoreContract } from "../../boundary/queue-shard-store.contract.ts";
import { EMPTY_SHARD } from "../../core/queue/shard-state.ts";
import { type Engine, missing, startRedis } from "../../test/engines.ts";
import { RedisContactEventStore } from "./contact-event-store.ts";
import { RedisQueueShardStore } from "./queue-shard-store.ts";
import { openRedis, redisAnswers } from "./redis-client.ts";

const skip = missing("redis-server");
const ACME = asId<"tenant">("acme");

describe("Redis", { skip }, () => {
  let engine: Engine;
  let redis: Redis;
  before(async () => {
    engine = await startRedis();
    redis = openRedis({ host: engine.host, port: engine.port, commandTimeoutMs: 300 }, silentLog);
    await until(() => redisAnswers(redis));
  });
  after(async () => {
    redis?.disconnect();
    await engine?.close();
  });
  const until = async (holds: () => Promise<boolean>) => {
    for (let look = 0; !(await holds()); look++) {
      if (look > 300) throw new Error("not within 15 s");
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };
  const close = async () => {};

  queueShardStoreContract("Redis", async () => {
    await redis.flushall();
    return { store: new RedisQueueShardStore(redis), close };
  });

  contactEventStoreContract("Redis", async () => {
    await redis.flushall();
    const limits = { contactsMax: 3, retentionSeconds: 60, eventsInStreamMax: 100, decisionsMax: 4 };
    return { store: new RedisContactEventStore(redis, limits), close };
  });

  test("an index holds nobody who is past the retention", async () => {
    await redis.flushall();
    const limits = { contactsMax: 30, retentionSeconds: 60, eventsInStreamMax: 100, decisionsMax: 4 };
    const store = new RedisContactEventStore(redis, limits);
    const at = (id: string, atUnixMs: number) => ({
      ...{ id, callId: asId<"call">(id), tenantId: ACME, sequence: 1, atUnixMs, name: "call.arrived", fields: {} },
    });
    await store.publish([at("old", 1_800_000_000_000), at("new", 1_800_000_060_001)], asId<"pop-host">("fra-01-a"));
    assert.deepEqual(await redis.zrange("tollgate:v1:contacts:acme", "0", "-1"), ["new"]);
    assert.deepEqual(await redis.zrange("tollgate:v1:contacts", "0", "-1"), ["new"]);
  });

  test("another shape of shard is not guessed at", async () => {
    await redis.hset("tollgate:v1:shard:acme", { epoch: "1", state: '{"format":99}' });
    const loaded = await new RedisQueueShardStore(redis).load(ACME);
    assert.ok(!loaded.ok && loaded.failure.code === "shard.unreadable");
  });

  test("frozen or killed: a save fails in time; back: it is taken", async () => {
    await redis.flushall();
    const store = new RedisQueueShardStore(redis);
    for (const takeAway of [() => engine.freeze(true), () => engine.kill()]) {
      await takeAway();
      const askedAtMs = Date.now();
      const saved = await store.save(ACME, 1, EMPTY_SHARD);
      assert.ok(!saved.ok && saved.failure.code === "store.away");
      assert.ok(Date.now() - askedAtMs < 2_000);
      engine.freeze(false);
    }
    await engine.start();
    await until(() => redisAnswers(redis));
    assert.ok((await store.save(ACME, 1, EMPTY_SHARD)).ok);
  });
});
