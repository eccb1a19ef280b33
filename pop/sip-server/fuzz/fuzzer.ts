// The loop: make or change an input, run it, keep what reaches new code, shrink what breaks.

import { Chance } from "./chance.ts";
import type { Coverage } from "./coverage.ts";
import type { Target } from "./target.ts";

export interface FuzzOptions {
  readonly seed: number;
  /** Whichever comes first. */
  readonly inputsMax: number;
  readonly untilMs: number;
  /** Asked after each batch; undefined: no guidance. */
  readonly coverage: Coverage | undefined;
  readonly corpus: readonly string[];
  onProgress?(facts: Progress): void;
}

export interface Progress {
  readonly inputs: number;
  readonly bytes: number;
  readonly blocks: number;
  readonly corpus: number;
  readonly findings: number;
}

export interface Finding {
  readonly input: string;
  readonly error: string;
}

export interface FuzzResult extends Progress {
  readonly found: readonly Finding[];
  /** Inputs that reached code no earlier one had, in the order they were found. */
  readonly kept: readonly string[];
}

/** Far above what any input within bounds costs, far below what a person would call a hang. */
const SLOW_MS = 400;
const BATCH = 500;
const FINDINGS_MAX = 20;
const POOL_MAX = 4_000;

export async function fuzz(target: Target, options: FuzzOptions): Promise<FuzzResult> {
  const chance = new Chance(options.seed);
  const { coverage } = options;
  const pool = [...target.seeds, ...options.corpus];
  const kept: string[] = [];
  const found: Finding[] = [];
  let inputs = 0;
  let bytes = 0;

  const tryOne = async (input: string): Promise<void> => {
    inputs++;
    bytes += input.length;
    const error = await errorOf(target, input);
    if (error === undefined) return;
    // One finding for each place that throws.
    if (found.some((known) => whereOf(known.error) === whereOf(error))) return;
    const small = await minimise(target, input, error);
    found.push({ input: small, error });
  };
  const progress = (): Progress => ({
    inputs,
    bytes,
    blocks: coverage?.blocks ?? 0,
    corpus: kept.length,
    findings: found.length,
  });

  for (const input of pool) await tryOne(input);
  coverage?.fresh(true);
  while (inputs < options.inputsMax && performance.now() < options.untilMs && found.length < FINDINGS_MAX) {
    const batch: string[] = [];
    while (batch.length < BATCH && inputs < options.inputsMax && performance.now() < options.untilMs) {
      const input = chance.one(3) ? target.make(chance) : target.mutate(chance.of(pool), chance.of(pool), chance);
      batch.push(input);
      await tryOne(input);
    }
    if (coverage !== undefined && coverage.fresh(false) > 0) {
      const input = await whoReached(target, batch, coverage);
      if (input !== undefined) {
        kept.push(input);
        if (pool.length < POOL_MAX) pool.push(input);
        else pool[chance.below(pool.length)] = input;
      }
    }
    options.onProgress?.(progress());
  }
  return { ...progress(), found, kept };
}

/** The one of the batch that reached new code: by halves. What a later one reached besides is found another time. */
async function whoReached(target: Target, batch: readonly string[], coverage: Coverage): Promise<string | undefined> {
  let candidates = batch;
  while (candidates.length > 1) {
    const half = candidates.slice(0, candidates.length >> 1);
    for (const input of half) await errorOf(target, input);
    candidates = coverage.fresh(false) > 0 ? half : candidates.slice(candidates.length >> 1);
  }
  const [input] = candidates;
  if (input === undefined) return undefined;
  coverage.fresh(false);
  await errorOf(target, input);
  return coverage.fresh(true) > 0 ? input : undefined;
}

export async function errorOf(target: Target, input: string): Promise<string | undefined> {
  let leastMs = Number.POSITIVE_INFINITY;
  // Of the processor, not of the clock, and the best of three: a machine that was busy with something else is no finding.
  for (let times = 0; times < 3; times++) {
    const from = process.cpuUsage();
    try {
      const running = target.run(input);
      if (running !== undefined) await running;
    } catch (error) {
      return error instanceof Error ? (error.stack ?? error.message) : String(error);
    }
    const { user, system } = process.cpuUsage(from);
    leastMs = Math.min(leastMs, (user + system) / 1_000);
    if (leastMs < SLOW_MS) return undefined;
  }
  return `slow: ${Math.round(leastMs)} ms for ${input.length} bytes`;
}

/** The message without its numbers, and the first line of our own code. */
function whereOf(error: string): string {
  const [first = "", ...frames] = error.split("\n");
  return `${first.replace(/\d+|"[^"]*"/g, "#").slice(0, 60)} ${frames.find((frame) => frame.includes("/pop/sip-server/") && !frame.includes("/fuzz/")) ?? ""}`;
}

async function minimise(target: Target, input: string, error: string): Promise<string> {
  const where = whereOf(error);
  const untilMs = performance.now() + 10_000;
  let best = input;
  for (let progress = true; progress && performance.now() < untilMs; ) {
    progress = false;
    for (const candidate of target.smaller(best)) {
      if (performance.now() >= untilMs) break;
      if (candidate.length >= best.length) continue;
      const other = await errorOf(target, candidate);
      if (other === undefined || whereOf(other) !== where) continue;
      best = candidate;
      progress = true;
      break;
    }
  }
  return best;
}
