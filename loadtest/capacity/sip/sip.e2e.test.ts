// A tiny run of each profile on the real processes: the figures are not looked at, only that they are measured.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { sippVersion } from "../../sipp/run-sipp.ts";
import type { SipStep } from "./figures.ts";

const skip = sippVersion() === undefined ? "SIPp is not installed" : false;

function run(args: readonly string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const { DRACHTIO_SERVER: _without, ...env } = process.env;
  const child = spawn(process.execPath, [join(import.meta.dirname, "..", "main.ts"), "sip", ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    env,
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

test("both profiles are measured, and the server that is not there is skipped by name", { skip }, async () => {
  const { code, stdout, stderr } = await run([
    ...["--rates", "20", "--seconds", "3", "--warm-up", "1", "--rounds", "1", "--json"],
  ]);
  assert.equal(code, 0, stderr);
  assert.match(stderr, /drachtio-server: skipped/);
  const { steps } = JSON.parse(stdout) as { steps: readonly SipStep[] };
  assert.deepEqual(
    steps.map(({ profile, successful, bridged }) => [profile, successful, bridged]),
    [
      ["answer", 60, undefined],
      ["b2bua", 60, 60],
    ],
  );
  for (const step of steps) {
    assert.ok(step.serverCpuMsPerCall > 0);
    assert.ok((step.trying?.count ?? 0) > 0);
    assert.ok(step.loopDelay !== undefined);
  }
});

test("a wrong flag is said, with the usage, and nothing is started", async () => {
  for (const [args, said] of [
    [["--profile", "bridge"], /--profile: answer or b2bua/],
    [["--rates", "50,10"], /--rates: growing/],
    [["--flat", "--memory"], /one of --flat, --memory/],
    [["--faster"], /Unknown option '--faster'/],
  ] as const) {
    const { code, stderr } = await run([...args]);
    assert.equal(code, 64);
    assert.match(stderr, said);
  }
});
