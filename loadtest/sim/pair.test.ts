// The pair under faults: a few seeds of every ordinary test run, those that have found something as scenarios of their
// own, and the proof that the simulation notices when a promise is broken.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Fault } from "./faults.ts";
import type { Mutations } from "./host.ts";
import type { InvariantName } from "./invariants.ts";
import { type RunOptions, type RunResult, simulate } from "./pair.ts";
import { judge, showBroken } from "./run.ts";

const SEEDS = 6;

const holds = (result: RunResult) => assert.ok(result.broken === undefined, showBroken(result, 1));

/** The first seed of some that breaks an invariant. */
async function firstBroken(mutations: Mutations, seeds: number, more: Partial<RunOptions> = {}) {
  for (let seed = 1; seed <= seeds; seed++) {
    const { broken } = await simulate({ seed, mutations, ...more });
    if (broken !== undefined) return broken.invariant;
  }
  return undefined;
}

test(`a pair under the faults of ${SEEDS} seeds, each twice: nothing is broken, and both histories are equal`, async () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const { failure } = await judge({ seed, minutes: 1 });
    assert.equal(failure, undefined, failure);
  }
});

test("without faults every call ends as its parties wish, and nothing is taken over", async () => {
  const result = await simulate({ seed: 3, faults: [] });
  holds(result);
  assert.equal(result.facts.takeovers, 0);
  assert.ok(result.facts.answered > 10);
});

test("a host is killed in the middle of calls: its twin serves, all of them go on", async () => {
  const faults: Fault[] = [{ atMs: 40_000, kind: "kill-host", host: "a", forMs: 20_000 }];
  const result = await simulate({ seed: 5, faults });
  holds(result);
  assert.ok(result.facts.takeovers >= 1);
  assert.equal(result.facts.excused, 0);
});

test("a host loses power, and nobody says a word for it: its twin serves once the lease has run out", async () => {
  const faults: Fault[] = [{ atMs: 40_000, kind: "power-off", host: "b", forMs: 15_000 }];
  const result = await simulate({ seed: 6, faults });
  holds(result);
  assert.ok(result.facts.takeovers >= 1);
});

test("a host is stopped for ten seconds and goes on: it does not disturb the new owner", async () => {
  const faults: Fault[] = [{ atMs: 30_000, kind: "stop-host", host: "a", forMs: 10_000 }];
  const result = await simulate({ seed: 7, faults });
  holds(result);
  assert.ok(result.facts.takeovers >= 1);
});

test("etcd is away when a host dies: no takeover, no two owners, and the calls come back with the host", async () => {
  const faults: Fault[] = [
    { atMs: 30_000, kind: "etcd-away", forMs: 20_000 },
    { atMs: 32_000, kind: "kill-host", host: "a", forMs: 8_000 },
  ];
  const result = await simulate({ seed: 8, faults });
  holds(result);
  assert.equal(result.facts.takeovers, 0);
});

test("a service is handed to the twin and comes home again, with all its calls", async () => {
  const faults: Fault[] = [
    { atMs: 30_000, kind: "hand-over", service: "a" },
    { atMs: 45_000, kind: "return-home", host: "a" },
  ];
  const result = await simulate({ seed: 9, faults });
  holds(result);
  assert.equal(result.facts.takeovers, 2);
});

describe("what seeds have found (TRACK-RECORD.md)", () => {
  const jump: Fault[] = [20_000, -20_000].flatMap((byMs, at): Fault[] => [
    { atMs: 20_000 + at, kind: "wall-clock-jump", host: "a", byMs },
    { atMs: 24_000 + at, kind: "wall-clock-jump", host: "b", byMs: -byMs },
  ]);
  const FOUND: readonly (readonly [what: string, faults: readonly Fault[]])[] = [
    [
      "a ringing call is taken up before the sockets are open",
      [20_000, 23_000, 26_000, 29_000].map((atMs) => ({
        atMs,
        kind: "kill-process",
        service: "a",
        process: "sip-server",
      })),
    ],
    [
      "a worker that is stopped, or slow to come, costs nobody the call",
      [
        { atMs: 15_000, kind: "stop-process", service: "a", process: "media-worker", forMs: 700 },
        { atMs: 20_000, kind: "stop-process", service: "a", process: "media-worker", forMs: 10_000 },
        { atMs: 40_000, kind: "kill-process", service: "a", process: "media-worker" },
      ],
    ],
    ["a wall clock that is set ends nobody's session", jump],
    [
      "a relay that comes back from an empty store costs nobody the call",
      [
        { atMs: 28_000, kind: "redis-away", forMs: 617, empty: true },
        { atMs: 30_000, kind: "kill-host", host: "a", forMs: 10_000 },
        { atMs: 48_000, kind: "kill-process", service: "b", process: "rtpengine" },
      ],
    ],
    [
      "a host that was stopped for as long as its lease lasts tells the region of no call that nobody knows later",
      [{ atMs: 28_081, kind: "stop-host", host: "b", forMs: 1_862 }],
    ],
  ];
  for (const [what, faults] of FOUND)
    test(what, async () => {
      for (const seed of [1, 2]) holds(await simulate({ seed, faults }));
    });
});

describe("the simulation notices", () => {
  const stops: Fault[] = [
    { atMs: 20_000, kind: "stop-host", host: "a", forMs: 6_000 },
    { atMs: 40_000, kind: "stop-keeper", host: "b", forMs: 6_000 },
  ];
  const kills: Fault[] = [
    { atMs: 20_003, kind: "kill-process", service: "a", process: "sip-server" },
    { atMs: 25_011, kind: "kill-process", service: "b", process: "sip-server" },
    { atMs: 30_007, kind: "kill-host", host: "a", forMs: 4_000 },
    { atMs: 50_001, kind: "kill-host", host: "b", forMs: 4_000 },
  ];
  const awayAndKilled: Fault[] = [
    { atMs: 30_000, kind: "region-away", forMs: 6_000 },
    { atMs: 34_000, kind: "kill-host", host: "a", forMs: 4_000 },
    { atMs: 34_500, kind: "kill-process", service: "b", process: "pop" },
  ];
  const manyCalls = Array.from(
    { length: 20 },
    (_, at) => ({ atMs: 5_000 + 100 * at, service: "a", wish: "news" }) as const,
  );
  const PROOFS: readonly (readonly [
    what: string,
    mutations: Mutations,
    more: Partial<RunOptions>,
    caught: readonly InvariantName[],
  ])[] = [
    ["leases that never run out", { leaseIsForEver: true }, { faults: stops }, ["one-owner-at-a-time"]],
    ["a SIP server that does not heed its lease", { deafToLease: true }, { faults: stops }, ["silent-without-lease"]],
    ["CSeq numbers that were used", { staleCseq: true }, { faults: kills }, ["cseq-never-again"]],
    [
      "records that die with their process",
      { recordsUnkept: true },
      { faults: awayAndKilled },
      ["one-record-per-call"],
    ],
    ["checkpoints that nobody finds", { checkpointsLost: true }, { faults: kills }, ["answered-calls-live"]],
    ["a relay that releases nothing", { relayKeepsAll: true }, { faults: [] }, ["everything-drains"]],
    ["everything said twice", { saysTwice: true }, { faults: [] }, ["no-message-without-cause"]],
    ["a contact offered to two agents", { offersTwice: true }, { faults: [] }, ["one-agent-at-a-time"]],
    ["a trunk without its limit", { trunkUnlimited: true }, { faults: [], calls: manyCalls }, ["trunk-limit"]],
  ];
  for (const [what, mutations, more, caught] of PROOFS)
    test(what, async () => {
      const broken = await firstBroken(mutations, 6, more);
      assert.ok(broken !== undefined && caught.includes(broken), `noticed: ${broken}`);
    });

  test("… and without any of these nothing, of the same faults", async () => {
    for (const more of [{ faults: stops }, { faults: kills }, { faults: awayAndKilled }])
      holds(await simulate({ seed: 1, ...more }));
  });
});
