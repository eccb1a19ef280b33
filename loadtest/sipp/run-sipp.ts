// Runs SIPp with a scenario: a bounded number of calls in a bounded time, and what came of it as a value.

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import {
  type Percentiles,
  percentiles,
  readResponseTimes,
  readStatistics,
  type SippStatistics,
} from "./sipp-statistics.ts";

export const SCENARIOS = join(import.meta.dirname, "scenarios");

export interface SippRun {
  /** "caller-waits-until-released", or the path of an XML file. */
  readonly scenario: string;
  /** "127.10.1.11:5060" */
  readonly target: string;
  /** UDP unless said. */
  readonly transport?: "udp" | "tcp";
  readonly localHost: string;
  /** Left out: SIPp takes 5060, or a free one when that is taken. */
  readonly localPort?: number;
  /** The user part of the Request-URI: the number dialled. */
  readonly calledNumber: string;
  readonly calls: number;
  readonly callsPerSecond: number;
  /** Of -l: how many at once. */
  readonly callsConcurrentMax?: number;
  /** Of `<pause/>` in the scenario. */
  readonly holdMs?: number;
  readonly keys?: Readonly<Record<string, string>>;
  /** Everything is over after this; calls that are not count as failed. */
  readonly withinMs: number;
  /** Where its CSVs and logs go; emptied of earlier runs of the same scenario. */
  readonly folder: string;
  /** What caller-streams-audio-then-hangs-up sends: raw mu-law, 8 kHz. */
  readonly audio?: Uint8Array;
  /** First RTP port of SIPp's own streams. */
  readonly mediaPort?: number;
  /** Of SIPp's sockets: with the kernel's default it loses in bursts what it then counts as ours. */
  readonly socketBufferBytes?: number;
}

export interface SippResult extends SippStatistics {
  /** Every call did what the scenario expects. */
  readonly good: boolean;
  /** 0 all calls good, 1 some failed, 97 stopped from outside, else SIPp itself could not go on. */
  readonly exitCode: number | null;
  readonly stopped: boolean;
  readonly responseTime: Percentiles | undefined;
  /** utime and stime of SIPp: a run whose generator is busy measures the generator. */
  readonly cpuMs: number;
  readonly wallMs: number;
  /** The beginning of what SIPp says of unexpected messages. */
  readonly complaints: string;
  readonly folder: string;
}

export interface RunningSipp {
  readonly pid: number;
  /** Resolves when SIPp has ended by itself, was stopped, or its time was over. */
  readonly result: Promise<SippResult>;
  /** At once. */
  stop(): void;
}

export const sippVersion = (): string | undefined => {
  const said = spawnSync("sipp", ["-v"], { encoding: "utf8" });
  return said.error === undefined ? /SIPp (\S+)/.exec(said.stdout)?.[1]?.replace(/\.$/, "") : undefined;
};

/** Kernel ticks are 10 ms on every Linux that Debian ships. */
const TICK_MS = 10;
const CPU_LOOK_EVERY_MS = 100;
const COMPLAINT_CHARACTERS_MAX = 2_000;
/** SIPp waits for nothing at its own time-out; we, a little longer for SIPp. */
const GRACE_MS = 2_000;
/** One of three on a machine is enough; each run looks for a free one from here. */
const CONTROL_PORT_FIRST = 18_900;
const CONTROL_PORTS = 500;
let controlPort = process.pid % CONTROL_PORTS; // two load tests at once must not meet

/** None outlives us, however we end. */
const running = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

export function startSipp(run: SippRun): RunningSipp {
  const { folder, scenario } = run;
  const file = scenario.endsWith(".xml") ? scenario : join(SCENARIOS, `${scenario}.xml`);
  const name = basename(file, ".xml");
  mkdirSync(folder, { recursive: true });
  for (const old of readdirSync(folder)) if (old.startsWith(name)) rmSync(join(folder, old));
  copyFileSync(file, join(folder, basename(file)));
  if (run.audio !== undefined) writeFileSync(join(folder, "audio.ulaw"), run.audio);
  const statistics = join(folder, `${name}.csv`);
  const errors = join(folder, `${name}.errors.log`);
  controlPort = (controlPort + 1) % CONTROL_PORTS;

  const args = [
    run.target,
    ...["-sf", basename(file), "-s", run.calledNumber],
    ...["-t", run.transport === "tcp" ? "t1" : "u1"],
    ...["-i", run.localHost, "-bind_local", "-mi", run.localHost],
    ...(run.localPort === undefined ? [] : ["-p", String(run.localPort)]),
    ...(run.mediaPort === undefined ? [] : ["-mp", String(run.mediaPort)]),
    ...(run.socketBufferBytes === undefined ? [] : ["-buff_size", String(run.socketBufferBytes)]),
    ...["-ci", "127.0.0.1", "-cp", String(CONTROL_PORT_FIRST + controlPort)],
    ...["-m", String(run.calls), "-r", String(run.callsPerSecond), "-rp", "1000"],
    ...["-l", String(run.callsConcurrentMax ?? run.calls)],
    ...["-d", String(run.holdMs ?? 0)],
    ...Object.entries({
      calling_number: "+4930555",
      media_host: run.localHost,
      media_rtp_port: "9",
      ...run.keys,
    }).flatMap(([key, value]) => ["-key", key, value]),
    ...["-timeout", String(Math.ceil(run.withinMs / 1_000)), "-timeout_error"],
    ...["-trace_stat", "-stf", statistics, "-fd", "1", "-trace_rtt", "-rtt_freq", "1"],
    ...["-trace_err", "-error_file", errors, "-nostdin", "-skip_rlimit"],
  ];
  const startedAtMs = performance.now();
  // SIPp draws its screens on stdout: nobody looks at them.
  const child = spawn("sipp", args, { cwd: folder, stdio: ["ignore", "ignore", "pipe"] });
  running.add(child);
  const cpu = watchCpu(child);
  let said = "";
  child.stderr.on("data", (data: Buffer) => {
    said = (said + data.toString("latin1")).slice(0, COMPLAINT_CHARACTERS_MAX);
  });
  let stopped = false;
  const stop = () => {
    stopped = true;
    child.kill("SIGKILL");
  };
  const deadline = setTimeout(stop, run.withinMs + GRACE_MS);

  const result = new Promise<SippResult>((resolve, reject) => {
    child.on("error", (error) => {
      clearTimeout(deadline);
      cpu.stop();
      reject(error);
    });
    child.on("close", (exitCode) => {
      running.delete(child);
      clearTimeout(deadline);
      cpu.stop();
      const counted = readStatistics(textOf(statistics)) ?? NOTHING;
      resolve({
        ...counted,
        good: exitCode === 0 && counted.successful === run.calls && counted.failed === 0,
        exitCode,
        stopped,
        responseTime: percentiles(responseTimesIn(folder, name)),
        cpuMs: cpu.cpuMs(),
        wallMs: performance.now() - startedAtMs,
        complaints: (textOf(errors) || said).slice(0, COMPLAINT_CHARACTERS_MAX),
        folder,
      });
    });
  });
  return { pid: child.pid ?? 0, result, stop };
}

export const runSipp = (run: SippRun): Promise<SippResult> => startSipp(run).result;

const NOTHING: SippStatistics = { created: 0, successful: 0, failed: 0, failures: {}, retransmissions: 0 };

function textOf(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}

function responseTimesIn(folder: string, name: string): readonly number[] {
  const files = readdirSync(folder).filter((file) => file.startsWith(`${name}_`) && file.endsWith("_rtt.csv"));
  return files.flatMap((file) => readResponseTimes(textOf(join(folder, file))));
}

/** utime + stime of /proc/PID/stat, looked at while it lives: afterwards it is gone. */
function watchCpu(child: ChildProcess): { cpuMs(): number; stop(): void } {
  let cpuMs = 0;
  const look = () => {
    const stat = textOf(`/proc/${child.pid}/stat`);
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const ticks = Number(fields[11] ?? 0) + Number(fields[12] ?? 0);
    if (ticks > 0) cpuMs = ticks * TICK_MS;
  };
  const timer = setInterval(look, CPU_LOOK_EVERY_MS);
  return { cpuMs: () => cpuMs, stop: () => clearInterval(timer) };
}
