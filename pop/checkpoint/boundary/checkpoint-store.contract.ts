import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { CheckpointStore } from "./checkpoint-store.ts";

/** A book and the power over what keeps it. */
export interface CheckpointStoreWorld {
  /** Another one of the same service and book, as after a restart. */
  open(epoch: number): Promise<CheckpointStore>;
  goAway(): Promise<void>;
  /** Empty, as after a crash without persistence. Resolves once `store` has noticed. */
  comeBackEmpty(store: CheckpointStore): Promise<void>;
  close(): Promise<void>;
}

/** What every CheckpointStore must do; each adapter's test file calls this. */
export function checkpointStoreContract(name: string, open: () => Promise<CheckpointStoreWorld>): void {
  describe(`${name} is a CheckpointStore`, () => {
    let world: CheckpointStoreWorld;
    let store: CheckpointStore;
    before(async () => {
      world = await open();
      store = await world.open(1);
    });
    after(async () => {
      await store.close();
      await world.close();
    });

    const save = (field: string, text: string, into = store) => into.save(field, () => text);
    const loaded = async (from = store): Promise<Record<string, string>> => {
      const fields = await from.load();
      assert.ok(fields.ok, "load");
      return Object.fromEntries(fields.value);
    };

    test("what was saved is found by the next one of this service, the newest of each field", async () => {
      save("a", "one");
      save("b", "one");
      save("a", "two");
      assert.deepEqual(await store.flush(), { ok: true, value: undefined });
      const other = await world.open(1);
      assert.deepEqual(await loaded(other), { a: "two", b: "one" });
      await other.close();
    });

    test("a field that is removed is gone, also one that was saved a moment before", async () => {
      store.remove("a");
      save("c", "one");
      store.remove("c");
      await store.flush();
      assert.deepEqual(await loaded(), { b: "one" });
    });

    test("whoever waits for a commit finds it done, and nobody waits for what is done", async () => {
      save("b", "committed");
      await new Promise<void>((resolve) => store.committed("b", resolve));
      const other = await world.open(1);
      assert.deepEqual(await loaded(other), { b: "committed" });
      await other.close();
      let isBack = false;
      store.committed("b", () => {
        isBack = true;
      });
      assert.ok(isBack, "at once");
      store.committed("never saved", () => {
        isBack = false;
      });
      assert.ok(!isBack, "at once");
    });

    test("while it is away nobody waits, and everything says so", async () => {
      await world.goAway();
      save("a", "saved while away");
      save("b", "two");
      let isBack = false;
      store.committed("a", () => {
        isBack = true;
      });
      const [flushed, found] = [await store.flush(), await store.load()];
      assert.ok(isBack);
      assert.ok(!flushed.ok && flushed.failure.code === "store.away" && flushed.failure.forMs >= 0);
      assert.ok(!found.ok && found.failure.code === "store.away");
      assert.ok(!store.health().ok);
    });

    test("back and empty, it is told every field that lives, and none that was removed meanwhile", async () => {
      save("b", "three");
      save("c", "one");
      store.remove("c");
      await world.comeBackEmpty(store);
      assert.deepEqual(await store.flush(), { ok: true, value: undefined });
      assert.deepEqual(await loaded(), { a: "saved while away", b: "three" });
    });

    test("many fields at once are all there", async () => {
      for (let at = 0; at < 1_500; at++) save(`many-${at}`, `state ${at}`);
      await store.flush();
      assert.equal(Object.keys(await loaded()).length, 1_502);
      for (let at = 0; at < 1_500; at++) store.remove(`many-${at}`);
      await store.flush();
      assert.deepEqual(Object.keys(await loaded()).sort(), ["a", "b"]);
    });

    test("a newer owner reads what the older wrote, and from then on the older one's writes are refused for ever", async () => {
      const newer = await world.open(2);
      assert.deepEqual(await loaded(newer), { a: "saved while away", b: "three" });
      save("a", "by the older");
      let isBack = false;
      store.committed("a", () => {
        isBack = true;
      });
      assert.deepEqual(await store.flush(), { ok: false, failure: { code: "store.superseded", epoch: 1, by: 2 } });
      assert.ok(!isBack, "what was held back stays here");
      store.remove("b");
      assert.equal((await store.load()).ok, false);
      assert.deepEqual(store.health(), { ok: false, failure: { code: "store.superseded", epoch: 1, by: 2 } });
      save("a", "by the newer", newer);
      assert.ok((await newer.flush()).ok);
      assert.deepEqual(await loaded(newer), { a: "by the newer", b: "three" });
      await newer.close();
    });
  });
}
