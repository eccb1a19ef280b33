import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { SNAPSHOT, snapshotStoreContract } from "../../boundary/snapshot-store.contract.ts";
import { DiskSnapshotStore } from "./snapshot-store.ts";

const root = mkdtempSync(join(tmpdir(), "tollgate-snapshot-"));
after(() => rmSync(root, { recursive: true, force: true }));
let stores = 0;
const newPath = () => join(root, `host-${stores++}`, "snapshot.json");

snapshotStoreContract("disk", () => new DiskSnapshotStore(newPath()));

test("another process finds what this one saved", () => {
  const path = newPath();
  new DiskSnapshotStore(path).save(SNAPSHOT);
  assert.deepEqual(new DiskSnapshotStore(path).load(), { ok: true, value: SNAPSHOT });
});

test("the file of another process on the host is taken where it is newer or the only good one, and never touched", () => {
  const [own, others] = [newPath(), newPath()];
  const store = new DiskSnapshotStore(own, others);
  assert.deepEqual(store.load(), { ok: false, failure: { code: "snapshot-store.empty" } });
  new DiskSnapshotStore(others).save({ ...SNAPSHOT, version: 8 });
  const version = () => {
    const loaded = store.load();
    return loaded.ok ? loaded.value.version : loaded.failure.code;
  };
  assert.equal(version(), 8);
  store.save({ ...SNAPSHOT, version: 7 });
  assert.equal(version(), 8);
  store.save({ ...SNAPSHOT, version: 9 });
  assert.equal(version(), 9);
  writeFileSync(others, "{");
  assert.equal(version(), 9);
  assert.equal(readFileSync(others, "utf8"), "{");
  writeFileSync(own, "{");
  assert.equal(version(), "snapshot-store.unreadable");
});

const damages: Readonly<Record<string, (text: string) => string>> = {
  "cut off": (text) => text.slice(0, text.length / 2),
  empty: () => "",
  changed: (text) => text.replace("Acme", "Akme"),
  "of another format": (text) => text.replace('"format":1', '"format":99'),
  "no object": () => "[]",
};
for (const [damage, done] of Object.entries(damages))
  test(`a file that is ${damage} is said to be unreadable and moved aside`, () => {
    const path = newPath();
    const store = new DiskSnapshotStore(path);
    store.save(SNAPSHOT);
    writeFileSync(path, done(readFileSync(path, "utf8")));
    const loaded = store.load();
    assert.ok(!loaded.ok && loaded.failure.code === "snapshot-store.unreadable");
    assert.deepEqual([existsSync(path), existsSync(`${path}.bad`)], [false, true]);
    assert.deepEqual(store.load(), { ok: false, failure: { code: "snapshot-store.empty" } });
    assert.ok(store.save(SNAPSHOT).ok);
    assert.ok(store.load().ok);
  });

test("what a crash left half written beside the file does not count", () => {
  const path = newPath();
  const store = new DiskSnapshotStore(path);
  store.save(SNAPSHOT);
  writeFileSync(`${path}.new`, "{");
  assert.ok(store.load().ok);
});

test("a place that cannot be written is a failure, not an exception", () => {
  const path = newPath();
  mkdirSync(path, { recursive: true }); // a folder stands where the file should
  const saved = new DiskSnapshotStore(path).save(SNAPSHOT);
  assert.ok(!saved.ok && saved.failure.code === "snapshot-store.unwritable");
});
