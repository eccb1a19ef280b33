// `npm run demo`: one region, one real call through every part of it, checked from outside. Ends by itself, leaves nothing.
//
// Exit: 0 every check held · 1 one did not · 69 the region could not be started (an address is taken, a program is missing)

import { mkdirSync, rmSync } from "node:fs";
import { join, relative } from "node:path";
import { connectRegion } from "../../cli/client/region-client.ts";
import { CommandEnd, EXIT } from "../../cli/exit.ts";
import { paintFor } from "../../cli/terminal/colour.ts";
import { showCallTrace } from "../../cli/trace/ladder.ts";
import { regionPaths } from "../../cli/up/region-paths.ts";
import { CHECKOUT, type RunningRegion, showUpFailure, startRegion } from "../../cli/up/start-region.ts";
import { isAlive, takeLock } from "../../kernel/shell/lock.ts";
import { announcementCall } from "./announcement-call.ts";
import { CheckFailed, Checks } from "./checks.ts";
import { EXAMPLE_FILE, readExample } from "./example-tenant.ts";
import { Operator } from "./operator.ts";
import { ReferenceAudio } from "./reference-audio.ts";
import { type Stage, supportCall } from "./support-call.ts";

const REGION = "eu";
const DATA_DIR = join(CHECKOUT, ".tollgate", "demo");
/** The whole of it, start and stop included. */
const DEMO_MS_MAX = 60_000;

const paint = paintFor(process.stdout);
const print = (line: string) => process.stdout.write(`${line}\n`);
const startedAtMs = performance.now();
const say = (line: string) => {
  const seconds = ((performance.now() - startedAtMs) / 1_000).toFixed(1).padStart(5);
  print(`${paint.dim(`${seconds} s`)}  ${line}`);
};
const paths = regionPaths(DATA_DIR, REGION);
const shown = (path: string) => relative(process.cwd(), path) || ".";

process.exitCode = await demo();

async function demo(): Promise<number> {
  const abort = new AbortController();
  let region: RunningRegion | undefined;
  const deadline = setTimeout(() => {
    process.stderr.write(`demo: not over after ${DEMO_MS_MAX / 1_000} s, giving up; logs: ${shown(paths.logs)}\n`);
    region?.killAll();
    process.exit(EXIT.failed);
  }, DEMO_MS_MAX).unref();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
    process.once(signal, () => {
      say(`${signal}: stopping`);
      abort.abort(); // while it starts, it is startRegion that stops it again
      region?.killAll(); // a stop in peace would wait for the calls
      void region?.stop().then(() => process.exit(EXIT.failed));
    });

  if (!forgetLastTime()) {
    process.stderr.write(`demo: another demo is running in ${shown(paths.root)}\n`);
    return EXIT.unavailable;
  }
  say(`starting region ${REGION}: etcd, Redis, control plane, two POP hosts`);
  const started = await startRegion({ region: REGION, dataDir: DATA_DIR, signal: abort.signal });
  if (!started.ok) {
    clearTimeout(deadline);
    if (started.failure.code === "up.interrupted") return EXIT.failed;
    process.stderr.write(`demo: ${showUpFailure(started.failure)}\n`);
    if (started.failure.code === "up.port-in-use")
      process.stderr.write("demo: is a region up already? Stop it first (Ctrl-C where `tollgate up` runs)\n");
    return EXIT.unavailable;
  }
  region = started.value;
  const pids = region.processes().flatMap(({ name, pid }) => (pid === undefined ? [] : [{ name, pid }]));
  say(`${pids.length} processes are ready`);

  const checks = new Checks(print, paint);
  let trace = "";
  try {
    trace = await calls(region, checks);
  } catch (error) {
    if (!(error instanceof CheckFailed))
      checks.note("the demo itself", false, error instanceof Error ? error.message : String(error));
  }
  say("stopping the region");
  await region.stop();
  const left = pids.filter(({ pid }) => isAlive(pid));
  checks.note(
    "nothing left running",
    left.length === 0,
    left.map(({ name }) => name).join(", ") || "all processes ended",
  );
  clearTimeout(deadline);

  if (trace !== "") print(`\n${paint.bold("the call, as `tollgate call trace` shows it")}\n\n${trace}`);
  print(`\n${paint.bold("what was checked")}\n\n${checks.table()}\n`);
  const seconds = ((performance.now() - startedAtMs) / 1_000).toFixed(1);
  if (checks.held) {
    print(paint.green(`demo: all ${checks.all.length} checks held, in ${seconds} s`));
    return EXIT.ok;
  }
  const failed = checks.all.filter(({ held }) => !held).map(({ name }) => name);
  print(paint.red(`demo: ${failed.length} of ${checks.all.length} checks failed: ${failed.join(", ")} (${seconds} s)`));
  print(`logs of every process: ${shown(paths.logs)}`);
  return EXIT.failed;
}

async function calls(region: RunningRegion, checks: Checks): Promise<string> {
  const { hosts } = region.addresses;
  const [first, second] = hosts;
  if (first === undefined || second === undefined) throw new Error("the demo needs both hosts of the POP");
  const tenant = readExample();
  const operator = new Operator(connectRegion(DATA_DIR, REGION), tenant.tenant);
  const folder = join(paths.root, "sipp");
  mkdirSync(folder, { recursive: true, mode: 0o700 });

  say(`applying ${shown(EXAMPLE_FILE)}`);
  const hostIds = hosts.map(({ hostId }) => hostId);
  await checks.expect(
    "example tenant applied",
    operator.apply(tenant.documents, hostIds),
    (version) => `version ${version} on ${hostIds.join(" and ")}`,
  );
  const stage: Stage = {
    operator,
    tenant,
    audio: new ReferenceAudio({ folder: join(DATA_DIR, "prompts"), cacheFolder: join(paths.root, "reference") }),
    checks,
    host: first,
    regionPrefix: first.address.replace(/\d+$/, ""),
    folder,
    say,
  };
  const { callId } = await supportCall(stage);
  await announcementCall({ ...stage, host: second });
  try {
    return showCallTrace(await operator.trace(callId));
  } catch (error) {
    checks.note("trace", false, error instanceof CommandEnd ? error.message : String(error));
    return "";
  }
}

/** A demo begins with an empty region; what the last one left is removed now, so that its logs could be read. */
function forgetLastTime(): boolean {
  mkdirSync(paths.root, { recursive: true, mode: 0o700 });
  const lock = takeLock(paths.lockFile);
  if (!lock.ok) return false;
  rmSync(paths.root, { recursive: true, force: true });
  lock.value.release();
  return true;
}
