import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { asId } from "../../../kernel/ids.ts";
import type { OwnerEntry, OwnerRecord } from "../core/owner-record.ts";
import type { OwnerStore } from "./owner-store.ts";

export interface OpenOwnerStore {
  readonly store: OwnerStore;
  /** A second host's view of the same store. */
  readonly other: OwnerStore;
  /** No call is answered any more; false: they are again. */
  away(away: boolean): Promise<void>;
  close(): Promise<void>;
}

const [A, B] = [asId<"pop-host">("fra-01-a"), asId<"pop-host">("fra-01-b")];
const owned = (host: typeof A, epoch: number): OwnerRecord => ({ host, epoch, state: "serving" });
const ANSWER_MS_MAX = 600; // the bound is 400; the machine may be busy

async function written(store: OwnerStore, record: OwnerRecord, ifRevision: number): Promise<OwnerEntry> {
  const outcome = await store.write(A, record, ifRevision);
  assert.ok(outcome.ok, JSON.stringify(outcome));
  return outcome.value;
}

/** What every OwnerStore must do. `open` gives an empty one each time. */
export function ownerStoreContract(name: string, open: () => Promise<OpenOwnerStore>): void {
  const within = async (run: (opened: OpenOwnerStore) => Promise<void>) => {
    const opened = await open();
    try {
      await run(opened);
    } finally {
      await opened.close();
    }
  };

  describe(`${name} is an OwnerStore`, () => {
    test("of a service that nobody ever owned there is no record", () =>
      within(async ({ store }) => {
        const entry = { record: undefined, revision: 0, writtenAtUnixMs: undefined };
        assert.deepEqual(await store.read(A), { ok: true, value: entry });
      }));

    test("what one host writes the other reads, with its revision and when it was written", () =>
      within(async ({ store, other }) => {
        const before = Date.now();
        const entry = await written(store, owned(A, 2), 0);
        assert.deepEqual(await other.read(A), { ok: true, value: entry });
        assert.deepEqual(entry.record, owned(A, 2));
        assert.ok(entry.revision > 0 && (entry.writtenAtUnixMs ?? 0) >= before);
        assert.deepEqual(await other.read(B), {
          ok: true,
          value: { record: undefined, revision: 0, writtenAtUnixMs: undefined },
        });
      }));

    test("a renewal changes the revision and nothing else", () =>
      within(async ({ store }) => {
        const first = await written(store, owned(A, 2), 0);
        const second = await written(store, owned(A, 2), first.revision);
        assert.ok(second.revision > first.revision);
        assert.deepEqual(second.record, first.record);
      }));

    test("a write upon anything but the newest revision changes nothing, and shows what stands there", () =>
      within(async ({ store, other }) => {
        const first = await written(store, owned(A, 2), 0);
        const taken = await written(other, owned(B, 3), first.revision);
        for (const old of [0, first.revision, taken.revision + 7]) {
          const refused = await store.write(A, owned(A, 2), old);
          assert.deepEqual(refused, { ok: false, failure: { code: "owner.conflict", entry: taken } });
        }
        assert.deepEqual(await store.read(A), { ok: true, value: taken });
      }));

    test("of many who write at once exactly one has written", () =>
      within(async ({ store, other }) => {
        const first = await written(store, owned(A, 2), 0);
        const outcomes = await Promise.all(
          [3, 5, 7, 9].map((epoch, at) => (at % 2 ? store : other).write(A, owned(B, epoch), first.revision)),
        );
        assert.equal(outcomes.filter(({ ok }) => ok).length, 1);
      }));

    test("a watch tells of every write, in order, until it is closed", () =>
      within(async ({ store, other }) => {
        const seen: number[] = [];
        let told = (): void => {};
        const watch = other.watch(A, ({ revision }) => {
          seen.push(revision);
          told();
        });
        const first = await written(store, owned(A, 2), 0);
        const until = async (revision: number) => {
          while (seen.at(-1) !== revision)
            await new Promise<void>((resolve) => {
              told = resolve;
            });
        };
        await until(first.revision);
        const second = await written(store, owned(A, 2), first.revision);
        const third = await written(store, owned(B, 3), second.revision);
        await until(third.revision);
        assert.deepEqual(
          [...seen].sort((a, b) => a - b),
          seen,
        );
        watch.close();
        const count = seen.length;
        const fourth = await written(store, owned(B, 3), third.revision);
        await other.read(A);
        assert.ok(seen.length === count && fourth.revision > third.revision);
      }));

    test("away: every call says so in time; back: all is as it was", () =>
      within(async ({ store, away }) => {
        const first = await written(store, owned(A, 2), 0);
        await away(true);
        const askedAtMs = performance.now();
        const [read, write] = await Promise.all([store.read(A), store.write(A, owned(B, 3), first.revision + 1)]);
        assert.ok(performance.now() - askedAtMs < ANSWER_MS_MAX);
        assert.ok(!read.ok && read.failure.code === "owner.store-away");
        assert.ok(!write.ok && write.failure.code === "owner.store-away");
        await away(false);
        let back = await store.read(A);
        for (let tries = 0; !back.ok && tries < 60; tries++) back = await store.read(A);
        assert.deepEqual(back, { ok: true, value: first });
      }));
  });
}
