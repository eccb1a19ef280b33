import assert from "node:assert/strict";
import { test } from "node:test";
import { aStep } from "./step.fixture.ts";
import { isLast, judgeStep, verdictOf } from "./verdict.ts";

const at = (callsPerSecond: number) => ({ callsPerSecond, calls: callsPerSecond * 8, successful: callsPerSecond * 8 });
const FAILING = aStep(
  { ...at(200), successful: 1_588, failed: 12, failures: { MaxUDPRetrans: 12 } },
  { answered: 1_200, busyShare: 0.99, restShare: 0.04 },
);
const GENERATOR = aStep(at(200), { answered: 1_200, sippShare: 0.82 });

test("a step where every call went well is clean", () => {
  const judged = judgeStep(aStep());
  assert.deepEqual(judged, { faults: [], spoilt: undefined, cores: undefined });
  assert.equal(isLast(judged), false);
});

test("what is not clean", () => {
  const faults = (over: object) => judgeStep(aStep(over)).faults;
  assert.deepEqual(faults({ successful: 798, failed: 2, failures: { UnexpectedMessage: 2 } }), [
    "2 of 800 calls failed (UnexpectedMessage)",
  ]);
  assert.deepEqual(faults({ successful: 790 }), ["10 of 800 calls were not over in time"]);
  assert.deepEqual(faults({ bridged: 799 }), ["1 calls were not bridged"]);
  assert.deepEqual(faults({ leftUp: 3 }), ["3 calls were left up"]);
  assert.deepEqual(faults({ retransmissions: 9 }), ["9 retransmissions for 800 calls"]);
  assert.deepEqual(faults({ retransmissions: 8 }), []);
});

test("a generator that is busy, or cannot keep its rate, makes the step void", () => {
  assert.equal(judgeStep(aStep({}, { sippShare: 0.71 })).spoilt, "SIPp was the limit, it took 71 % of a core");
  assert.equal(judgeStep(aStep({}, { answered: 540 })).spoilt, "only 90 of 100 calls/s came about");
  assert.equal(judgeStep(FAILING).spoilt, undefined, "late answers are then our fault");
});

test("verdicts", () => {
  const lines = [
    verdictOf([aStep(at(100)), FAILING], "stopped"),
    verdictOf([aStep(at(100)), GENERATOR], "stopped"),
    verdictOf([aStep(at(100))], "done"),
    verdictOf([aStep(at(100))], "out-of-time"),
    verdictOf([aStep(at(100), { busyShare: 0.97, restShare: 0.6 })], "done"),
    verdictOf([FAILING], "stopped"),
    verdictOf([aStep(at(100))], { brokenOff: "pop (process 7) is gone" }),
    verdictOf([], { brokenOff: "no" }),
  ].map(({ worked, line }) => `${worked ? "+" : "-"} ${line}`);
  assert.equal(
    `\n${lines.join("\n")}\n`,
    `
+ clean to 100 calls/s; limit at 200/s: 12 of 1600 calls failed (MaxUDPRetrans); the cores were full, 4 % of them not by what is measured
+ clean to 100 calls/s; the step at 200/s is void: SIPp was the limit, it took 82 % of a core
+ clean to 100 calls/s; limit not found: above the highest rate
+ clean to 100 calls/s; limit not found: time was over
+ clean to 100 calls/s; limit not found, though at 100/s the cores were full, 60 % of them not by what is measured
- no rate was clean; limit at 200/s: 12 of 1600 calls failed (MaxUDPRetrans); the cores were full, 4 % of them not by what is measured
- clean to 100 calls/s; broken off: pop (process 7) is gone
- no rate was clean; broken off: no
`,
  );
});
