import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Redis } from "ioredis";
import { silentLog } from "../../../../kernel/log.ts";
import { checkpointStoreContract } from "../../boundary/checkpoint-store.contract.ts";
import type { Superseded } from "../../boundary/checkpoint-store.ts";
import { bookKey, epochKey, RedisCheckpointStore, type RedisCheckpointStoreOptions } from "./checkpoint-store.ts";
import { REDIS_MISSING, RedisServer } from "./redis-server.ts";

const SERVICE = "fra-01-a";
const BOOK = bookKey(SERVICE, "calls");

const storeOn = (server: RedisServer, options: Partial<RedisCheckpointStoreOptions> = {}) =>
  new RedisCheckpointStore({
    service: SERVICE,
    book: "calls",
    epoch: 0,
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

if (REDIS_MISSING) test("Redis checkpoint store", { skip: REDIS_MISSING }, () => {});
else {
  checkpointStoreContract("Redis", async () => {
    const server = await RedisServer.start();
    return {
      open: async (epoch) => storeOn(server, { epoch }),
      goAway: () => server.kill(),
      async comeBackEmpty(store) {
        await server.restart();
        await until(() => store.health().ok, 5_000);
      },
      close: () => server.close(),
    };
  });

  describe("a Redis checkpoint store", () => {
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

    test("a book in which nothing changes does not expire while its owner lives", async () => {
      const server = await RedisServer.start();
      const store = storeOn(server, { expiryMs: 2_400, pingEveryMs: 20 });
      const reader = new Redis({ host: server.host, port: server.port, password: "open sesame" });
      try {
        store.save("flow", () => "version 1");
        assert.ok((await store.flush()).ok);
        let leftMs = await reader.pttl(BOOK);
        for (;;) {
          const nowLeftMs = await reader.pttl(BOOK);
          assert.ok(nowLeftMs > 0, "expired");
          if (nowLeftMs > leftMs) break;
          leftMs = nowLeftMs;
        }
      } finally {
        reader.disconnect();
        await store.close();
        await server.close();
      }
    });

    test("a Redis that hangs is noticed within about a second, nobody waits for it, and the newest is written after", async () => {
      const store = storeOn(server);
      store.save("a", () => "before");
      assert.ok((await store.flush()).ok);
      server.freeze();
      try {
        store.save("a", () => "while it hangs");
        const heldBack = performance.now();
        await new Promise<void>((resolve) => store.committed("a", resolve));
        assert.ok(performance.now() - heldBack < 500); // long before it is given up
        const noticedAfterMs = await until(() => !store.health().ok, 1_500);
        assert.ok(noticedAfterMs < 1_200, `${noticedAfterMs} ms`);
        store.save("a", () => "newest");
        const start = performance.now();
        assert.ok(!(await store.flush()).ok);
        assert.ok(performance.now() - start < 1_600); // one attempt to connect at most
      } finally {
        server.thaw();
      }
      await until(() => store.health().ok, 5_000);
      assert.ok((await store.flush()).ok);
      assert.equal(await lookingIn((redis) => redis.hget(BOOK, "a")), "newest");
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

    test("a field that was removed while Redis was away is deleted when it is back with what it had", async () => {
      const store = storeOn(server);
      store.save("a", () => "one");
      await store.flush();
      server.freeze();
      try {
        await until(() => !store.health().ok, 1_500);
        store.remove("a");
      } finally {
        server.thaw();
      }
      await until(() => store.health().ok, 5_000);
      await store.flush();
      assert.equal(await lookingIn((redis) => redis.hexists(BOOK, "a")), 0);
      await store.close();
    });

    test("saves of a moment go out as one group, the newest of each field only", async () => {
      const store = storeOn(server);
      await store.flush();
      const before = store.counts.groups;
      for (let at = 0; at < 100; at++) store.save("a", () => `state ${at}`);
      await store.flush();
      assert.equal(store.counts.groups - before, 1);
      assert.equal(await lookingIn((redis) => redis.hget(BOOK, "a")), "state 99");
      await store.close();
    });

    test("a newer owner that comes in the middle of a long book: not one field of the older is written after", async () => {
      const told: Superseded[] = [];
      const older = storeOn(server, { epoch: 3, onSuperseded: (superseded) => told.push(superseded) });
      const newer = storeOn(server, { epoch: 4 });
      await Promise.all([older.flush(), newer.flush()]);
      const text = "x".repeat(2_000);
      for (let at = 0; at < 3_000; at++) older.save(`field-${at}`, () => text);
      // Groups of the older one are still to come when the newer one has read.
      const book = await newer.load();
      assert.ok(book.ok);
      assert.ok(!(await older.flush()).ok);
      const found = await lookingIn((redis) => redis.hkeys(BOOK));
      assert.ok(found.length < 3_000);
      assert.deepEqual([...book.value.keys()].sort(), found.sort());
      assert.deepEqual(told, [{ code: "store.superseded", epoch: 3, by: 4 }]);
      assert.equal(await lookingIn((redis) => redis.get(epochKey(SERVICE))), "4");
      for (const field of found) newer.remove(field);
      assert.ok((await newer.flush()).ok);
      await Promise.all([older.close(), newer.close()]);
    });

    test("what an older owner sent to a Redis that hung, and was overtaken by a newer one, is refused when it is read", async () => {
      await lookingIn((redis) => redis.del(epochKey(SERVICE)));
      const older = storeOn(server, { epoch: 7 });
      older.save("a", () => "one");
      await older.flush();
      server.freeze();
      // The newer one's epoch is in Redis's socket first, then the older one's group.
      const raiser = new Redis({ host: server.host, port: server.port, password: "open sesame", lazyConnect: true });
      server.thaw();
      await raiser.connect();
      server.freeze();
      const raised = raiser.set(epochKey(SERVICE), "8");
      older.save("a", () => "two");
      await new Promise((resolve) => setTimeout(resolve, 20));
      server.thaw();
      await raised;
      await older.flush();
      const value = await raiser.hget(BOOK, "a");
      const epochs = await raiser.get(epochKey(SERVICE));
      // Whichever Redis read first: written before the newer epoch, or not at all.
      assert.ok(value === "one" ? !older.health().ok : value === "two" && epochs === "8", `${value} ${epochs}`);
      older.save("a", () => "three");
      assert.deepEqual(await older.flush(), { ok: false, failure: { code: "store.superseded", epoch: 7, by: 8 } });
      assert.notEqual(await raiser.hget(BOOK, "a"), "three");
      await raiser.del(epochKey(SERVICE), BOOK);
      raiser.disconnect();
      await older.close();
    });

    test("what a dead host has left goes by itself, its epoch stays", async () => {
      const store = storeOn(server, { expiryMs: 60_000, epoch: 1 });
      store.save("a", () => "one");
      await store.flush();
      const leftMs = await lookingIn((redis) => redis.pttl(BOOK));
      assert.ok(leftMs > 50_000 && leftMs <= 60_000, `${leftMs} ms`);
      assert.equal(await lookingIn((redis) => redis.pttl(epochKey(SERVICE))), -1);
      await lookingIn((redis) => redis.del(epochKey(SERVICE)));
      await store.close();
    });

    test("a text that cannot be made is left out, and costs no other field", async () => {
      const store = storeOn(server);
      store.save("broken", () => {
        throw new Error("no text");
      });
      store.save("a", () => "fine");
      let isBack = false;
      store.committed("broken", () => {
        isBack = true;
      });
      assert.ok((await store.flush()).ok);
      assert.ok(isBack);
      assert.equal(await lookingIn((redis) => redis.hget(BOOK, "a")), "fine");
      await store.close();
    });

    test("scripts that were flushed are loaded again", async () => {
      const store = storeOn(server);
      await store.flush();
      await lookingIn((redis) => redis.script("FLUSH"));
      store.save("a", () => "after the flush");
      await store.flush();
      await until(() => store.health().ok, 5_000);
      assert.ok((await store.flush()).ok);
      assert.equal(await lookingIn((redis) => redis.hget(BOOK, "a")), "after the flush");
      await store.close();
    });

    test("a wrong password is a store that is away, not an error of anybody's call", async () => {
      const store = storeOn(server, { passwordFile: undefined });
      store.save("a", () => "one");
      const flushed = await store.flush();
      assert.ok(!flushed.ok && flushed.failure.code === "store.away");
      await store.close();
    });

    test("with no Redis at all it opens, says so, and closes", async () => {
      const store = storeOn(server, { port: 1 });
      assert.ok(!(await store.flush()).ok);
      await store.close();
    });
  });
}
