import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { asId } from "../../../kernel/ids.ts";
import { fail, succeed } from "../../../kernel/outcome.ts";
import type { Snapshot } from "../routing/snapshot.ts";
import { CONNECTION_POLICY } from "./connection.ts";
import {
  COMMANDS_REMEMBERED_MAX,
  newRegionLink,
  type RegionLinkEffect,
  type RegionLinkInput,
  type RegionLinkState,
  regionLinkStep,
} from "./region-link.ts";

const snapshotOf = (version: number): Snapshot => ({
  version,
  madeAtUnixMs: 0,
  tenants: [],
  trunks: [],
  numbers: [],
  entryPoints: [],
  flows: [],
  queues: [],
  agentSourceCidrs: [],
});
const readable = (version: number): RegionLinkInput => ({
  kind: "snapshot",
  snapshot: { version, content: succeed(snapshotOf(version)) },
});
const unreadable = (version: number): RegionLinkInput => ({
  kind: "snapshot",
  snapshot: { version, content: fail([{ path: "tenants[0].id", message: "is missing" }]) },
});

/** Runs inputs from `state` on and shows what was asked for. */
function run(
  state: RegionLinkState,
  ...inputs: readonly RegionLinkInput[]
): { state: RegionLinkState; asked: string[] } {
  const asked: string[] = [];
  let now = state;
  for (const input of inputs) {
    const step = regionLinkStep(CONNECTION_POLICY, now, input);
    now = step.state;
    asked.push(...step.effects.map(shown));
  }
  return { state: now, asked };
}

function shown(effect: RegionLinkEffect): string {
  switch (effect.kind) {
    case "report": {
      const { report } = effect;
      if (report.kind === "hello") return `hello ${report.appliedVersion}`;
      if (report.kind === "applied") return `applied ${report.version}`;
      if (report.kind === "refused")
        return `refused ${report.version}: ${report.mistakes.map(({ path }) => path).join(" ")}`;
      return `command-done ${report.id} ${report.reason ?? "done"}`;
    }
    case "apply":
      return `apply ${effect.snapshot.version}`;
    case "perform":
      return `perform ${effect.id} ${effect.command.kind}`;
    case "start-timer":
      return `start ${effect.timer} ${effect.afterMs}`;
    case "stop-timer":
      return `stop ${effect.timer}`;
    default:
      return effect.kind;
  }
}

const LINKED = run(
  newRegionLink,
  { kind: "start" },
  { kind: "opened", appliedVersion: 7 },
  { kind: "welcomed", presenceIntervalMs: 1_000 },
).state;
const LOST: RegionLinkInput = { kind: "lost", detail: "reset", chance: 0 };

describe("snapshots, on one page", () => {
  const rows: readonly [string, readonly RegionLinkInput[], readonly string[]][] = [
    ["a newer one is applied", [readable(8)], ["apply 8"]],
    ["then answered", [readable(8), { kind: "applied", version: 8 }], ["apply 8", "applied 8"]],
    [
      "or refused by the POP",
      [readable(8), { kind: "refused", version: 8, mistakes: [{ path: "flows", message: "" }] }],
      ["apply 8", "refused 8: flows"],
    ],
    ["the one that is applied is answered, not applied again", [readable(7)], ["applied 7"]],
    ["also if it cannot be read this time", [unreadable(7)], ["applied 7"]],
    ["an older one is refused", [readable(6)], ["refused 6: version"]],
    ["one that cannot be read is refused", [unreadable(8)], ["refused 8: tenants[0].id"]],
    ["older and unreadable: both are told", [unreadable(6)], ["refused 6: version tenants[0].id"]],
    ["one without a version is refused", [readable(0)], ["refused 0: version"]],
    [
      "a second one waits for the first",
      [readable(8), readable(9), { kind: "applied", version: 8 }, { kind: "applied", version: 9 }],
      ["apply 8", "applied 8", "apply 9", "applied 9"],
    ],
    [
      "the newest of those that wait is the one",
      [readable(8), readable(10), readable(9), { kind: "applied", version: 8 }],
      ["apply 8", "applied 8", "apply 10"],
    ],
    [
      "a result of another version changes nothing",
      [readable(8), { kind: "refused", version: 5, mistakes: [] }],
      ["apply 8"],
    ],
  ];
  for (const [name, inputs, asked] of rows) test(name, () => assert.deepEqual(run(LINKED, ...inputs).asked, asked));
});

test("a link lost while a snapshot is applied: the next hello has its version", () => {
  const { asked } = run(
    LINKED,
    readable(8),
    LOST,
    { kind: "applied", version: 8 },
    { kind: "timer", timer: "retry", chance: 0 },
    { kind: "opened", appliedVersion: 8 },
  );
  assert.deepEqual(
    asked.filter((what) => /^(apply|applied|hello)/.test(what)),
    ["apply 8", "hello 8"],
  );
});

test("presence comes with the welcome, then at the region's interval, and ends with the link", () => {
  const { state, asked } = run(LINKED, { kind: "timer", timer: "presence", chance: 0 });
  assert.deepEqual(asked, ["report-presence", "start presence 1000"]);
  const lost = run(state, LOST);
  assert.ok(lost.asked.includes("stop presence"));
  assert.deepEqual(run(lost.state, { kind: "timer", timer: "presence", chance: 0 }).asked, []);
});

test("an interval that makes no sense is brought within bounds", () => {
  const asked = (presenceIntervalMs: number) =>
    run(
      newRegionLink,
      { kind: "start" },
      { kind: "opened", appliedVersion: 0 },
      { kind: "welcomed", presenceIntervalMs },
    ).state.presenceIntervalMs;
  assert.deepEqual([0, 1, 3_000, 1e9].map(asked), [2_000, 250, 3_000, 60_000]);
});

test("a command is performed once, also across a lost link, and what came of it is told each time", () => {
  const hangUp: RegionLinkInput = {
    kind: "command",
    id: "c1",
    command: { kind: "hang-up", callId: asId<"call">("x") },
  };
  const first = run(LINKED, hangUp, { kind: "performed", id: "c1", reason: "call.unknown" });
  assert.deepEqual(first.asked, ["perform c1 hang-up", "command-done c1 call.unknown"]);
  const relinked = run(
    first.state,
    LOST,
    { kind: "timer", timer: "retry", chance: 0 },
    { kind: "opened", appliedVersion: 7 },
    { kind: "welcomed", presenceIntervalMs: 1_000 },
  ).state;
  assert.deepEqual(run(relinked, hangUp).asked, ["command-done c1 call.unknown"]);
});

test("a command of a kind that this POP does not know is answered so", () => {
  const { asked } = run(LINKED, { kind: "command", id: "c2", command: undefined });
  assert.deepEqual(asked, ["command-done c2 command.unknown"]);
});

test("the memory of commands is bounded, and forgets the oldest", () => {
  let { state } = { state: LINKED };
  for (let at = 0; at <= COMMANDS_REMEMBERED_MAX; at++)
    state = run(
      state,
      { kind: "command", id: `c${at}`, command: { kind: "drain", on: true } },
      { kind: "performed", id: `c${at}`, reason: undefined },
    ).state;
  assert.equal(state.commands.length, COMMANDS_REMEMBERED_MAX);
  assert.equal(state.commands[0]?.id, "c1");
});

const anyInput: fc.Arbitrary<RegionLinkInput> = fc.oneof(
  fc.nat(12).map(readable),
  fc.nat(12).map(unreadable),
  fc.constantFrom<RegionLinkInput>(
    LOST,
    { kind: "start" },
    { kind: "reachable" },
    { kind: "timer", timer: "retry", chance: 0 },
    { kind: "timer", timer: "deadline", chance: 0 },
    { kind: "timer", timer: "presence", chance: 0 },
    { kind: "welcomed", presenceIntervalMs: 500 },
    { kind: "command", id: "c1", command: { kind: "drain", on: true } },
    { kind: "command", id: "c2", command: undefined },
  ),
  fc.constant<RegionLinkInput>({ kind: "opened", appliedVersion: -1 }), // the host's own, put in below
);

test("property: on any stream of inputs the applied version never goes back, and a snapshot is applied one at a time", () => {
  fc.assert(
    fc.property(fc.array(anyInput), fc.array(fc.boolean()), (inputs, refusals) => {
      let state = newRegionLink;
      let hostVersion = 3;
      let performed = 0;
      const refuses = [...refusals];
      const queue: RegionLinkInput[] = [];
      for (const input of inputs) {
        queue.push(input.kind === "opened" ? { kind: "opened", appliedVersion: hostVersion } : input);
        for (let next = queue.shift(); next; next = queue.shift()) {
          const step = regionLinkStep(CONNECTION_POLICY, state, next);
          assert.ok(step.state.appliedVersion >= state.appliedVersion);
          state = step.state;
          const applying = step.effects.filter(({ kind }) => kind === "apply");
          assert.ok(applying.length <= 1);
          for (const effect of step.effects) {
            if (effect.kind === "apply") {
              const { version } = effect.snapshot;
              assert.ok(version > hostVersion);
              if (refuses.pop()) queue.push({ kind: "refused", version, mistakes: [] });
              else {
                hostVersion = Math.max(hostVersion, version);
                queue.push({ kind: "applied", version });
              }
            }
            if (effect.kind === "perform") {
              performed++;
              queue.push({ kind: "performed", id: effect.id, reason: undefined });
            }
          }
        }
        assert.equal(state.intake.name, "free");
      }
      assert.ok(performed <= 1);
    }),
  );
});

test("property: while linked, every snapshot sent alone is answered with its own version, applied or refused", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(12), fc.boolean(), fc.boolean())), (sent) => {
      let state = LINKED;
      for (const [version, canBeRead, accepted] of sent) {
        const taken = run(state, canBeRead ? readable(version) : unreadable(version));
        const answered = taken.asked.includes(`apply ${version}`)
          ? run(taken.state, accepted ? { kind: "applied", version } : { kind: "refused", version, mistakes: [] })
          : taken;
        assert.match(answered.asked.join(), new RegExp(`^(applied|refused) ${version}\\b`));
        state = answered.state;
      }
    }),
  );
});
