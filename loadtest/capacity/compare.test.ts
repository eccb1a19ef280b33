import assert from "node:assert/strict";
import { test } from "node:test";
import { readInfo } from "./checkpoint-redis.ts";
import { compareTurns, median, setUpOf } from "./compare.ts";
import { took } from "./compare-checkpoints.ts";
import { type Part, perPart } from "./measurements.ts";
import { aStep } from "./step.fixture.ts";

const costing = (each: Partial<Record<Part, number>>) =>
  aStep({}, { cpuMsPerCall: perPart((part) => each[part] ?? 0) });

test("ratios are those of turns beside each other; the whole host has its Redis with it", () => {
  const turns = {
    calls: 1,
    steps: {
      with: [costing({ pop: 3, redis: 1 }), costing({ pop: 12, redis: 1 }), costing({ pop: 3, redis: 1 })],
      without: [costing({ pop: 2, redis: 0.5 }), costing({ pop: 10, redis: 0.5 }), costing({ pop: 2.5, redis: 0.5 })],
    },
    afterwards: { with: perPart(() => 0.5), without: perPart(() => 0.25) },
  };
  const of = (part: string, isShared: boolean) => compareTurns(turns, isShared).find((one) => one.part === part);
  assert.deepEqual(of("pop", false), {
    ...{ part: "pop", with: 3, without: 2.5, lateWith: 0.5, lateWithout: 0.25 },
    ratio: { median: 1.2, least: 1.2, most: 1.5 },
  });
  const redis = { part: "redis", with: 1, without: 0, lateWith: 0.5, lateWithout: 0, ratio: undefined };
  assert.deepEqual(of("redis", false), redis, "the other side has none");
  assert.deepEqual([of("all", false)?.with, of("all", false)?.without], [4, 2.5]);
  assert.deepEqual([of("all", true)?.without, of("all", true)?.lateWithout], [3, 1.25]);
});

test("medians", () => {
  assert.deepEqual([median([]), median([3]), median([1, 9]), median([9, 1, 2])], [0, 3, 5, 2]);
  assert.deepEqual(setUpOf([aStep(), aStep()]), { p50Ms: 4, p99Ms: 12 });
});

test("what Redis says of itself", () => {
  const said = "total_net_input_bytes:1200\r\ncmdstat_evalsha:calls=7,usec=9\r\ncmdstat_config|get:calls=1,usec=1\r\n";
  assert.deepEqual(readInfo(said), {
    bytesIn: 1_200,
    commands: new Map([
      ["evalsha", 7],
      ["config|get", 1],
    ]),
  });
});

test("times out of a metrics page, between two looks", () => {
  const page = (below: readonly number[], sum: number) =>
    ["0.001", "0.005", "+Inf"].map((le, at) => `w_bucket{le="${le}"} ${below[at]}`).join("\n") +
    `\nw_sum ${sum}\nw_count ${below.at(-1)}\n`;
  assert.deepEqual(took(page([10, 10, 10], 0.01), page([11, 19, 20], 0.09), "w"), {
    ...{ count: 10, meanMs: 8, p50Ms: 5, p99Ms: Number.POSITIVE_INFINITY },
  });
});
