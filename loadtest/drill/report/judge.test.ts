import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { PLAIN } from "../../../cli/terminal/colour.ts";
import { findDrill } from "../drill-file.ts";
import type { CallReport, DrillReport } from "./drill-report.ts";
import { htmlReport } from "./html.ts";
import { classReports, gapsOf, judge, type Measured, percentile, spreadOf } from "./judge.ts";
import { textReport } from "./text.ts";

const found = findDrill("takeover");
assert.ok(found.ok);
const drill = { ...found.value, steadyState: { ...found.value.steadyState, mix: { bridged: 1, ringing: 1 } } };

const call = (id: string, more: Partial<CallReport> = {}): CallReport => ({
  id,
  className: "bridged",
  lane: 0,
  callingNumber: "+4930",
  survived: true,
  legs: [
    {
      leg: "caller",
      socket: "127.20.0.10:4000",
      packetsBefore: 50,
      gapMs: 120,
      backAfterMs: 110,
      probeGapMs: 130,
      ssrcs: 1,
    },
  ],
  exercise: "bye-a",
  statuses: [200],
  unasked: 0,
  reanchored: 0,
  records: 1,
  ...more,
});

function measured(calls: readonly CallReport[], more: Partial<Measured> = {}): Measured {
  const planned = new Map([["bridged", calls.filter(({ className }) => className === "bridged").length]] as const);
  return {
    version: 1,
    drill: drill.name,
    purpose: drill.purpose,
    system: "tollgate",
    network: "loopback",
    service: "127.10.1.11",
    startedAtUnixMs: 0,
    lastedMs: 1,
    machine: { cpus: 2, model: "x", kernel: "6", node: "v24", loadAverage: 0 },
    phases: [],
    fault: { atUnixMs: 0, steps: [{ afterMs: 0, what: "SIGKILL host fra-01-a", processes: 4 }] },
    milestones: { detected: 12 },
    timeline: [],
    probes: { sent: [{ afterMs: 5, okAfterMs: 400 }], firstInDialogMs: 400 },
    classes: classReports(planned, new Map(), calls, []),
    gap: spreadOf(gapsOf(calls)),
    gapReanchored: spreadOf(gapsOf(calls, true)),
    calls,
    wire: {
      sip: { file: "sip.pcap", packets: 10, dropped: 0, messages: 10, unread: 0 },
      media: { file: "media.pcap", packets: 10, dropped: 0 },
      unasked: [],
      reanchored: [],
      strange: 0,
      spoken: 0,
    },
    newCalls: { asked: 5, served: 5 },
    ownStallMs: [3],
    reconnected: 0,
    leftovers: { counts: { "pop calls": 0 }, unknown: [] },
    records: { wanted: calls.length, one: calls.length, none: 0, several: 0 },
    expectedLoss: [],
    rollBack: ["all"],
    ...more,
  };
}
const notMet = (report: Measured): readonly string[] =>
  judge(drill, report).flatMap(({ name, ok }) => (ok ? [] : [name]));

describe("a drill is judged", () => {
  const good = [call("a"), call("b")];

  test("passed, when every limit is met", () => assert.deepEqual(notMet(measured(good)), []));

  test("each broken limit is named", () => {
    const lost = call("c", { survived: false, lostBecause: "bye by them" });
    assert.deepEqual(notMet(measured([...good, lost])), ["survival: bridged"]);
    assert.deepEqual(notMet(measured([...good, call("c", { exerciseFailure: "no 200" })])), ["exercises that worked"]);
    const wire = measured(good).wire;
    const unasked = [{ callId: "a", className: "bridged", afterMs: 1, summary: "BYE", to: "x" }];
    assert.deepEqual(notMet(measured(good, { wire: { ...wire, unasked } })), ["SIP messages nobody caused"]);
    assert.deepEqual(notMet(measured(good, { records: { wanted: 2, one: 1, none: 0, several: 1 } })), [
      "contact records: one for each call",
    ]);
    assert.deepEqual(notMet(measured(good, { leftovers: { counts: { "pop calls": 1 }, unknown: [] } })), [
      "ghosts after all calls have ended",
    ]);
    assert.deepEqual(notMet(measured(good, { probes: { sent: [], firstInDialogMs: null } })), [
      "first 200 inside a dialog",
    ]);
    assert.deepEqual(notMet(measured([call("a", { notUp: "488" })])), [
      "calls put up and steady before the fault",
      "exercises that worked",
    ]);
  });

  test("somebody must be there for new callers, or nobody where silence is wanted", () => {
    const none = measured(good, { newCalls: { asked: 5, served: 0 } });
    assert.deepEqual(notMet(none), ["new calls served afterwards"]);
    const silent = { ...drill, expect: "silence" as const };
    assert.ok(judge(silent, none).every(({ ok }) => ok));
    assert.ok(!judge(silent, measured(good)).every(({ ok }) => ok));
  });

  test("what was not measured is not met", () => {
    const wire = { ...measured(good).wire, sip: undefined };
    assert.deepEqual(notMet(measured(good, { wire })), ["SIP messages nobody caused"]);
    assert.deepEqual(notMet(measured(good, { leftovers: { counts: {}, unknown: ["all"] } })), [
      "ghosts after all calls have ended",
    ]);
    assert.deepEqual(notMet(measured(good, { records: undefined })), ["contact records: one for each call"]);
  });

  test("a stream that never came back is a gap without end", () => {
    const [leg] = call("a").legs;
    assert.ok(leg !== undefined);
    assert.deepEqual(gapsOf([call("a", { legs: [{ ...leg, gapMs: null }] })]), [Number.POSITIVE_INFINITY]);
    assert.deepEqual(gapsOf([call("a", { legs: [{ ...leg, packetsBefore: 3, gapMs: null }] })]), []);
  });
});

test("percentiles are of what was measured, not of what lies between", () => {
  const hundred = Array.from({ length: 100 }, (_, at) => at + 1);
  assert.deepEqual(
    [percentile(hundred, 0.5), percentile(hundred, 0.99), percentile([7], 0.99), percentile([], 0.5)],
    [50, 99, 7, 0],
  );
});

test("the page and the text show what was measured, and nothing of it as markup", () => {
  const evil = call("a", { survived: false, lostBecause: "<script>alert(1)</script>" });
  const report: DrillReport = {
    ...measured([evil, call("b")]),
    limits: judge(drill, measured([evil])),
    verdict: "failed",
  };
  const page = htmlReport(report);
  assert.doesNotMatch(page, /<script/);
  assert.match(page, /&lt;script&gt;/);
  assert.match(page, /aria-label="timeline of the fault"/);
  assert.match(textReport(report, PLAIN), /FAILED/);
});
