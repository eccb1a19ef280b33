import assert from "node:assert/strict";
import { test } from "node:test";
import { asId } from "../../../kernel/ids.ts";
import { silentLog } from "../../../kernel/log.ts";
import { succeed } from "../../../kernel/outcome.ts";
import { absentTwin } from "../adapters/absent/absent.ts";
import { MemoryOwnerStore } from "../adapters/memory/owner-store.ts";
import { KEEPER_TIMING } from "../core/keeper-machine.ts";
import { Keeper } from "./keeper.ts";

const A = asId<"pop-host">("a");
const B = asId<"pop-host">("b");

test("a disk that is full does not end a host that has its epoch from etcd", async () => {
  let nowMs = 0;
  let wake = () => {};
  const started: string[] = [];
  const keeper = new Keeper({ host: A, twin: B, processes: ["pop"], timing: KEEPER_TIMING }, { epochs: {} }, "a/1", {
    owners: new MemoryOwnerStore(),
    twin: absentTwin,
    addresses: { take: async () => succeed(undefined) },
    fence: { raise: async () => succeed({ relayDatabase: 1 }), watch() {}, close() {} },
    processes: {
      listen() {},
      start: (service, process) => started.push(`${service}/${process}`),
      kill() {},
      killAll() {},
      stopAll() {},
      empty() {},
      extendLease() {},
      ping() {},
      keepSpares() {},
      hold() {},
      release() {},
      shown: () => [],
      end: async () => {},
    },
    log: silentLog,
    nowMs: () => nowMs,
    unixMs: () => nowMs,
    wakeAt: (atMs, next) => {
      wake = () => {
        nowMs = Math.max(nowMs, atMs);
        next();
      };
    },
    persist() {
      throw new Error("no space left on device");
    },
    finished() {},
  });
  await keeper.start();
  for (let step = 0; step < 100 && started.length === 0; step++) {
    wake();
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.deepEqual(started, ["a/pop"]);
});
