import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { isAlive, takeLock } from "./lock.ts";
import { LogFile } from "./log-file.ts";
import { type Observer, Supervised, type SupervisedPlan } from "./supervised.ts";

let folder = "";
before(() => {
  folder = mkdtempSync(join(tmpdir(), "tollgate-up-"));
});
after(() => rmSync(folder, { recursive: true, force: true }));

/** A process that listens on a Unix socket, and does as told besides. */
const plan = (name: string, more = "", overrides: Partial<SupervisedPlan> = {}): SupervisedPlan => {
  const path = join(folder, `${name}.sock`);
  return {
    name,
    command: process.execPath,
    args: ["-e", `require("node:net").createServer((s) => s.end()).listen(${JSON.stringify(path)}); ${more}`],
    env: {},
    files: [],
    links: [],
    folders: [],
    ready: { kind: "unix-socket", path },
    readyWithinMs: 10_000,
    stopWithinMs: 5_000,
    ...overrides,
  };
};

const quiet: Observer = { line() {}, changed() {} };

/** Resolves when the process has changed to that event. */
function observer(): Observer & { until(event: string): Promise<Readonly<Record<string, unknown>>> } {
  const waiting = new Map<string, (fields: Readonly<Record<string, unknown>>) => void>();
  return {
    line() {},
    changed(_process, event, fields) {
      waiting.get(event)?.(fields);
    },
    until: (event) => new Promise((resolve) => waiting.set(event, resolve)),
  };
}

test("a process is ready once its probe says so, and gone once stopped", async () => {
  const one = new Supervised(plan("simple"), folder, quiet);
  assert.equal(await one.start(), undefined);
  assert.equal(one.state, "ready");
  const pid = one.pid ?? 0;
  assert.ok(isAlive(pid));
  await one.stop();
  assert.ok(!isAlive(pid));
});

test("one that ignores SIGTERM is killed when its grace is over", async () => {
  const one = new Supervised(plan("deaf", 'process.on("SIGTERM", () => {});', { stopWithinMs: 50 }), folder, quiet);
  assert.equal(await one.start(), undefined);
  const pid = one.pid ?? 0;
  await one.stop();
  assert.ok(!isAlive(pid));
});

test("one that ends before it is ready is reported with what it said last", async () => {
  const failing = plan("failing", "", { args: ["-e", 'console.error("no such thing"); process.exit(78)'] });
  const one = new Supervised(failing, folder, quiet);
  const ended = await one.start();
  assert.ok(typeof ended === "object");
  assert.equal(ended.code, 78);
  assert.deepEqual(ended.lastLines, ["no such thing"]);
  assert.match(readFileSync(one.logPath, "utf8"), /no such thing/);
});

test("a killed process comes back; told to stay down, it does not until it is started", async () => {
  const seen = observer();
  const one = new Supervised(plan("phoenix"), folder, seen);
  await one.start();
  const first = one.pid;
  const back = seen.until("process.ready");
  await one.kill("SIGKILL");
  await back;
  assert.notEqual(one.pid, first);
  assert.equal(one.restarts, 1);

  await one.kill("SIGKILL", { stayDown: true });
  assert.equal(one.state, "stopped");
  assert.equal(one.pid, undefined);
  assert.equal(await one.start(), undefined);
  await one.stop();
});

test("when the supervisor is killed outright, its processes go with it", async () => {
  const script = `
    import { Supervised } from ${JSON.stringify(join(import.meta.dirname, "supervised.ts"))};
    const one = new Supervised(${JSON.stringify(plan("orphan"))}, ${JSON.stringify(folder)}, { line() {}, changed() {} });
    await one.start();
    console.log(one.pid);
    setInterval(() => {}, 1000);`;
  const file = join(folder, "supervisor.ts");
  writeFileSync(file, script);
  const supervisor: ChildProcess = spawn(process.execPath, [file], { stdio: ["ignore", "pipe", "inherit"] });
  try {
    const [data] = await once(supervisor.stdout as NodeJS.ReadableStream, "data");
    const pid = Number(String(data));
    assert.ok(isAlive(pid));
    supervisor.kill("SIGKILL");
    await once(supervisor, "exit");
    while (isAlive(pid)) await new Promise((resolve) => setImmediate(resolve));
  } finally {
    supervisor.kill("SIGKILL");
  }
});

test("one supervisor per data folder; a dead one's lock does not count", () => {
  const file = join(folder, "up.lock");
  const first = takeLock(file);
  assert.ok(first.ok);
  const second = takeLock(file);
  assert.deepEqual(second, { ok: false, failure: { code: "up.already-running", pid: process.pid, lockFile: file } });
  first.value.release();
  writeFileSync(file, "999999999 1\n");
  const third = takeLock(file);
  assert.ok(third.ok);
  third.value.release();
});

test("a log file keeps its bound and one file before it", () => {
  const path = join(folder, "bounded.log");
  const log = new LogFile(path, 20);
  for (const line of ["one one one", "two two two", "three three"]) log.write(line);
  log.close();
  assert.equal(readFileSync(path, "utf8"), "three three\n");
  assert.equal(readFileSync(`${path}.1`, "utf8"), "two two two\n");
});
