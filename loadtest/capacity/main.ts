// `npm run capacity -- answer|bridge`: how many calls a second one POP host takes, what a call costs, and where it bends.
//
// Exit: 0 the run worked, whatever the figures · 1 even the lowest rate failed, or the run broke off · 64 a wrong flag
//       · 69 the region could not be started (an address is taken, a program is missing)

import { parseArgs } from "node:util";
import { EXIT } from "../../cli/exit.ts";
import { paintFor } from "../../cli/terminal/colour.ts";
import { sippVersion } from "../sipp/run-sipp.ts";
import type { CheckpointRedis } from "./checkpoint-redis.ts";
import {
  COMPARISONS,
  type ComparedRegion,
  type Comparison,
  costsTable,
  measureCosts,
  startComparedRegion,
} from "./compare-checkpoints.ts";
import { INSPECTABLE } from "./inspector.ts";
import { PROFILES, type ProfileName } from "./measurements.ts";
import { type CapacityRegion, showUpFailure, startCapacityRegion } from "./region.ts";
import { heldTable, idleLine, selfTimeTable, showStep, stepTable, verdictLine } from "./report.ts";
import { type RunPlan, type RunWatch, runCapacity, sampleOneRate } from "./run-capacity.ts";
import type { RunningTraffic } from "./run-step.ts";
import { capacityOfSip } from "./sip/main.ts";
import { judgeStep, verdictOf } from "./verdict.ts";

const HELP = `npm run capacity -- PROFILE [flags]

  answer   a carrier's call is answered, hears a tone, and hangs up
  bridge   the same call is transferred to a second carrier and bridged
  sip      the SIP server alone, beside the C++ one: --help says more

  --rates 10,25,50    calls per second, step by step; ends at the first step that is not clean
  --seconds 8         of each step
  --warm-up 2         of these, the first that are reported apart
  --hold 500          ms from the answer to the caller's BYE
  --held 200          calls at once for the memory figures; 0: leave them out
  --sample RATE       instead of all that: one rate, and where our processes spend their time
  --compare checkpoints     instead: one rate with and without them, in turns; "nothing": twice the same, for the noise
  --rounds 3          turns of each side
  --wait 60           seconds to wait for the addresses when another region runs on this machine
  --json              the figures as one JSON object on stdout
`;

const DEFAULT_RATES = [10, 20, 50, 100, 160, 200, 250, 300, 400, 500];
const COMPARED_CALLS_PER_SECOND = 50;
/** With the default rates; with one's own, what they need. */
const RUN_MS_MAX = 165_000;
/** What a run may take beyond its plan before it is broken off. */
const GRACE_MS = 45_000;

interface Flags {
  readonly plan: Omit<RunPlan, "untilMs">;
  readonly ownRates: boolean;
  readonly sample: boolean;
  readonly compare: Comparison | undefined;
  readonly rounds: number;
  readonly waitMs: number;
  readonly json: boolean;
}

async function main(): Promise<number> {
  const [first, ...others] = process.argv.slice(2);
  if (first === "sip") return capacityOfSip(others);
  const flags = readFlags();
  if (flags === undefined) return EXIT.ok;
  if (typeof flags === "string") {
    process.stderr.write(`capacity: ${flags}\n\n${HELP}`);
    return EXIT.usage;
  }
  if (sippVersion() === undefined) {
    process.stderr.write('capacity: SIPp is missing (Debian package sip-tester); "make demo" installs it\n');
    return EXIT.unavailable;
  }
  return run(flags);
}

async function run(flags: Flags): Promise<number> {
  const startedAtMs = performance.now();
  const progress = paintFor(process.stderr);
  const say = (line: string) => {
    const seconds = ((performance.now() - startedAtMs) / 1_000).toFixed(0).padStart(4);
    process.stderr.write(`${progress.dim(`${seconds} s`)}  ${line}\n`);
  };
  const abort = new AbortController();
  const traffics: RunningTraffic[] = [];
  let region: CapacityRegion | undefined;
  let redis: CheckpointRedis | undefined;
  const end = async (): Promise<void> => {
    abort.abort();
    for (const traffic of traffics) traffic.stop();
    await region?.running.stop();
    await redis?.stop();
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
    process.once(signal, () => {
      say(`${signal}: stopping`);
      void end().then(() => process.exit(EXIT.failed));
    });
  // For the processes of the region: the door is there, and shut.
  process.env.NODE_OPTIONS = [process.env.NODE_OPTIONS, INSPECTABLE].filter((text) => text).join(" ");

  say("starting one POP host, its control plane, etcd and Redis");
  const options = { waitMs: flags.waitMs, say, signal: abort.signal };
  const compared = flags.compare === undefined ? undefined : await startComparedRegion(flags.compare, options);
  const started = compared ?? (await startCapacityRegion(options));
  if (!started.ok) {
    process.stderr.write(`capacity: ${showUpFailure(started.failure)}\n`);
    return EXIT.unavailable;
  }
  redis = compared?.ok === true ? compared.value.redis : undefined;
  const both = compared?.ok === true ? compared.value : undefined;
  region = "region" in started.value ? started.value.region : started.value;
  const { plan, ownRates } = flags;
  const steps = both === undefined ? plan.rates.length : 2 * flags.rounds + 10;
  const needMs = ownRates ? steps * (plan.seconds * 1_000 + 15_000) + 60_000 : RUN_MS_MAX;
  const untilMs = ownRates ? performance.now() + needMs : startedAtMs + RUN_MS_MAX;
  const fuse = setTimeout(() => {
    process.stderr.write("capacity: not over in time, breaking off\n");
    for (const traffic of traffics) traffic.stop();
    region?.running.killAll();
    process.exit(EXIT.failed);
  }, needMs + GRACE_MS);
  const watch: RunWatch = {
    say,
    started: (traffic) => traffics.push(traffic),
    step: (step) => say(`${String(step.callsPerSecond).padStart(4)} calls/s  ${showStep(step)}`),
  };
  try {
    if (both !== undefined) return await costs(flags, both, watch);
    return await (flags.sample ? sampled : measured)(flags, region, { ...plan, untilMs }, watch);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    process.stderr.write(`capacity: broken off: ${message}\nlogs: ${region.running.addresses.logs}\n`);
    return EXIT.failed;
  } finally {
    await end();
    clearTimeout(fuse);
  }
}

async function measured(flags: Flags, region: CapacityRegion, plan: RunPlan, watch: RunWatch): Promise<number> {
  const { run, ended } = await runCapacity(region, plan, watch);
  const verdict = verdictOf(run.steps, ended);
  const { machine, held, profile } = run;
  const paint = paintFor(process.stdout);
  print(
    flags.json
      ? JSON.stringify({ ...run, verdict })
      : [
          "",
          `${paint.bold(profile)}  ${machine.cores} cores (${machine.cpu}), ${machine.system}, Node ${machine.node}; hold ${plan.holdMs} ms`,
          "CPU-ms per call of each process; SIPp: of one core; cores, rest (kernel, and others on the machine): of all",
          "",
          stepTable(run.steps, paint),
          "",
          ...(held === undefined ? [] : [heldTable(held, paint), ""]),
          paint.dim(idleLine(run.idleCpuMsPerSecond)),
          verdictLine(verdict, paint),
        ].join("\n"),
  );
  if (!verdict.worked) process.stderr.write(`logs: ${region.running.addresses.logs}\n`);
  return verdict.worked ? EXIT.ok : EXIT.failed;
}

async function costs({ plan, rounds, json }: Flags, region: ComparedRegion, watch: RunWatch): Promise<number> {
  const measured = await measureCosts(region, { ...plan, rounds, callsPerSecond: plan.rates[0] ?? 1 }, watch);
  print(json ? JSON.stringify(measured) : costsTable(measured, paintFor(process.stdout)));
  const { steps } = measured.turns;
  return [...steps.with, ...steps.without].every((step) => judgeStep(step).faults.length === 0) ? EXIT.ok : EXIT.failed;
}

async function sampled(flags: Flags, region: CapacityRegion, plan: RunPlan, watch: RunWatch): Promise<number> {
  const { step, processes } = await sampleOneRate(region, plan, watch);
  const paint = paintFor(process.stdout);
  watch.step(step);
  print(
    flags.json
      ? JSON.stringify({ step, processes })
      : [
          "",
          stepTable([step], paint),
          "",
          ...processes.map(({ name, times, file }) => selfTimeTable(name, times, file, paint)),
        ].join("\n"),
  );
  return verdictOf([step], "done").worked ? EXIT.ok : EXIT.failed;
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Undefined: help was asked for and given. A string: what is wrong. */
function readFlags(): Flags | string | undefined {
  let parsed: ReturnType<typeof parse>;
  try {
    parsed = parse();
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  const { values, positionals } = parsed;
  if (values.help === true) {
    print(HELP);
    return undefined;
  }
  const [profile, extra] = positionals;
  if (!isProfile(profile) || extra !== undefined) return `a profile is needed: ${PROFILES.join(" or ")}`;
  const number = (
    name: "seconds" | "warm-up" | "hold" | "held" | "wait" | "rounds",
    from: number,
    to: number,
  ): number => {
    const value = Number(values[name]);
    if (!(value >= from && value <= to)) throw new Error(`--${name}: a number from ${from} to ${to}`);
    return value;
  };
  try {
    const compare = COMPARISONS.find((one) => one === values.compare);
    if (compare === undefined && values.compare !== undefined) return `--compare: ${COMPARISONS.join(" or ")}`;
    const asked = values.sample ?? values.rates ?? (compare && String(COMPARED_CALLS_PER_SECOND));
    const rates = asked === undefined ? DEFAULT_RATES : asked.split(",").map(Number);
    if (!rates.every((rate, at) => rate > 0 && rate <= 5_000 && rate > (rates[at - 1] ?? 0)))
      return "--rates: calls per second, growing, such as 10,25,50";
    const seconds = number("seconds", 1, 600);
    const warmUpSeconds = number("warm-up", 0.5, 600);
    if (warmUpSeconds >= seconds) return "--warm-up: shorter than --seconds";
    return {
      plan: {
        ...{ profile, rates, seconds, warmUpSeconds },
        holdMs: number("hold", 0, 50_000),
        heldCalls: number("held", 0, 1_000),
      },
      ownRates: asked !== undefined || values.seconds !== "8",
      sample: values.sample !== undefined,
      compare,
      rounds: number("rounds", 1, 50),
      waitMs: number("wait", 0, 3_600) * 1_000,
      json: values.json === true,
    };
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

const parse = () =>
  parseArgs({
    allowPositionals: true,
    options: {
      rates: { type: "string" },
      seconds: { type: "string", default: "8" },
      "warm-up": { type: "string", default: "2" },
      hold: { type: "string", default: "500" },
      held: { type: "string", default: "200" },
      sample: { type: "string" },
      compare: { type: "string" },
      rounds: { type: "string", default: "3" },
      wait: { type: "string", default: "60" },
      json: { type: "boolean" },
      help: { type: "boolean", short: "h" },
    },
  });

const isProfile = (text: string | undefined): text is ProfileName => PROFILES.some((name) => name === text);

process.exitCode = await main();
