// A small drill on real processes, from file to report: a host is killed under 24 calls of every kind. And a drill whose limit cannot be
// met says so.

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { PLAIN } from "../../cli/terminal/colour.ts";
import { findDrill } from "./drill-file.ts";
import type { DrillReport } from "./report/drill-report.ts";
import { judge } from "./report/judge.ts";
import { textReport } from "./report/text.ts";
import { writeReport } from "./report/write-report.ts";
import { runDrill } from "./run-drill.ts";
import { tollgateRegion } from "./systems/tollgate-region.ts";

const CALLS = 24;
/** On a machine that others use: what is shown here is that nothing is lost, the figures are the drill's own. */
const GAP_MS_MAX = 3_000;

describe("tollgate drill run takeover", { concurrency: 1 }, () => {
  const out = mkdtempSync(join(tmpdir(), "drill-report-"));
  after(() => rmSync(out, { recursive: true, force: true }));
  let report: DrillReport | undefined;

  test("no call of 24 is lost when their host is killed, and nobody is told", async () => {
    const found = findDrill("takeover");
    assert.ok(found.ok);
    const drill = {
      ...found.value,
      watch: 4_000,
      limits: { ...found.value.limits, rtpGapP99MsMax: GAP_MS_MAX, firstInDialogMsMax: GAP_MS_MAX },
    };
    report = await runDrill({
      drill,
      system: tollgateRegion,
      network: "loopback",
      calls: CALLS,
      out,
      onPhase: () => {},
      signal: new AbortController().signal,
    });
    assert.equal(report.verdict, "passed", textReport(report, PLAIN));
    assert.equal(report.calls.length, CALLS);
    assert.deepEqual([report.wire.unasked.length, report.records?.one], [0, CALLS]);
  });

  test("its report says all that was measured, as data, as text and as a page", () => {
    assert.ok(report !== undefined);
    writeReport(report, out);
    const read = (name: string) => readFileSync(join(out, name), "utf8");
    assert.equal((JSON.parse(read("report.json")) as DrillReport).calls.length, CALLS);
    assert.match(read("report.txt"), /PASSED/);
    assert.match(read("report.html"), /<svg[^>]*aria-label="RTP gap by class"/);
  });

  test("a limit that is not met is said, and fails the drill", () => {
    const found = findDrill("takeover");
    assert.ok(found.ok && report !== undefined);
    const verdicts = judge({ ...found.value, limits: { ...found.value.limits, rtpGapP99MsMax: 1 } }, report);
    assert.deepEqual(
      verdicts.filter(({ name }) => name === "RTP gap p99").map(({ ok }) => ok),
      [false],
    );
  });
});
