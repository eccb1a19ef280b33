// One seed, run twice: what came of it, and how to see it again.

import { showFault } from "./faults.ts";
import { type RunOptions, type RunResult, simulate } from "./pair.ts";

export interface Verdict {
  readonly seed: number;
  /** undefined: nothing was broken, and both runs were the same. */
  readonly failure: string | undefined;
  readonly facts: RunResult["facts"];
  readonly digest: string;
}

export const commandOf = (seed: number, minutes: number): string =>
  `npm run sim -- --seed ${seed} --minutes ${minutes}`;

/** Equal histories are part of the verdict: a run that cannot be repeated cannot be believed. */
export async function judge(options: RunOptions): Promise<Verdict> {
  const first = await simulate(options);
  const failure =
    first.broken === undefined ? await difference(first, options) : showBroken(first, options.minutes ?? 1);
  return { seed: options.seed, failure, facts: first.facts, digest: first.digest };
}

async function difference(first: RunResult, options: RunOptions): Promise<string | undefined> {
  const second = await simulate(options);
  if (second.digest === first.digest) return undefined;
  const at = first.history.lines.findIndex((line, index) => line !== second.history.lines[index]);
  return [
    `seed ${options.seed}: two runs differ, first at line ${at + 1}:`,
    ...first.history.lines.slice(Math.max(0, at - 5), at + 3).map((line) => `  first   ${line}`),
    ...second.history.lines.slice(at, at + 3).map((line) => `  second  ${line}`),
    `again: npm run sim:twice -- --seed ${options.seed} --minutes ${options.minutes ?? 1}`,
  ].join("\n");
}

/** The faults, the ladder before the break, the invariant and the command. */
export function showBroken({ seed, faults, broken, history }: RunResult, minutes: number): string {
  if (broken === undefined) return "";
  const about = broken.about === undefined ? [] : history.last(40, broken.about);
  return [
    `seed ${seed}: ${broken.invariant} is broken at ${(broken.atMs / 1_000).toFixed(3)} s: ${broken.detail}`,
    "faults:",
    ...faults.map((fault) => `  ${showFault(fault)}`),
    ...(about.length > 0 ? [`what there is about ${broken.about}:`, ...about.map((line) => `  ${line}`)] : []),
    "the last that happened:",
    ...history.last(40).map((line) => `  ${line}`),
    `again: ${commandOf(seed, minutes)}`,
  ].join("\n");
}
