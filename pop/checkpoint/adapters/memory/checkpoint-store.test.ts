import assert from "node:assert/strict";
import { test } from "node:test";
import { SimWorld } from "../../../../kernel/sim/world.ts";
import { checkpointStoreContract } from "../../boundary/checkpoint-store.contract.ts";
import { MemoryCheckpointStore, memoryBook } from "./checkpoint-store.ts";

checkpointStoreContract("memory", async () => {
  const book = memoryBook();
  let first: MemoryCheckpointStore | undefined;
  return {
    async open(epoch) {
      const store = new MemoryCheckpointStore({ book, epoch });
      first ??= store;
      return store;
    },
    async goAway() {
      first?.away();
    },
    async comeBackEmpty() {
      first?.back(true);
    },
    async close() {},
  };
});

/** A store in simulated time: a group takes 2 ms. */
function timed() {
  const world = new SimWorld(1);
  const setAlarm = (afterMs: number, run: () => void) => {
    let isOff = false;
    world.after(afterMs, () => {
      if (!isOff) run();
    });
    return {
      cancel: () => {
        isOff = true;
      },
    };
  };
  const store = new MemoryCheckpointStore({ time: { clock: world, setAlarm, answerMs: 2 } });
  return { world, store };
}

test("a text is made once per group, when the group leaves: 5 ms later while nobody waits for it", () => {
  const { world, store } = timed();
  let made = 0;
  const text = () => `text ${++made}`;
  for (let at = 0; at < 3; at++) store.save("a", text);
  world.runFor(4);
  store.save("a", text);
  assert.equal(made, 0);
  world.runFor(3);
  assert.deepEqual([made, store.written.get("a"), store.counts.groups], [1, "text 1", 1]);
});

test("for somebody who waits the group leaves at once", () => {
  const { world, store } = timed();
  const done: string[] = [];
  store.save("a", () => "one");
  world.runFor(2);
  store.committed("a", () => done.push(`written at ${world.nowMs()}`));
  world.runFor(10);
  assert.deepEqual(done, ["written at 4"]);
  assert.deepEqual([store.counts.groups, store.counts.waits], [1, 1], "and not once more at 5");
});

test("what changes while a group is on its way goes with the next, 5 ms after the beginning of the first", () => {
  const { world, store } = timed();
  const done: string[] = [];
  store.save("a", () => "one");
  store.committed("a", () => done.push(`first at ${world.nowMs()}`));
  world.runFor(0);
  store.save("a", () => "two");
  store.committed("a", () => done.push(`second at ${world.nowMs()}`));
  store.save("b", () => "one");
  world.runFor(10);
  assert.deepEqual(done, ["first at 2", "second at 7"]);
  assert.deepEqual(Object.fromEntries(store.written), { a: "two", b: "one" });
});

test("a deletion goes with the next group, and costs one of its own only when none comes for 100 ms", () => {
  const { world, store } = timed();
  for (const field of ["a", "b"]) store.save(field, () => "text");
  world.runFor(20);
  store.remove("a");
  store.save("b", () => "newer");
  world.runFor(10);
  assert.deepEqual([[...store.written.keys()], store.counts.groups], [["b"], 2]);
  store.remove("b");
  world.runFor(99);
  assert.equal(store.counts.groups, 2);
  world.runFor(10);
  assert.deepEqual([store.written.size, store.counts.groups], [0, 3]);
});

test("a store that hangs holds back for 50 ms, once: nobody waits for it until it has answered", () => {
  const { world, store } = timed();
  const done: string[] = [];
  const commit = (field: string) => {
    store.save(field, () => "text");
    store.committed(field, () => done.push(`${field} at ${world.nowMs()}`));
  };
  store.hang();
  commit("a");
  world.runFor(10);
  commit("b");
  world.runFor(90);
  commit("c");
  assert.deepEqual(done, ["a at 50", "b at 60", "c at 100"]);
  store.goOn();
  world.runFor(20);
  commit("d");
  assert.equal(done.length, 3);
  world.runFor(20);
  assert.deepEqual(done.slice(3), ["d at 122"]);
  assert.equal(store.written.size, 4);
});

test("a process that was stopped does not take its own pause for the store's", () => {
  const { world, store } = timed();
  const done: string[] = [];
  const late: (() => void)[] = [];
  store.hang();
  store.save("a", () => "one");
  store.committed("a", () => done.push("a"));
  const real = world.after.bind(world);
  // Stopped: nothing of it happens for ten seconds, then all of it at once.
  real(1, () => {
    world.after = (_, run) => void late.push(run);
  });
  world.runFor(40);
  world.skipTo(10_000);
  store.save("b", () => "one");
  store.committed("b", () => done.push("b"));
  world.after = real;
  for (const run of late.splice(0)) run();
  assert.deepEqual(done, []);
  store.goOn();
  world.runFor(60);
  assert.deepEqual(done, ["a", "b"]);
});

test("a store that goes away in the middle lets everybody go at once", () => {
  const { world, store } = timed();
  let isBack = false;
  store.save("a", () => "one");
  world.runFor(1);
  store.committed("a", () => {
    isBack = true;
  });
  store.away();
  assert.ok(isBack);
  world.runFor(10);
  assert.equal(store.written.size, 0);
  store.back();
  world.runFor(10);
  assert.equal(store.written.get("a"), "one");
});
