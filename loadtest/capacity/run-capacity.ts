// A whole run against a region that is up: idle, a warm-up, calls held, then the rates from the lowest up.

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, release, type } from "node:os";
import { join } from "node:path";
import { CHECKOUT } from "../../cli/up/start-region.ts";
import { holdCalls } from "./hold-calls.ts";
import { type Held, type ProfileName, perPart, type Run, type Step } from "./measurements.ts";
import { look, usedBetween } from "./process-usage.ts";
import type { CapacityRegion } from "./region.ts";
import { type RunningTraffic, runStep, type StepPlan, until } from "./run-step.ts";
import { type SelfTimes, selfTimes } from "./self-times.ts";
import { isLast, judgeStep, type RunEnd } from "./verdict.ts";

export interface RunPlan {
  readonly profile: ProfileName;
  readonly rates: readonly number[];
  readonly seconds: number;
  readonly warmUpSeconds: number;
  readonly holdMs: number;
  /** 0: memory is not measured. */
  readonly heldCalls: number;
  /** No step begins after this. */
  readonly untilMs: number;
}

export interface RunWatch {
  say(line: string): void;
  step(step: Step): void;
  /** To be stopped when the run is broken off. */
  started(traffic: RunningTraffic): void;
}

const IDLE_MS = 3_000;
/** Code is compiled, buffers and connections are there: what comes after is not a cold start. */
const COLD_START = { callsPerSecond: 20, seconds: 5, warmUpSeconds: 1 };

export async function runCapacity(
  region: CapacityRegion,
  plan: RunPlan,
  watch: RunWatch,
): Promise<{ run: Run; ended: RunEnd }> {
  const { profile, seconds, warmUpSeconds, holdMs, heldCalls } = plan;
  const startedAt = new Date().toISOString();
  const idleCpuMsPerSecond = await idle(region);
  const step = (over: Partial<StepPlan>) =>
    runStep(region, { profile, callsPerSecond: 1, seconds, warmUpSeconds, holdMs, ...over }, watch.started);

  let held: Held | undefined;
  const steps: Step[] = [];
  const measure = async (): Promise<RunEnd> => {
    if (heldCalls > 0) {
      watch.say(`cold start: ${COLD_START.callsPerSecond} calls/s for ${COLD_START.seconds} s, not counted`);
      await step(COLD_START);
      watch.say(`memory: bringing up ${heldCalls} calls and holding them`);
      held = await holdCalls(region, profile, heldCalls, watch.started);
    }
    for (const callsPerSecond of plan.rates) {
      if (performance.now() + seconds * 1_000 > plan.untilMs) return "out-of-time";
      const done = await step({ callsPerSecond });
      steps.push(done);
      watch.step(done);
      if (isLast(judgeStep(done))) return "stopped";
    }
    return "done";
  };
  // What was measured until then is worth showing.
  const ended = await measure().catch((error: unknown) => ({
    brokenOff: error instanceof Error ? error.message : String(error),
  }));
  return { run: { profile, startedAt, machine: machine(), idleCpuMsPerSecond, steps, held }, ended };
}

export interface Sampled {
  readonly step: Step;
  readonly processes: readonly SampledProcess[];
}

export interface SampledProcess {
  readonly name: string;
  readonly times: SelfTimes;
  /** The whole of it, for a browser's developer tools. */
  readonly file: string;
}

/** One rate, with the profilers of our processes running once the warm-up is over: their costs are in the figures. */
export async function sampleOneRate(region: CapacityRegion, plan: RunPlan, watch: RunWatch): Promise<Sampled> {
  const { profile, seconds, warmUpSeconds, holdMs, rates } = plan;
  const ours = region.running.processes().filter(({ name }) => /\/(sip-server|pop|media-worker)$/.test(name));
  const doors = await Promise.all(
    ours.map(async ({ name, pid }) => ({ name, door: await region.doors.open(name, pid ?? 0) })),
  );
  const processes: SampledProcess[] = [];
  const folder = join(region.running.addresses.dataDir, "profiles");
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const during = async (): Promise<void> => {
    await Promise.all(doors.map(({ door }) => door.startSampling()));
    await until(performance.now() + (seconds - warmUpSeconds) * 1_000);
    for (const { name, door } of doors) {
      const sampled = await door.stopSampling();
      const file = join(folder, `${name.split("/").at(-1)}.cpuprofile`);
      writeFileSync(file, JSON.stringify(sampled));
      processes.push({ name, times: selfTimes(sampled, CHECKOUT), file });
      await door.close();
    }
  };
  const callsPerSecond = rates[0] ?? 1;
  const step = await runStep(
    region,
    { profile, callsPerSecond, seconds: seconds + 1, warmUpSeconds, holdMs },
    watch.started,
    during,
  );
  return { step, processes };
}

async function idle(region: CapacityRegion): Promise<Run["idleCpuMsPerSecond"]> {
  const pids = region.pids;
  const from = look(pids);
  await until(performance.now() + IDLE_MS);
  const used = usedBetween(from, look(pids));
  return perPart((part) => ((used.cpuMs.get(part) ?? 0) * 1_000) / used.wallMs);
}

function machine(): Run["machine"] {
  const all = cpus();
  return { cores: all.length, cpu: all[0]?.model ?? "?", system: systemName(), node: process.version };
}

function systemName(): string {
  try {
    const name = /^PRETTY_NAME="?([^"\n]+)/m.exec(readFileSync("/etc/os-release", "utf8"))?.[1];
    return `${name ?? type()}, Linux ${release()}`;
  } catch {
    return `${type()} ${release()}`;
  }
}
