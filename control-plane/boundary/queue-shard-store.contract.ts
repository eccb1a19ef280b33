import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { asId } from "../../kernel/ids.ts";
import { EMPTY_SHARD, type ShardState } from "../core/queue/shard-state.ts";
import type { QueueShardStore } from "./queue-shard-store.ts";

const ACME = asId<"tenant">("acme");
const STATE: ShardState = {
  ...EMPTY_SHARD,
  agents: {
    alice: { id: asId<"agent">("alice"), address: "sip:alice@127.30.0.1", state: { name: "available", sinceMs: 7 } },
  },
  hosts: { "fra-01-a": { name: "lost", sinceMs: 9 } },
};

/** What every QueueShardStore must do. `open` gives an empty one each time. */
export function queueShardStoreContract(
  name: string,
  open: () => Promise<{ store: QueueShardStore; close(): Promise<void> }>,
): void {
  const within = async (run: (store: QueueShardStore) => Promise<void>) => {
    const { store, close } = await open();
    try {
      await run(store);
    } finally {
      await close();
    }
  };
  describe(`${name} is a QueueShardStore`, () => {
    test("what was never saved is undefined", () =>
      within(async (store) => assert.deepEqual(await store.load(ACME), { ok: true, value: undefined })));

    test("what is saved is loaded, with its epoch, for each tenant apart", () =>
      within(async (store) => {
        assert.ok((await store.save(ACME, 3, STATE)).ok);
        assert.ok((await store.save(asId<"tenant">("other"), 1, EMPTY_SHARD)).ok);
        assert.deepEqual(await store.load(ACME), { ok: true, value: { epoch: 3, state: STATE } });
      }));

    test("an older epoch is refused and changes nothing; the same and newer ones are taken", () =>
      within(async (store) => {
        assert.ok((await store.save(ACME, 3, EMPTY_SHARD)).ok);
        assert.ok((await store.save(ACME, 3, STATE)).ok);
        assert.deepEqual(await store.save(ACME, 2, EMPTY_SHARD), {
          ok: false,
          failure: { code: "shard.epoch-stale", epoch: 2, newest: 3 },
        });
        assert.deepEqual(await store.load(ACME), { ok: true, value: { epoch: 3, state: STATE } });
        assert.ok((await store.save(ACME, 4, STATE)).ok);
      }));
  });
}
