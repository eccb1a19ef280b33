// Two hosts of one region, alike but for one thing, take turns at the same traffic: what that thing costs. Pure but for
// `takeTurns`.

import type { Percentiles } from "../sipp/sipp-statistics.ts";
import { HOST_PARTS, type Part, type PerPart, type ProfileName, perPart, type Step } from "./measurements.ts";
import { type Look, look } from "./process-usage.ts";
import type { CapacityRegion } from "./region.ts";
import type { RunWatch } from "./run-capacity.ts";
import { runStep, until } from "./run-step.ts";

/** With Redis: that of the checkpoints alone. */
export const COMPARED_PARTS = [...HOST_PARTS, "redis"] as const satisfies readonly Part[];
export type ComparedPart = (typeof COMPARED_PARTS)[number];
export const SIDES = ["with", "without"] as const;
export type Side = (typeof SIDES)[number];

export interface TurnsPlan {
  readonly profile: ProfileName;
  readonly callsPerSecond: number;
  /** Turns of each side; in one the one is first, in the next the other. */
  readonly rounds: number;
  readonly seconds: number;
  readonly warmUpSeconds: number;
  readonly holdMs: number;
}

export interface Turns {
  readonly steps: Readonly<Record<Side, readonly Step[]>>;
  /** Outside of the own turns, above what an idle process takes, by call: SIP transactions stand for 32 s, and their end is work. */
  readonly afterwards: Readonly<Record<Side, PerPart>>;
  readonly calls: number;
}

const IDLE_MS = 8_000;
/** Timer B, H, J: 64·T1, and some more. RFC 3261 §17 */
const TRANSACTIONS_MS = 34_000;
const COLD_START = { callsPerSecond: 20, seconds: 5, warmUpSeconds: 1 };

export async function takeTurns(
  regions: Readonly<Record<Side, CapacityRegion>>,
  plan: TurnsPlan,
  watch: RunWatch,
): Promise<Turns> {
  const { profile, rounds, holdMs } = plan;
  for (const side of SIDES) {
    watch.say(`cold start of the host ${side}: ${COLD_START.callsPerSecond} calls/s for ${COLD_START.seconds} s`);
    await runStep(regions[side], { ...COLD_START, profile, holdMs }, watch.started);
  }
  await until(performance.now() + TRANSACTIONS_MS);
  const all = { with: regions.with.pids, without: regions.without.pids };
  const lookAt = () => ({ with: look(all.with), without: look(all.without) });
  const idleFrom = lookAt();
  await until(performance.now() + IDLE_MS);
  const begin = lookAt();
  const steps = { with: [] as Step[], without: [] as Step[] };
  const inTurns = { with: new Map<string, number>(), without: new Map<string, number>() };
  const turnsMs = { with: 0, without: 0 };
  for (let round = 0; round < rounds; round++) {
    for (const side of round % 2 === 0 ? SIDES : SIDES.toReversed()) {
      const from = look(all[side]);
      const step = await runStep(regions[side], plan, watch.started);
      const to = look(all[side]);
      turnsMs[side] += to.atMs - from.atMs;
      for (const [name, ms] of between(from, to)) inTurns[side].set(name, (inTurns[side].get(name) ?? 0) + ms);
      steps[side].push(step);
      watch.step(step);
    }
  }
  watch.say("the last transactions end");
  await until(performance.now() + TRANSACTIONS_MS);
  const end = lookAt();
  const calls = Math.max(
    1,
    steps.with.reduce((sum, step) => sum + step.calls, 0),
  );
  const late = (side: Side, part: ComparedPart): number => {
    const of = (from: Look, to: Look) => between(from, to).get(part) ?? 0;
    const idlePerMs = of(idleFrom[side], begin[side]) / (begin[side].atMs - idleFrom[side].atMs);
    const outsideMs = end[side].atMs - begin[side].atMs - turnsMs[side];
    const used = of(begin[side], end[side]) - (inTurns[side].get(part) ?? 0);
    return (used - idlePerMs * outsideMs) / calls;
  };
  const afterwards = (side: Side) => perPart((part) => (isCompared(part) ? late(side, part) : 0));
  return { steps, afterwards: { with: afterwards("with"), without: afterwards("without") }, calls };
}

const isCompared = (part: Part): part is ComparedPart => COMPARED_PARTS.some((one) => one === part);

const between = (from: Look, to: Look): ReadonlyMap<string, number> =>
  new Map([...to.processes].map(([name, { cpuMs }]) => [name, cpuMs - (from.processes.get(name)?.cpuMs ?? 0)]));

export interface Compared {
  readonly part: ComparedPart | "all";
  /** Medians, CPU-ms per call. */
  readonly with: number;
  readonly without: number;
  /** Afterwards, likewise. */
  readonly lateWith: number;
  readonly lateWithout: number;
  /** With by without, round by round; undefined where there is nothing to divide by. */
  readonly ratio: { readonly median: number; readonly least: number; readonly most: number } | undefined;
}

/** @param isShared both sides write to the Redis */
export function compareTurns({ steps, afterwards }: Turns, isShared: boolean): readonly Compared[] {
  // The Redis of one side: in the turns of the other it has nothing to do but the first one's deletions.
  const ofPart = (part: ComparedPart, side: Side, values: PerPart): number =>
    part === "redis" && side === "without" && !isShared ? 0 : values[part];
  const of = (part: Compared["part"], side: Side, values: PerPart): number =>
    part === "all"
      ? COMPARED_PARTS.reduce((sum, one) => sum + ofPart(one, side, values), 0)
      : ofPart(part, side, values);
  return [...COMPARED_PARTS, "all" as const].map((part) => {
    const values = (side: Side) => steps[side].map(({ steady }) => of(part, side, steady.cpuMsPerCall));
    const [some, none] = [values("with"), values("without")];
    const ratios = some.map((value, at) => value / (none[at] ?? 0)).filter(Number.isFinite);
    return {
      part,
      with: median(some),
      without: median(none),
      lateWith: of(part, "with", afterwards.with),
      lateWithout: of(part, "without", afterwards.without),
      ratio:
        ratios.length < some.length || part === "redis"
          ? undefined
          : { median: median(ratios), least: Math.min(...ratios), most: Math.max(...ratios) },
    };
  });
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const [upper = 0, lower = 0] = [sorted[middle], sorted[middle - 1]];
  return sorted.length % 2 === 1 ? upper : (lower + upper) / 2;
}

/** INVITE to 200, medians of the turns. */
export function setUpOf(steps: readonly Step[]): { readonly p50Ms: number; readonly p99Ms: number } {
  const all = steps.flatMap(({ steady: { setUp } }): readonly Percentiles[] => (setUp === undefined ? [] : [setUp]));
  return { p50Ms: median(all.map(({ p50Ms }) => p50Ms)), p99Ms: median(all.map(({ p99Ms }) => p99Ms)) };
}
