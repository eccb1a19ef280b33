import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Etcd3 } from "etcd3";
import { asId } from "../../../kernel/ids.ts";
import { silentLog } from "../../../kernel/log.ts";
import { intentStoreContract } from "../../boundary/intent-store.contract.ts";
import { leaseStoreContract } from "../../boundary/lease-store.contract.ts";
import { applyDocuments } from "../../core/tenancy/apply.ts";
import { type Engine, missing, startEtcd } from "../../test/engines.ts";
import { openEtcd } from "./etcd-client.ts";
import { EtcdIntentStore } from "./intent-store.ts";
import { EtcdLeaseStore } from "./lease-store.ts";

const skip = missing("etcd");
const ACME = asId<"tenant">("acme");

describe("etcd", { skip }, () => {
  let engine: Engine;
  let etcd: Etcd3;
  before(async () => {
    engine = await startEtcd();
    etcd = openEtcd({ endpoints: [`${engine.host}:${engine.port}`], callTimeoutMs: 1_000 });
  });
  after(async () => {
    etcd?.close();
    await engine?.close();
  });
  const empty = async () => {
    await etcd.delete().prefix("/tollgate/").exec();
  };
  const leases = (ttlSeconds: number) => new EtcdLeaseStore(etcd, { ttlSeconds, renewTimeoutMs: 500 });

  intentStoreContract("etcd", async () => {
    await empty();
    return { store: new EtcdIntentStore(etcd, silentLog), close: async () => {} };
  });

  leaseStoreContract("etcd", async () => {
    await empty();
    return {
      store: leases(2),
      close: async () => {},
      // etcd revokes within a second or so after the time to live
      lapse: async () => {
        while ((await etcd.get("/tollgate/v1/leases/shards/acme").string()) !== null)
          await new Promise((resolve) => setTimeout(resolve, 50));
      },
    };
  });

  const until = async (what: string, holds: () => Promise<boolean>, withinMs = 15_000) => {
    const giveUpAtMs = Date.now() + withinMs;
    while (!(await holds())) {
      if (Date.now() > giveUpAtMs) throw new Error(`${what}: not within ${withinMs} ms`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };

  test("killed: reads and commits fail in time, a lease is neither kept nor lost; back: all go on", async () => {
    await empty();
    const store = new EtcdIntentStore(etcd, silentLog);
    let heard = 0;
    const watch = store.watch(() => heard++);
    const acquired = await leases(10).acquire("shards/acme", "cp-1", 0);
    assert.ok(acquired.ok);
    const lease = acquired.value;
    await engine.kill();

    const askedAtMs = Date.now();
    const read = await store.read();
    assert.ok(!read.ok && read.failure.code === "store.away");
    const committed = await store.commit(0, { version: 1, madeAtUnixMs: 1 }, { puts: [], deletes: [] });
    assert.ok(!committed.ok && committed.failure.code === "store.away");
    assert.equal(await lease.renew(), "away");
    const other = await leases(10).acquire("shards/other", "cp-1", 0);
    assert.ok(!other.ok && other.failure.code === "store.away");
    assert.ok(Date.now() - askedAtMs < 6_000, "nobody waits for long");

    await engine.start();
    await until("the lease is kept", async () => (await lease.renew()) === "kept");
    await until("reads are answered", async () => (await store.read()).ok);
    const intent = await store.read();
    assert.ok(intent.ok);
    const applied = applyDocuments(intent.value, ACME, [{ kind: "tenant", id: "acme", name: "Acme" }], Date.now());
    assert.ok(applied.ok);
    const before = heard;
    assert.ok((await store.commit(0, applied.value.intent, applied.value.stored)).ok);
    await until("the watch hears of it", async () => heard > before);
    watch.close();
    await lease.release();
  });

  test("frozen: an owner hears neither kept nor lost; thawed after the time to live, it has lost it", async () => {
    await empty();
    const acquired = await leases(2).acquire("shards/acme", "cp-1", 0);
    assert.ok(acquired.ok);
    engine.freeze(true);
    assert.equal(await acquired.value.renew(), "away");
    assert.equal(await acquired.value.renew(), "away");
    engine.freeze(false);
    // Time went on for etcd's clock: kept if it was asked in time, lost if not; never a third thing for long
    await until("an answer", async () => (await acquired.value.renew()) !== "away");
    await acquired.value.release();
  });
});
