import assert from "node:assert/strict";
import { test } from "node:test";
import { SimWorld } from "../../../kernel/sim/world.ts";
import { GroupCommit } from "./group-commit.ts";

test("whoever throws when let go costs nobody else his turn, and the next group leaves", () => {
  const world = new SimWorld(1);
  const faults: unknown[] = [];
  const written: string[] = [];
  const groups = new GroupCommit({
    clock: world,
    setAlarm: (afterMs, run) => {
      world.after(afterMs, run);
      return { cancel: () => {} };
    },
    soon: (run) => void world.after(0, run),
    commitWindowMs: 5,
    waitMsMax: 50,
    write: ({ texts }, done) => {
      written.push(...texts);
      world.after(2, () => done("written"));
    },
    onFault: (_, error) => assert.fail(String(error)),
    onWaiterFault: (error) => faults.push(error),
  });
  groups.up();
  const bug = new Error("a bug in one message");
  const left: string[] = [];
  groups.save("a", () => "one");
  groups.committed("a", () => {
    throw bug;
  });
  groups.committed("a", () => left.push("a"));
  groups.save("b", () => "one");
  groups.committed("b", () => left.push("b"));
  world.runFor(1);
  groups.save("c", () => "one");
  world.runFor(20);
  assert.deepEqual(left, ["a", "b"]);
  assert.deepEqual(faults, [bug]);
  assert.deepEqual(written, ["a", "one", "b", "one", "c", "one"]);
});
