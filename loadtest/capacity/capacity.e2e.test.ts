// A tiny run of each profile on the real processes: the figures are not looked at, only that they are measured.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { sippVersion } from "../sipp/run-sipp.ts";
import { HOST_PARTS, type Run } from "./measurements.ts";

const skip = sippVersion() === undefined ? "SIPp is not installed" : false;

function run(args: readonly string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, [join(import.meta.dirname, "main.ts"), ...args], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (data) => {
    stdout += String(data);
  });
  child.stderr.on("data", (data) => {
    stderr += String(data);
  });
  return new Promise((resolve) => child.on("close", (code) => resolve({ code, stdout, stderr })));
}

for (const profile of ["answer", "bridge"])
  test(`${profile}: one rate and a few held calls are measured`, { skip }, async () => {
    const { code, stdout, stderr } = await run([
      ...[profile, "--rates", "5", "--seconds", "2", "--warm-up", "1"],
      ...["--held", "5", "--wait", "120", "--json"],
    ]);
    assert.equal(code, 0, stderr);
    const measured = JSON.parse(stdout) as Run;
    const [step, ...more] = measured.steps;
    assert.equal(more.length, 0);
    assert.deepEqual([step?.calls, step?.successful, step?.leftUp], [10, 10, 0]);
    assert.equal(step?.bridged, profile === "bridge" ? 10 : undefined);
    assert.ok((step?.steady.setUp?.count ?? 0) > 0);
    assert.equal(measured.held?.up, 5);
    for (const part of HOST_PARTS) assert.ok((measured.held?.parts[part].rssBytes ?? 0) > 1_000_000, part);
  });

test("a wrong flag is said, with the usage, and nothing is started", async () => {
  for (const [args, said] of [
    [["queue"], /a profile is needed: answer or bridge/],
    [["answer", "--rates", "50,10"], /--rates: calls per second, growing/],
    [["answer", "--seconds", "2", "--warm-up", "3"], /--warm-up: shorter/],
    [["answer", "--faster"], /Unknown option '--faster'/],
  ] as const) {
    const { code, stderr } = await run([...args]);
    assert.equal(code, 64);
    assert.match(stderr, said);
  }
});
