import assert from "node:assert/strict";
import { test } from "node:test";
import type { CallId } from "../../../kernel/ids.ts";
import { silentLog } from "../../../kernel/log.ts";
import { RedisCheckpointStore } from "../../checkpoint/adapters/redis/checkpoint-store.ts";
import { REDIS_MISSING, RedisServer } from "../../checkpoint/adapters/redis/redis-server.ts";
import { ACME } from "../ladders/paper-tenant.ts";
import { PaperService } from "./paper-service.ts";

const CALLS = 500;
/** Of one call and turn: what a process of the machine's own test run may be late by is not ours to judge. */
const WAIT_MS_MAX = 10_000;

const ROOMY = {
  ...ACME,
  trunks: ACME.trunks.map((trunk) => ({ ...trunk, callsPerSecondMax: 10_000, callsConcurrentMax: 10_000 })),
};

async function until(holds: () => boolean): Promise<void> {
  const startedAtMs = performance.now();
  while (!holds()) {
    assert.ok(performance.now() - startedAtMs < WAIT_MS_MAX);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

test(`${CALLS} calls in queue, their process dies: the next one has them all from Redis`, {
  skip: REDIS_MISSING,
}, async () => {
  const redis = await RedisServer.start();
  const stores: RedisCheckpointStore[] = [];
  const storeOf = (book: "calls" | "flows", epoch: number) => {
    const { host, port, passwordFile } = redis;
    const store = new RedisCheckpointStore({
      service: "fra-01-a",
      book,
      epoch,
      host,
      port,
      passwordFile,
      log: silentLog,
    });
    stores.push(store);
    return store;
  };
  try {
    const service = new PaperService({ snapshot: ROOMY, storeOf });
    assert.ok((await service.now.store.flush()).ok);
    const calls: CallId[] = [];
    for (let at = 0; at < CALLS; at++) {
      service.world.runFor(1); // another call id
      calls.push(await service.ring());
    }
    await until(() => service.dialogs.wire.length === CALLS);
    for (const call of calls) service.now.signalling.signalled(call, { kind: "caller-acked" });
    await service.settle();
    for (const call of calls) service.now.server.finish(call);
    await service.settle();
    for (const call of calls) service.now.relay.press(call, "caller", "1");
    await service.settle();
    assert.ok((await service.now.store.flush()).ok);
    service.kill();

    const beganAtMs = performance.now();
    const restored = await service.takeOver();
    const tookMs = performance.now() - beganAtMs;
    assert.deepEqual([restored.calls, restored.closed, restored.records], [CALLS, 0, 0]);
    assert.equal(service.now.calls.held().waiting.length, CALLS);
    assert.equal(service.dialogs.wire.length, CALLS, "nobody outside has heard a word");
    const playing = calls.filter((call) => service.now.server.playing(call) !== undefined);
    assert.equal(playing.length, CALLS);
    console.log(
      `restored ${CALLS} calls in ${tookMs.toFixed(0)} ms: Redis read, calls rebuilt, wishes said, first answers of engines`,
    );
  } finally {
    for (const store of stores) await store.close();
    await redis.close();
  }
});
