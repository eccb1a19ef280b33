import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { asId } from "../../kernel/ids.ts";
import { applyDocuments } from "../core/tenancy/apply.ts";
import { objectOf } from "../core/tenancy/intent.ts";
import type { IntentStore } from "./intent-store.ts";

const ACME = asId<"tenant">("acme");
const TENANT = { kind: "tenant", id: "acme", name: "Acme" };
const team = (id: string) => ({ kind: "team", id, name: id });
const flow = (name: string) => ({ kind: "flow", id: "f", name, start: "end", activities: { end: { disconnect: {} } } });

async function readOf(store: IntentStore) {
  const read = await store.read();
  assert.ok(read.ok, JSON.stringify(read));
  return read.value;
}

/** Judges against what is there and commits: as the keeper does. */
async function apply(store: IntentStore, ...documents: readonly unknown[]) {
  const intent = await readOf(store);
  const applied = applyDocuments(intent, ACME, documents, Date.now());
  assert.ok(applied.ok, JSON.stringify(applied));
  const committed = await store.commit(intent.version, applied.value.intent, applied.value.stored);
  assert.deepEqual(committed, { ok: true, value: undefined });
  return applied.value.intent;
}

/** What every IntentStore must do. `open` gives an empty one each time. */
export function intentStoreContract(
  name: string,
  open: () => Promise<{ store: IntentStore; close(): Promise<void> }>,
): void {
  const within = async (run: (store: IntentStore) => Promise<void>) => {
    const { store, close } = await open();
    try {
      await run(store);
    } finally {
      await close();
    }
  };
  describe(`${name} is an IntentStore`, () => {
    test("an empty one is at version 0", () =>
      within(async (store) => {
        const intent = await readOf(store);
        assert.deepEqual([intent.version, intent.objects.size], [0, 0]);
      }));

    test("what is committed is read back, whole and equal", () =>
      within(async (store) => {
        await apply(store, TENANT, flow("one"), { kind: "entry-point", id: "e", name: "E", flow: "f" });
        const second = await apply(store, flow("two"));
        const read = await readOf(store);
        assert.equal(read.version, second.version);
        assert.equal(read.madeAtUnixMs, second.madeAtUnixMs);
        const plain = (value: unknown) => JSON.parse(JSON.stringify(value));
        assert.deepEqual(plain([...read.objects].sort()), plain([...second.objects].sort()));
        assert.deepEqual(objectOf(read.objects, ACME, "flow", "f")?.earlier.length, 1);
      }));

    test("deletions and puts happen together", () =>
      within(async (store) => {
        await apply(store, TENANT, team("a"));
        await apply(store, team("b"), { kind: "team", id: "a", delete: true });
        assert.deepEqual([...(await readOf(store)).objects.keys()].sort(), ["acme/team/b", "acme/tenant/acme"]);
      }));

    test("of two changes judged against the same version one is taken", () =>
      within(async (store) => {
        const base = await apply(store, TENANT);
        const change = (id: string) => {
          const applied = applyDocuments(base, ACME, [team(id)], Date.now());
          assert.ok(applied.ok);
          return store.commit(base.version, applied.value.intent, applied.value.stored);
        };
        const outcomes = await Promise.all([change("a"), change("b")]);
        assert.equal(outcomes.filter(({ ok }) => ok).length, 1);
        const refused = outcomes.find(({ ok }) => !ok);
        assert.ok(refused && !refused.ok && refused.failure.code === "intent.conflict");
        assert.equal((await readOf(store)).objects.size, 2);
      }));

    test("a watcher hears of changes until it is closed", () =>
      within(async (store) => {
        let heard = 0;
        let wake = () => {};
        const watch = store.watch(() => {
          heard++;
          wake();
        });
        await apply(store, TENANT);
        while (heard === 0)
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        watch.close();
      }));
  });
}
