import assert from "node:assert/strict";
import { test } from "node:test";
import { asId } from "../../../kernel/ids.ts";
import { initialKeeper, KEEPER_TIMING, type KeeperState, type ProcessState } from "../core/keeper-machine.ts";
import { Timeline } from "./keeper-status.ts";
import { readiness } from "./readiness.ts";

const [A, B] = [asId<"pop-host">("a"), asId<"pop-host">("b")];

function because(pop: ProcessState["name"], change: Partial<KeeperState> = {}): readonly string[] {
  const settings = { host: A, twin: B, processes: ["pop"], timing: KEEPER_TIMING } as const;
  const began = initialKeeper(settings, { atMs: 0, boot: "a/1", memory: { epochs: {} } });
  const process: ProcessState =
    pop === "serving" ? { name: pop, pongAtMs: 0 } : { name: "dead", diedAtMs: 0, startAtMs: 0 };
  const state: KeeperState = {
    ...began,
    twin: { ...began.twin, name: "heard" },
    home: {
      ...began.home,
      tenure: {
        name: "serving",
        held: {
          epoch: 2,
          leaseUntilMs: 1,
          toldUntilMs: 1,
          renewal: undefined,
          renewAtMs: 1,
          reason: "own-record",
          beganAtMs: 0,
          address: { name: "here" },
        },
        running: { processes: { pop: process }, deaths: [], pingAtMs: 1, failing: false, complete: true },
      },
    },
    ...change,
  };
  return readiness(new Timeline(A).status(state, [], 0)).because;
}

test("ready while every process serves; not while one that has served is down, nor while Redis is", () => {
  assert.deepEqual(because("serving"), []);
  assert.deepEqual(because("dead"), ["a: a process is missing"]);
  assert.deepEqual(because("serving", { stateStore: "answering" }), []);
  assert.deepEqual(because("serving", { stateStore: "away" }), ["Redis is away: whoever takes over finds no calls"]);
});
