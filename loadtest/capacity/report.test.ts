import assert from "node:assert/strict";
import { test } from "node:test";
import { COLOURED, PLAIN } from "../../cli/terminal/colour.ts";
import { type Held, PARTS, perPart } from "./measurements.ts";
import { heldTable, showStep, stepTable } from "./report.ts";
import { aStep } from "./step.fixture.ts";

const STEPS = [
  aStep({ callsPerSecond: 10, calls: 80, successful: 80 }),
  aStep({ successful: 795, failed: 5, failures: { UnexpectedMessage: 5 }, retransmissions: 40 }, { busyShare: 0.99 }),
];

test("the steps as a table", () => {
  assert.equal(
    `\n${stepTable(STEPS, PLAIN)}\n`,
    `
calls/s  calls  failed  retr  p50 ms  p99 ms  sip-server   pop  worker  rtpengine  host  control  redis  SIPp  cores  rest  warm-up host  p99
     10     80       0     0       4      12        2.00  4.00    1.00       1.50  8.50     0.50   0.50   5 %   50 %   5 %          8.50   12
    100    800       5    40       4      12        2.00  4.00    1.00       1.50  8.50     0.50   0.50   5 %   99 %   5 %          8.50   12
`,
  );
  assert.ok(stepTable(STEPS, COLOURED).includes("\u001b[31m     5\u001b[0m"), "failures are red");
});

test("a step in one line, with what is wrong", () => {
  assert.equal(
    showStep(STEPS[1] ?? aStep()),
    "set-up 4/12 ms, host 8.50 CPU-ms per call; 5 of 800 calls failed (UnexpectedMessage); 40 retransmissions for 800 calls; the cores were full, 5 % of them not by what is measured",
  );
});

test("calls held: memory before, with them, and for each; calls that did not come up are said", () => {
  const MIB = 1_048_576;
  const part = {
    rssBeforeBytes: 100 * MIB,
    rssBytes: 101 * MIB,
    rssBytesPerCall: 5_242.88,
    liveBytesPerCall: undefined,
  };
  const parts = Object.fromEntries(PARTS.map((name) => [name, part])) as unknown as Held["parts"];
  const table = heldTable({ calls: 201, up: 200, parts, cpuMsPerCallSecond: perPart(() => 0.25) }, PLAIN).split("\n");
  assert.equal(
    table[0],
    "      process  RSS MiB, 0 calls  200 calls  RSS KiB/call  live KiB/call  CPU-ms per call-second",
  );
  assert.equal(
    table[1],
    "   sip-server             100.0      101.0           5.1              -                    0.25",
  );
  assert.equal(table.at(-1), "only 200 of 201 calls were up");
});
