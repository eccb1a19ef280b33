import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Redis } from "ioredis";
import { asId } from "../../../kernel/ids.ts";
import { silentLog } from "../../../kernel/log.ts";
import { callStoreContract } from "../../boundary/call-store.contract.ts";
import { callsKey, RedisCallStore, type RedisCallStoreOptions } from "./call-store.ts";
import { REDIS_MISSING, RedisServer } from "./redis-server.ts";

const HOST_ID = asId<"pop-host">("fra-01-a");
const CALL = asId<"call">("a");

const storeOn = (server: RedisServer, options: Partial<RedisCallStoreOptions> = {}) =>
  new RedisCallStore({
    hostId: HOST_ID,
    host: server.host,
    port: server.port,
    passwordFile: server.passwordFile,
    log: silentLog,
    backoff: { firstMs: 20, factor: 1.5, waitMsMax: 100, jitter: 0.5 },
    ...options,
  });

/** Asks until it holds: the store notices by itself, and tells nobody. */
async function until(holds: () => boolean, withinMs: number): Promise<number> {
  const start = performance.now();
  while (!holds()) {
    assert.ok(performance.now() - start < withinMs, `not within ${withinMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return performance.now() - start;
}

if (REDIS_MISSING) test("Redis call store", { skip: REDIS_MISSING }, () => {});
else {
  callStoreContract("Redis", async () => {
    const server = await RedisServer.start();
    return {
      open: async () => storeOn(server),
      goAway: () => server.kill(),
      async comeBackEmpty(store) {
        await server.restart();
        await until(() => store.health().ok, 5_000);
      },
      close: () => server.close(),
    };
  });

  describe("a Redis call store", () => {
    let server: RedisServer;
    before(async () => {
      server = await RedisServer.start();
    });
    after(() => server.close());

    const lookingIn = async <Result>(look: (redis: Redis) => Promise<Result>): Promise<Result> => {
      const redis = new Redis({ host: server.host, port: server.port, password: "open sesame" });
      try {
        return await look(redis);
      } finally {
        redis.disconnect();
      }
    };

    test("a Redis that hangs is noticed within about a second, nobody waits for it, and the newest is written after", async () => {
      const store = storeOn(server);
      store.save(CALL, "before");
      assert.ok((await store.flush()).ok);
      server.freeze();
      try {
        store.save(CALL, "while it hangs");
        const noticedAfterMs = await until(() => !store.health().ok, 1_500);
        assert.ok(noticedAfterMs < 1_200, `${noticedAfterMs} ms`);
        store.save(CALL, "newest");
        const start = performance.now();
        assert.ok(!(await store.flush()).ok);
        assert.ok(performance.now() - start < 1_600); // one attempt to connect at most
      } finally {
        server.thaw();
      }
      await until(() => store.health().ok, 5_000);
      assert.ok((await store.flush()).ok);
      assert.equal(await lookingIn((redis) => redis.hget(callsKey(HOST_ID), CALL)), "newest");
      await store.close();
    });

    test("an idle store notices a hanging Redis too", async () => {
      const store = storeOn(server);
      await store.flush();
      server.freeze();
      try {
        await until(() => !store.health().ok, 1_500);
      } finally {
        server.thaw();
      }
      await store.close();
    });

    test("a call that ended while Redis was away is deleted when it is back with what it had", async () => {
      const store = storeOn(server);
      store.save(CALL, "one");
      await store.flush();
      server.freeze();
      try {
        await until(() => !store.health().ok, 1_500);
        store.remove(CALL);
      } finally {
        server.thaw();
      }
      await until(() => store.health().ok, 5_000);
      await store.flush();
      assert.equal(await lookingIn((redis) => redis.hexists(callsKey(HOST_ID), CALL)), 0);
      await store.close();
    });

    test("saves of a moment go out as one group, the newest of each call only", async () => {
      const store = storeOn(server, { commitWindowMs: 5 });
      await store.flush();
      const commands = async () => {
        const info = await lookingIn((redis) => redis.info("commandstats"));
        return Number(/cmdstat_hset:calls=(\d+)/.exec(info)?.[1] ?? 0);
      };
      const earlier = await commands();
      for (let at = 0; at < 100; at++) store.save(CALL, `state ${at}`);
      await store.flush();
      assert.equal((await commands()) - earlier, 1);
      assert.equal(await lookingIn((redis) => redis.hget(callsKey(HOST_ID), CALL)), "state 99");
      await store.close();
    });

    test("what a dead host has left goes by itself", async () => {
      const store = storeOn(server, { expiryMs: 60_000 });
      store.save(CALL, "one");
      await store.flush();
      const leftMs = await lookingIn((redis) => redis.pttl(callsKey(HOST_ID)));
      assert.ok(leftMs > 50_000 && leftMs <= 60_000, `${leftMs} ms`);
      await store.close();
    });

    test("a wrong password is a store that is away, not an error of anybody's call", async () => {
      const store = storeOn(server, { passwordFile: undefined });
      store.save(CALL, "one");
      const flushed = await store.flush();
      assert.ok(!flushed.ok && flushed.failure.code === "store.away");
      await store.close();
    });

    test("with no Redis at all it opens, says so, and closes", async () => {
      const store = new RedisCallStore({ hostId: HOST_ID, host: "127.0.0.1", port: 1, log: silentLog });
      assert.ok(!(await store.flush()).ok);
      await store.close();
    });
  });
}
