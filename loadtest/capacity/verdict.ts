// What the steps say: which of them were clean, and what the limit was. Pure.

import type { Step } from "./measurements.ts";

/** Above this the generator is measured, and not what it drives. */
export const SIPP_SHARE_MAX = 0.7;
/** Above this whatever else is measured is the machine. */
export const BUSY_SHARE_MAX = 0.95;
const RATE_KEPT_MIN = 0.95;
/** One in a hundred calls: a machine that others use loses the odd datagram. */
const RETRANSMISSIONS_PER_CALL_MAX = 0.01;

/** What is wrong with a step: faults are ours; `spoilt` makes it void, it measured something else; `cores` explains either. */
export interface StepJudged {
  readonly faults: readonly string[];
  readonly spoilt: string | undefined;
  readonly cores: string | undefined;
}

const percent = (share: number): string => `${Math.round(share * 100)} %`;

export function judgeStep(step: Step): StepJudged {
  const { calls, failed, failures, bridged, successful, retransmissions, leftUp, steady, callsPerSecond } = step;
  const faults: string[] = [];
  const unfinished = Math.max(0, calls - successful - failed);
  if (failed > 0)
    faults.push(`${failed} of ${calls} calls failed (${Object.keys(failures).join(", ") || "no reason"})`);
  if (unfinished > 0) faults.push(`${unfinished} of ${calls} calls were not over in time`);
  if (bridged !== undefined && bridged < successful) faults.push(`${successful - bridged} calls were not bridged`);
  if (leftUp > 0) faults.push(`${leftUp} calls were left up`);
  if (retransmissions > calls * RETRANSMISSIONS_PER_CALL_MAX)
    faults.push(`${retransmissions} retransmissions for ${calls} calls`);
  const rate = steady.answered / Math.max(0.001, steady.seconds);
  const spoilt =
    steady.sippShare > SIPP_SHARE_MAX
      ? `SIPp was the limit, it took ${percent(steady.sippShare)} of a core`
      : faults.length === 0 && rate < callsPerSecond * RATE_KEPT_MIN
        ? `only ${rate.toFixed(0)} of ${callsPerSecond} calls/s came about`
        : undefined;
  const full = steady.busyShare + steady.stolenShare > BUSY_SHARE_MAX;
  const byOthers = percent(steady.restShare + steady.stolenShare);
  return {
    faults,
    spoilt,
    cores: full ? `the cores were full, ${byOthers} of them not by what is measured` : undefined,
  };
}

export interface Verdict {
  /** The lowest rate worked. */
  readonly worked: boolean;
  /** 0: none. */
  readonly cleanCallsPerSecond: number;
  readonly line: string;
}

/** No step above this one is worth running. */
export const isLast = (judged: StepJudged): boolean => judged.faults.length > 0 || judged.spoilt !== undefined;

/** "stopped": at a step that was not clean. A message: why it was broken off. */
export type RunEnd = "done" | "stopped" | "out-of-time" | { readonly brokenOff: string };

export function verdictOf(steps: readonly Step[], ended: RunEnd): Verdict {
  const judged = steps.map((step) => ({ step, ...judgeStep(step) }));
  const clean = judged.filter((one) => !isLast(one)).at(-1)?.step.callsPerSecond ?? 0;
  const brokenOff = typeof ended === "object" ? ended.brokenOff : undefined;
  const worked = brokenOff === undefined && judged[0] !== undefined && judged[0].faults.length === 0;
  const begin = clean > 0 ? `clean to ${clean} calls/s` : "no rate was clean";
  const limit = brokenOff === undefined ? limitOf(judged, ended) : `broken off: ${brokenOff}`;
  return { worked, cleanCallsPerSecond: clean, line: `${begin}; ${limit}` };
}

function limitOf(judged: readonly (StepJudged & { readonly step: Step })[], ended: RunEnd): string {
  const last = judged.find(isLast);
  if (last !== undefined) {
    const { callsPerSecond } = last.step;
    const why = [last.spoilt, ...last.faults, last.cores].filter((reason) => reason !== undefined).join("; ");
    return last.spoilt === undefined
      ? `limit at ${callsPerSecond}/s: ${why}`
      : `the step at ${callsPerSecond}/s is void: ${why}`;
  }
  const full = judged.find(({ cores }) => cores !== undefined);
  if (full !== undefined) return `limit not found, though at ${full.step.callsPerSecond}/s ${full.cores}`;
  return ended === "out-of-time" ? "limit not found: time was over" : "limit not found: above the highest rate";
}
