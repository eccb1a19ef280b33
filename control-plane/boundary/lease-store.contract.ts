import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Lease, LeaseStore } from "./lease-store.ts";

export interface OpenLeaseStore {
  readonly store: LeaseStore;
  /** Lets the time to live pass. */
  lapse(): Promise<void>;
  close(): Promise<void>;
}

async function acquired(store: LeaseStore, replica: string, above = 0): Promise<Lease> {
  const lease = await store.acquire("shards/acme", replica, above);
  assert.ok(lease.ok, JSON.stringify(lease));
  return lease.value;
}

/** What every LeaseStore must do. `open` gives an empty one each time. */
export function leaseStoreContract(name: string, open: () => Promise<OpenLeaseStore>): void {
  const within = async (run: (opened: OpenLeaseStore) => Promise<void>) => {
    const opened = await open();
    try {
      await run(opened);
    } finally {
      await opened.close();
    }
  };
  describe(`${name} is a LeaseStore`, () => {
    test("one replica has it; the other learns whose it is", () =>
      within(async ({ store }) => {
        const lease = await acquired(store, "cp-1");
        assert.deepEqual(await store.acquire("shards/acme", "cp-2", 0), {
          ok: false,
          failure: { code: "lease.held", name: "shards/acme", by: "cp-1" },
        });
        assert.equal(await lease.renew(), "kept");
        assert.ok((await store.acquire("shards/other", "cp-2", 0)).ok, "another name is another lease");
      }));

    test("given back, another has it at once, with a larger epoch", () =>
      within(async ({ store }) => {
        const first = await acquired(store, "cp-1");
        await first.release();
        await first.release();
        const second = await acquired(store, "cp-2");
        assert.ok(second.epoch > first.epoch);
        assert.equal(await first.renew(), "lost");
        assert.equal(await second.renew(), "kept");
      }));

    test("not renewed, it lapses: another may have it, and its former owner is told", () =>
      within(async ({ store, lapse }) => {
        const first = await acquired(store, "cp-1");
        await lapse();
        const second = await acquired(store, "cp-2");
        assert.ok(second.epoch > first.epoch);
        assert.equal(await first.renew(), "lost");
      }));

    test("a replica that comes back has its own at once, and its former self has lost it", () =>
      within(async ({ store }) => {
        const former = await acquired(store, "cp-1");
        const now = await acquired(store, "cp-1");
        assert.ok(now.epoch > former.epoch);
        assert.equal(await former.renew(), "lost");
        assert.equal(await now.renew(), "kept");
      }));

    test("the epoch is above what the fenced store has seen", () =>
      within(async ({ store }) => {
        const lease = await acquired(store, "cp-1", 41);
        assert.equal(lease.epoch, 42);
        await lease.release();
        assert.equal((await acquired(store, "cp-1")).epoch, 43);
      }));

    test("of many who ask at once exactly one has it", () =>
      within(async ({ store }) => {
        const asked = await Promise.all(
          ["cp-1", "cp-2", "cp-3", "cp-4"].map((replica) => store.acquire("x", replica, 0)),
        );
        assert.equal(asked.filter(({ ok }) => ok).length, 1);
      }));
  });
}
