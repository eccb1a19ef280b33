import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { asId } from "../../kernel/ids.ts";
import type { CallStore } from "./call-store.ts";

/** A store and the power over what it keeps its calls in. */
export interface CallStoreWorld {
  /** Another one of the same host, as after a restart. */
  open(): Promise<CallStore>;
  goAway(): Promise<void>;
  /** Empty, as after a crash without persistence. Resolves once `store` has noticed. */
  comeBackEmpty(store: CallStore): Promise<void>;
  close(): Promise<void>;
}

const A = asId<"call">("a");
const B = asId<"call">("b");
const C = asId<"call">("c");

/** What every CallStore must do; each adapter's test file calls this. */
export function callStoreContract(name: string, open: () => Promise<CallStoreWorld>): void {
  describe(`${name} is a CallStore`, () => {
    let world: CallStoreWorld;
    let store: CallStore;
    before(async () => {
      world = await open();
      store = await world.open();
    });
    after(async () => {
      await store.close();
      await world.close();
    });

    const loaded = async (from = store): Promise<Record<string, string>> => {
      const calls = await from.load();
      assert.ok(calls.ok, "load");
      return Object.fromEntries(calls.value);
    };

    test("what was saved is found by the next one of this host, the newest of each call", async () => {
      store.save(A, "one");
      store.save(B, "one");
      store.save(A, "two");
      assert.deepEqual(await store.flush(), { ok: true, value: undefined });
      const other = await world.open();
      assert.deepEqual(await loaded(other), { a: "two", b: "one" });
      await other.close();
    });

    test("a call that is removed is gone, also one that was saved a moment before", async () => {
      store.remove(A);
      store.save(C, "one");
      store.remove(C);
      await store.flush();
      assert.deepEqual(await loaded(), { b: "one" });
    });

    test("while it is away nobody waits, and everything says so", async () => {
      await world.goAway();
      store.save(A, "saved while away");
      store.save(B, "two");
      const [flushed, found] = [await store.flush(), await store.load()];
      assert.ok(!flushed.ok && flushed.failure.code === "store.away" && flushed.failure.forMs >= 0);
      assert.ok(!found.ok && found.failure.code === "store.away");
      assert.ok(!store.health().ok);
    });

    test("back and empty, it is told every call alive, and none that ended meanwhile", async () => {
      store.save(B, "three");
      store.save(C, "one");
      store.remove(C);
      await world.comeBackEmpty(store);
      assert.deepEqual(await store.flush(), { ok: true, value: undefined });
      assert.deepEqual(await loaded(), { a: "saved while away", b: "three" });
    });

    test("many calls at once are all there", async () => {
      for (let at = 0; at < 1_500; at++) store.save(asId<"call">(`many-${at}`), `state ${at}`);
      await store.flush();
      assert.equal(Object.keys(await loaded()).length, 1_502);
      for (let at = 0; at < 1_500; at++) store.remove(asId<"call">(`many-${at}`));
      await store.flush();
      assert.deepEqual(Object.keys(await loaded()).sort(), ["a", "b"]);
    });
  });
}
