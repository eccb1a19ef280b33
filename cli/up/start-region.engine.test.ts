// The supervisor on a real Redis, the one engine that needs nothing else of ours.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { isAlive } from "../../kernel/shell/lock.ts";
import { showUpFailure, startRegion } from "./start-region.ts";

const skip = spawnSync("redis-server", ["--version"]).status === 0 ? false : "redis-server is not installed";
// A region that nothing else on this machine runs.
const REGION = { region: "jp", hosts: [], controlPlane: false } as const;

let dataDir = "";
before(() => {
  dataDir = mkdtempSync(join(tmpdir(), "tollgate-region-"));
});
after(() => rmSync(dataDir, { recursive: true, force: true }));

test("stop leaves no process, no lock and no state behind; secrets are for us alone", { skip }, async () => {
  const region = await startRegion({ ...REGION, dataDir });
  assert.ok(region.ok, region.ok ? "" : showUpFailure(region.failure));
  const pid = region.value.pid("redis") ?? 0;
  assert.ok(isAlive(pid));
  const state = JSON.parse(readFileSync(join(dataDir, "jp", "up.json"), "utf8"));
  assert.deepEqual(state.processes, [{ name: "redis", state: "ready", pid, restarts: 0 }]);
  for (const file of ["secrets/redis-password", "secrets/admin-token", "config/redis.conf"])
    assert.equal(statSync(join(dataDir, "jp", file)).mode & 0o077, 0, file);

  const again = await startRegion({ ...REGION, dataDir });
  assert.ok(!again.ok && again.failure.code === "up.already-running" && again.failure.pid === process.pid);

  await region.value.stop();
  await region.value.stop();
  assert.ok(!isAlive(pid));
  for (const file of ["up.json", "up.lock"]) assert.ok(!existsSync(join(dataDir, "jp", file)), file);
});

test("a taken port is named before anything starts", { skip }, async () => {
  const server = createServer().listen(6_379, "127.10.8.1");
  await once(server, "listening");
  try {
    const region = await startRegion({ ...REGION, dataDir });
    assert.ok(!region.ok);
    assert.match(showUpFailure(region.failure), /127\.10\.8\.1:6379\/tcp \(Redis\) is in use by process \d+/);
    assert.ok(!existsSync(join(dataDir, "jp", "up.lock")));
  } finally {
    server.close();
  }
});

test("interrupted while it starts, it stops what it had started", { skip }, async () => {
  const abort = new AbortController();
  const seen: number[] = [];
  const region = await startRegion({
    ...REGION,
    dataDir,
    signal: abort.signal,
    onLog: ({ process: name, event, fields }) => {
      if (name === "up" && event === "process.starting" && typeof fields.pid === "number") seen.push(fields.pid);
      if (name === "redis") abort.abort();
    },
  });
  assert.ok(!region.ok && region.failure.code === "up.interrupted");
  assert.ok(seen.every((pid) => !isAlive(pid)));
  assert.ok(!existsSync(join(dataDir, "jp", "up.lock")));
});
