// `npm run capacity -- PROFILE --compare checkpoints`: what it costs a whole host to write its calls down for a next owner.
// Two hosts of the region: one writes to a Redis of its own, the other was told of none; else they are alike, keepers included.

import { join } from "node:path";
import type { Paint } from "../../cli/terminal/colour.ts";
import type { UpFailure } from "../../cli/up/start-region.ts";
import type { ProcessKind } from "../../cli/up/topology.ts";
import type { Outcome } from "../../kernel/outcome.ts";
import { succeed } from "../../kernel/outcome.ts";
import { CheckpointRedis, type RedisSays } from "./checkpoint-redis.ts";
import { type Compared, compareTurns, type Side, setUpOf, type Turns, type TurnsPlan, takeTurns } from "./compare.ts";
import { type CapacityRegion, DATA_DIR, type RegionOptions, startCapacityRegion } from "./region.ts";
import { cell, grid } from "./report.ts";
import type { RunWatch } from "./run-capacity.ts";

/** Neither has a twin that runs: nobody takes a service over in a measurement. */
const HOSTS: Readonly<Record<Side, string>> = { with: "fra-01-a", without: "ams-01-a" };

/** "checkpoints"; "nothing": both write, which shows what a difference is worth that was measured on this machine. */
export const COMPARISONS = ["checkpoints", "nothing"] as const;
export type Comparison = (typeof COMPARISONS)[number];

export interface ComparedRegion {
  readonly region: CapacityRegion;
  readonly sides: Readonly<Record<Side, CapacityRegion>>;
  readonly redis: CheckpointRedis;
  readonly comparison: Comparison;
}

export async function startComparedRegion(
  comparison: Comparison,
  options: RegionOptions,
): Promise<Outcome<ComparedRegion, UpFailure>> {
  const redis = await CheckpointRedis.start(join(DATA_DIR, "checkpoint-redis"));
  const isWithout = (name: string) => comparison === "checkpoints" && name.split("/")[0] === HOSTS.without;
  const started = await startCapacityRegion({
    ...options,
    hosts: Object.values(HOSTS),
    configure: ({ name, kind }, config) => {
      if (!name.includes("/")) return config; // the control plane's is another
      return isWithout(name) ? unwritten(kind, config) : writtenTo(redis, config);
    },
  });
  if (!started.ok) {
    await redis.stop();
    return started;
  }
  const region = started.value;
  const side = (host: string): CapacityRegion => {
    const one = region.on(host);
    return { ...one, pids: new Map([...one.pids, ["redis", redis.pid]]) };
  };
  return succeed({ region, redis, comparison, sides: { with: side(HOSTS.with), without: side(HOSTS.without) } });
}

/** sip-server without `checkpoints`, pop and rtpengine without `redis`. */
function unwritten(kind: ProcessKind, config: object): object {
  const { redis: _, checkpoints: __, ...rest } = config as { redis?: object; checkpoints?: object };
  return kind === "sip-server" || kind === "pop" || kind === "rtpengine" ? rest : config;
}

function writtenTo({ at }: CheckpointRedis, config: object): object {
  const { redis, checkpoints } = config as { redis?: object; checkpoints?: { redis?: object } };
  return {
    ...config,
    ...(redis === undefined ? {} : { redis: { ...redis, ...at } }),
    ...(checkpoints?.redis === undefined ? {} : { checkpoints: { ...checkpoints, redis: at } }),
  };
}

/** Of one writer, per call. */
export interface Written {
  readonly groups: number;
  readonly texts: number;
  readonly bytes: number;
  readonly waits: number;
  readonly late: number;
}

/** How long, in buckets as the metrics page has them. */
export interface Took {
  readonly count: number;
  readonly meanMs: number;
  /** At most. */
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export interface Costs {
  readonly plan: TurnsPlan;
  readonly turns: Turns;
  readonly compared: readonly Compared[];
  readonly redis: { readonly bytesPerCall: number; readonly commandsPerCall: Readonly<Record<string, number>> };
  readonly written: Readonly<Record<"sip-server" | "pop", Written>>;
  /** Of messages at the SIP server, and of its groups. */
  readonly waiting: Took;
  readonly writing: Took;
}

export async function measureCosts(
  { sides, redis, comparison }: ComparedRegion,
  plan: TurnsPlan,
  watch: RunWatch,
): Promise<Costs> {
  const pages = async () => ({
    sip: await page(sides.with.sipMetricsUrl),
    pop: await page(sides.with.popMetricsUrl),
    redis: await redis.says(),
  });
  const before = await pages();
  const turns = await takeTurns(sides, plan, watch);
  const after = await pages();
  // The cold start is in what was written, as it is in the calls that it is divided by.
  const calls = grown(before.pop, after.pop, "pop_calls_arrived_total");
  return {
    plan,
    turns,
    compared: compareTurns(turns, comparison === "nothing"),
    redis: redisPerCall(before.redis, after.redis, calls),
    written: {
      "sip-server": writtenPerCall(before.sip, after.sip, "sip", calls),
      pop: writtenPerCall(before.pop, after.pop, "pop", calls),
    },
    waiting: took(before.sip, after.sip, "sip_checkpoint_wait_seconds"),
    writing: took(before.sip, after.sip, "sip_checkpoint_write_seconds"),
  };
}

const page = async (url: string): Promise<string> => (await fetch(url)).text();

const numberIn = (text: string, name: string): number => {
  const line = text.split("\n").find((one) => one.startsWith(`${name} `));
  return Number(line?.split(" ")[1] ?? 0);
};
const grown = (before: string, after: string, name: string): number => numberIn(after, name) - numberIn(before, name);

function writtenPerCall(before: string, after: string, prefix: string, calls: number): Written {
  const of = (what: string) => grown(before, after, `${prefix}_checkpoint_${what}_total`) / Math.max(1, calls);
  return { groups: of("groups"), texts: of("fields"), bytes: of("characters"), waits: of("waits"), late: of("late") };
}

function redisPerCall(before: RedisSays, after: RedisSays, calls: number): Costs["redis"] {
  const commands = [...after.commands]
    .map(([name, count]) => [name, (count - (before.commands.get(name) ?? 0)) / Math.max(1, calls)] as const)
    .filter(([, count]) => count >= 0.005);
  return {
    bytesPerCall: (after.bytesIn - before.bytesIn) / Math.max(1, calls),
    commandsPerCall: Object.fromEntries(commands.toSorted(([, a], [, b]) => b - a)),
  };
}

/** A Prometheus histogram between two looks. */
export function took(before: string, after: string, name: string): Took {
  const bounds = [...after.matchAll(new RegExp(`^${name}_bucket\\{le="([^"]+)"\\}`, "gm"))].map(([, le = ""]) => le);
  const below = bounds.map(
    (le) =>
      [
        le === "+Inf" ? Number.POSITIVE_INFINITY : Number(le) * 1_000,
        grown(before, after, `${name}_bucket{le="${le}"}`),
      ] as const,
  );
  const count = grown(before, after, `${name}_count`);
  const at = (share: number) => below.find(([, seen]) => seen >= share * count)?.[0] ?? Number.POSITIVE_INFINITY;
  return {
    count,
    meanMs: Math.round((grown(before, after, `${name}_sum`) * 1e6) / Math.max(1, count)) / 1e3,
    p50Ms: at(0.5),
    p99Ms: at(0.99),
  };
}

const two = (value: number): string => value.toFixed(2);
const kib = (bytes: number): string => `${(bytes / 1_024).toFixed(1)} KiB`;

export function costsTable({ plan, turns, compared, redis, written, waiting, writing }: Costs, paint: Paint): string {
  const rows = compared.map(({ part, ratio, lateWith, lateWithout, ...one }) => [
    cell(part, "head"),
    cell(two(one.with)),
    cell(two(one.without)),
    cell(two(one.with - one.without)),
    cell(ratio === undefined ? "" : two(ratio.median), part === "all" ? "head" : "plain"),
    cell(ratio === undefined ? "" : `${two(ratio.least)}-${two(ratio.most)}`, "dim"),
    cell(two(lateWith), "dim"),
    cell(two(lateWithout), "dim"),
    cell(one.without === 0 ? "" : two((one.with + lateWith) / (one.without + lateWithout)), "head"),
  ]);
  const head = ["CPU-ms per call", "with", "without", "more", "ratio", "of rounds", "later: with", "without", "in all"];
  const took = (what: string, { count, meanMs, p50Ms, p99Ms }: Took) =>
    `${what}: ${count}, mean ${two(meanMs)} ms, p50 at most ${p50Ms}, p99 at most ${p99Ms}`;
  const setUp = (side: Side) => {
    const { p50Ms, p99Ms } = setUpOf(turns.steps[side]);
    return `${p50Ms.toFixed(0)} / ${p99Ms.toFixed(0)} ms ${side}`;
  };
  const of = (who: "sip-server" | "pop") => {
    const { groups, texts, bytes, waits, late } = written[who];
    return `${who}: ${two(groups)} groups, ${two(texts)} texts, ${kib(bytes)}, ${two(waits)} waited, ${two(late)} in vain`;
  };
  const rest = turns.steps.with.concat(turns.steps.without).map(({ steady }) => steady.restShare);
  return [
    `${paint.bold(plan.profile)}  ${plan.callsPerSecond} calls/s, ${plan.rounds} turns of ${plan.seconds} s each; others took ${two(Math.min(...rest))}-${two(Math.max(...rest))} of the machine`,
    grid([head.map((text) => cell(text, "head")), ...rows], paint),
    `INVITE to 200, p50 / p99: ${setUp("with")}, ${setUp("without")}`,
    `per call, ${of("sip-server")}`,
    `per call, ${of("pop")}`,
    `per call, Redis: ${kib(redis.bytesPerCall)} received; ${Object.entries(redis.commandsPerCall)
      .map(([name, count]) => `${name} ${two(count)}`)
      .join(", ")}`,
    took("messages that waited at the SIP server", waiting),
    took("its groups, to Redis's answer", writing),
  ].join("\n");
}
