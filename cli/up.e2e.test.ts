// `tollgate up` as a user runs it: the real processes of a whole region, which no other test uses.

import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { isAlive } from "../kernel/shell/lock.ts";

const LAUNCHER = join(import.meta.dirname, "tollgate.js");
const REGION = "au";
const PROGRAMS = ["etcd", "redis-server", "rtpengine", "openssl", "espeak-ng"];
const missing = PROGRAMS.filter((name) => spawnSync("sh", ["-c", `command -v ${name}`]).status !== 0);
const skip = missing.length > 0 ? `not installed: ${missing.join(", ")}` : false;

let dataDir = "";
const started: ChildProcess[] = [];
before(() => {
  dataDir = mkdtempSync(join(tmpdir(), "tollgate-e2e-"));
});
after(() => {
  for (const child of started) child.kill("SIGKILL");
  rmSync(dataDir, { recursive: true, force: true });
});

const tollgate = (...words: readonly string[]) =>
  spawnSync(process.execPath, [LAUNCHER, ...words, "--region", REGION, "--data", dataDir], { encoding: "utf8" });

/** Resolves once it says that it is up; rejects with what it said when it ends before. */
async function up(): Promise<ChildProcess> {
  const child = spawn(process.execPath, [LAUNCHER, "up", "--region", REGION, "--data", dataDir], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  started.push(child);
  const said: string[] = [];
  return new Promise((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr])
      createInterface({ input: stream }).on("line", (line) => {
        said.push(line);
        if (line === `region ${REGION} is up`) resolve(child);
      });
    child.on("exit", (code) => reject(new Error(`tollgate up ended with ${code}:\n${said.slice(-40).join("\n")}`)));
  });
}

const pidsOf = (): number[] =>
  JSON.parse(readFileSync(join(dataDir, REGION, "up.json"), "utf8"))
    .processes.filter(({ state }: { state: string }) => state === "ready")
    .map(({ pid }: { pid: number }) => pid);

test("a region comes up, takes a tenant, says how it is, and goes away without a trace", { skip }, async () => {
  const child = await up();
  const pids = pidsOf();
  assert.equal(pids.length, 13, "etcd, Redis, the control plane, and two hosts, each a keeper and four processes");

  const applied = tollgate("apply", join(import.meta.dirname, "..", "examples", "acme.yaml"));
  assert.equal(applied.status, 0, applied.stderr);
  assert.match(applied.stdout, /tenant acme: version \d+/);
  const version = Number(/version (\d+)/.exec(applied.stdout)?.[1]);

  // Both hosts take that version; how soon is theirs, so it is asked until they have it.
  for (;;) {
    const { status, stdout } = tollgate("status", "--json");
    const { controlPlane, healthy } = JSON.parse(stdout);
    const versions = controlPlane.pops.map(({ appliedVersion }: { appliedVersion: number }) => appliedVersion);
    if (versions.length === 2 && versions.every((applied: number) => applied === version) && healthy) {
      assert.equal(status, 0);
      break;
    }
  }
  assert.match(tollgate("call", "list").stdout, /no call is up/);

  const second = tollgate("up");
  assert.equal(second.status, 69);
  assert.match(second.stderr, /already up: process \d+/);

  child.kill("SIGTERM");
  const [code] = await once(child, "exit");
  assert.equal(code, 0);
  assert.deepEqual(pids.filter(isAlive), []);
  assert.equal(tollgate("status").status, 69);
});

test("kill -9 of the supervisor takes everything with it, and it can come up again at once", { skip }, async () => {
  const child = await up();
  const pids = pidsOf();
  child.kill("SIGKILL");
  await once(child, "exit");
  while (pids.some(isAlive)) await new Promise((resolve) => setImmediate(resolve));

  const again = await up();
  again.kill("SIGTERM");
  const [code] = await once(again, "exit");
  assert.equal(code, 0);
});
