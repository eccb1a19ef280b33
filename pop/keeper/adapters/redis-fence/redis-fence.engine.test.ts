import assert from "node:assert/strict";
import { test } from "node:test";
import { asId } from "../../../../kernel/ids.ts";
import { fenceRelayState } from "../../../adapters/rtpengine/relay-fence.ts";
import { REDIS_MISSING, RedisServer } from "../../../checkpoint/adapters/redis/redis-server.ts";
import { RedisFence } from "./redis-fence.ts";

const SERVICE = asId<"pop-host">("fra-01-a");

test("an older owner is refused, and a Redis that is stopped, continued or killed is told as away and back", {
  skip: REDIS_MISSING,
}, async () => {
  const server = await RedisServer.start();
  const fence = new RedisFence({
    host: server.host,
    port: server.port,
    passwordFile: server.passwordFile,
    databases: new Map([[SERVICE, [1, 2]]]),
    fence: fenceRelayState,
    answerMsMax: 5_000,
  });
  try {
    const told: boolean[] = [];
    let wake = () => {};
    const heard = async (answers: boolean) => {
      while (told.at(-1) !== answers)
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
    };
    await fence.ready(5_000);
    fence.watch((answers) => {
      told.push(answers);
      wake();
    });
    await heard(true);
    assert.deepEqual(await fence.raise(SERVICE, 8), { ok: true, value: { relayDatabase: 1 } });
    assert.deepEqual(await fence.raise(SERVICE, 9), { ok: true, value: { relayDatabase: 2 } });
    const late = await fence.raise(SERVICE, 8);
    assert.deepEqual(!late.ok && late.failure, { code: "store.superseded", epoch: 8, by: 9 });
    server.freeze();
    await heard(false);
    server.thaw();
    await heard(true);
    await server.kill();
    await heard(false);
    const away = await fence.raise(SERVICE, 10);
    assert.equal(!away.ok && away.failure.code, "store.away");
    assert.deepEqual(told, [true, false, true, false]);
  } finally {
    fence.close();
    await server.close();
  }
});
