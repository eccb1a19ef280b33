import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Etcd3 } from "etcd3";
import { type Engine, missing, startEtcd } from "../../../../control-plane/test/engines.ts";
import { asId } from "../../../../kernel/ids.ts";
import { ownerStoreContract } from "../../boundary/owner-store.contract.ts";
import type { OwnerEntry } from "../../core/owner-record.ts";
import { EtcdOwnerStore } from "./owner-store.ts";

const A = asId<"pop-host">("fra-01-a");

describe("etcd", { skip: missing("etcd") }, () => {
  let engine: Engine;
  let etcd: Etcd3;
  before(async () => {
    engine = await startEtcd();
    etcd = new Etcd3({ hosts: `http://${engine.host}:${engine.port}` });
  });
  after(async () => {
    etcd?.close();
    await engine?.close();
  });
  const open = () => new EtcdOwnerStore({ endpoints: [`${engine.host}:${engine.port}`] });

  ownerStoreContract("etcd", async () => {
    await etcd.delete().prefix("/tollgate/");
    const [store, other] = [open(), open()];
    return {
      store,
      other,
      away: async (away) => engine.freeze(away),
      close: async () => {
        engine.freeze(false);
        store.close();
        other.close();
      },
    };
  });

  test("killed and back: the watch tells again of what is written", async () => {
    await etcd.delete().prefix("/tollgate/");
    const [store, other] = [open(), open()];
    try {
      let newest: OwnerEntry | undefined;
      const watch = other.watch(A, (entry) => {
        newest = entry;
      });
      const write = async (ifRevision: number) => {
        for (;;) {
          const outcome = await store.write(A, { host: A, epoch: 2, state: "serving" }, ifRevision);
          if (outcome.ok) return outcome.value;
          if (outcome.failure.code === "owner.conflict") return outcome.failure.entry;
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
      };
      let { revision } = await write(0);
      await engine.kill();
      assert.equal((await other.read(A)).ok, false);
      await engine.start();
      // As the keeper does: renewals by one, reads by the other; until the watch is the one that tells
      const giveUpAtMs = Date.now() + 15_000;
      do {
        ({ revision } = await write(revision));
        await other.read(A);
        await new Promise((resolve) => setTimeout(resolve, 50));
        assert.ok(Date.now() < giveUpAtMs, "the watch did not come back");
      } while (newest?.revision !== revision);
      watch.close();
    } finally {
      store.close();
      other.close();
    }
  });

  test("a record that is none is as good as no answer", async () => {
    const store = open();
    try {
      for (const text of [
        "",
        "{",
        "[]",
        '{"host":1,"epoch":2,"state":"serving"}',
        '{"host":"x","epoch":2,"state":"?"}',
      ]) {
        await etcd.put("/tollgate/v1/services/fra-01-a/owner").value(text);
        const read = await store.read(A);
        assert.ok(!read.ok && read.failure.code === "owner.store-away", text);
      }
    } finally {
      store.close();
    }
  });
});
