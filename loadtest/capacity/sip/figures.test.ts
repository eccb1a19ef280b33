import assert from "node:assert/strict";
import { test } from "node:test";
import { PLAIN } from "../../../cli/terminal/colour.ts";
import { judge, median, type SipStep, slope, summarise } from "./figures.ts";
import { compare, flatTable, memoryTable, ratesTable } from "./report.ts";

const aStep = (over: Partial<SipStep> = {}): SipStep => ({
  server: "ours",
  profile: "answer",
  callsPerSecond: 100,
  calls: 1_000,
  successful: 1_000,
  failed: 0,
  failures: {},
  complaint: "",
  bridged: undefined,
  retransmissions: 0,
  serverCpuMsPerCall: 1,
  applicationCpuMsPerCall: 0.5,
  trying: { count: 900, p50Ms: 0, p90Ms: 1, p99Ms: 2, maxMs: 9 },
  answer: { count: 900, p50Ms: 1, p90Ms: 2, p99Ms: 4, maxMs: 20 },
  cameAbout: 100,
  sippShare: 0.1,
  busyShare: 0.5,
  restShare: 0.1,
  stolenShare: 0,
  rssBytes: 100 * 1_048_576,
  loopDelay: { p50Ms: 0, p99Ms: 1, maxMs: 3 },
  ...over,
});

test("a step in which calls failed, or never came back, has a fault", () => {
  assert.deepEqual(judge(aStep()), { faults: [], spoilt: undefined });
  assert.match(
    judge(aStep({ successful: 990, failed: 10, failures: { Timeout: 10 } })).faults[0] ?? "",
    /10 of 1000.*Timeout/,
  );
  assert.match(judge(aStep({ successful: 999 })).faults[0] ?? "", /1 of 1000 not over/);
  assert.match(judge(aStep({ bridged: 998 })).faults[0] ?? "", /2 not bridged/);
});

test("a step is void when SIPp was the limit, or made fewer calls than asked", () => {
  assert.match(judge(aStep({ sippShare: 0.71 })).spoilt ?? "", /SIPp took 71 %/);
  assert.match(judge(aStep({ cameAbout: 94 })).spoilt ?? "", /only 94 of 100/);
  assert.equal(judge(aStep({ sippShare: 0.7, cameAbout: 96 })).spoilt, undefined);
});

test("a void step is not in the medians, but its lost calls are counted", () => {
  const summary = summarise("ours", [
    aStep({ serverCpuMsPerCall: 1 }),
    aStep({ serverCpuMsPerCall: 3 }),
    aStep({ serverCpuMsPerCall: 100, sippShare: 0.9, successful: 900 }),
    aStep({ server: "drachtio-server", serverCpuMsPerCall: 7 }),
  ]);
  assert.deepEqual([summary.serverCpuMsPerCall, summary.spoilt, summary.failed], [2, 1, 100]);
});

test("the ratio is ours over the other, per profile and rate", () => {
  const theirs = (over: Partial<SipStep>) => aStep({ server: "drachtio-server", ...over });
  const compared = compare(
    [
      aStep({ serverCpuMsPerCall: 3 }),
      theirs({ serverCpuMsPerCall: 2 }),
      aStep({ callsPerSecond: 300, cameAbout: 300, serverCpuMsPerCall: 1 }),
      theirs({ callsPerSecond: 300, cameAbout: 300, serverCpuMsPerCall: 2 }),
    ],
    ["ours", "drachtio-server"],
  );
  assert.deepEqual(
    compared.map(({ callsPerSecond, ratio }) => [callsPerSecond, ratio]),
    [
      [100, 1.5],
      [300, 0.5],
    ],
  );
  const table = ratesTable(compared, PLAIN);
  assert.match(table, /answer +100 +ours +3\.00 +1\.50 x/);
  assert.match(table, / +drachtio-server +2\.00/);
});

test("one server alone has no ratio", () => {
  const [only] = compare([aStep()], ["ours"]);
  assert.equal(only?.ratio, undefined);
});

test("the middle of an even count is between two; of nothing there is none", () => {
  assert.equal(median([5, 1, 3]), 3);
  assert.equal(median([1, 2, 4, 10]), 3);
  assert.ok(Number.isNaN(median([])));
});

test("the slope of a line is found, and noise around a level has nearly none", () => {
  assert.equal(slope([1, 2, 3].map((x) => ({ x, y: 2 * x + 7 }))), 2);
  assert.equal(slope([{ x: 1, y: 5 }]), 0);
  assert.ok(Math.abs(slope([0, 1, 2, 3].map((x) => ({ x, y: 100 + (x % 2) })))) < 0.5);
});

test("dialogs that stand idle are shown against the first row of their server", () => {
  const rows = [
    { server: "ours", dialogs: 10, step: aStep({ serverCpuMsPerCall: 1 }) },
    { server: "ours", dialogs: 2_000, step: aStep({ serverCpuMsPerCall: 1.2 }) },
  ];
  assert.match(flatTable(rows, PLAIN), /ours +2000 +100 +1\.20 +\+20 %/);
});

test("memory is shown in KiB per dialog; a server that cannot be asked has no live figure", () => {
  const row = { server: "drachtio-server", profile: "answer" as const, dialogs: 20_000 };
  const table = memoryTable([{ ...row, rssBytesPerDialog: 12 * 1_024, liveBytesPerDialog: undefined }], PLAIN);
  assert.match(table, /20000 +12\.00 +-/);
});
