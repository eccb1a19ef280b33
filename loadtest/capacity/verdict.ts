// What the steps say: which of them were clean, and what the limit was. Pure.

import type { Step } from "./measurements.ts";

/** Above this the generator is measured, and not what it drives. */
export const SIPP_SHARE_MAX = 0.7;
/** Above this whatever else is measured is the machine. */
export const BUSY_SHARE_MAX = 0.95;
const RATE_KEPT_MIN = 0.95;
/** One in a hundred calls: a machine that others use loses the odd datagram. */
const RETRANSMISSIONS_PER_CALL_MAX = 0.01;

/** What is wrong with a step: faults are ours, `sipp` makes it void, `cores` explains either. */
export interface StepJudged {
  readonly faults: readonly string[];
  readonly sipp: string | undefined;
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
  const sipp =
    steady.sippShare > SIPP_SHARE_MAX
      ? `SIPp took ${percent(steady.sippShare)} of a core`
      : faults.length === 0 && rate < callsPerSecond * RATE_KEPT_MIN
        ? `SIPp kept only ${rate.toFixed(0)} of ${callsPerSecond} calls/s`
        : undefined;
  return {
    faults,
    sipp,
    cores: steady.busyShare > BUSY_SHARE_MAX ? `cores full (${percent(steady.busyShare)})` : undefined,
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
export const isLast = (judged: StepJudged): boolean => judged.faults.length > 0 || judged.sipp !== undefined;

/** @param outOfTime the steps ended because the run's time was over */
export function verdictOf(steps: readonly Step[], outOfTime = false): Verdict {
  const judged = steps.map((step) => ({ step, ...judgeStep(step) }));
  const clean = judged.filter((one) => !isLast(one)).at(-1)?.step.callsPerSecond ?? 0;
  const last = judged.find(isLast);
  const worked = judged[0] !== undefined && judged[0].faults.length === 0;
  const full = judged.find(({ cores }) => cores !== undefined);
  const limit = (): string => {
    if (last === undefined && full !== undefined)
      return `limit not found, though from ${full.step.callsPerSecond}/s on both cores were full`;
    if (last === undefined)
      return outOfTime ? "limit not found: time was over" : "limit not found: it is above the highest rate";
    const why = [...last.faults, last.cores].filter((reason) => reason !== undefined).join("; ");
    if (last.sipp !== undefined)
      return `the step at ${last.step.callsPerSecond}/s is void, the limit was SIPp: ${[last.sipp, why].filter((text) => text !== "").join("; ")}`;
    return `limit at ${last.step.callsPerSecond}/s: ${why}`;
  };
  const begin = clean > 0 ? `clean to ${clean} calls/s` : "no rate was clean";
  return { worked, cleanCallsPerSecond: clean, line: steps.length === 0 ? "no step was run" : `${begin}; ${limit()}` };
}
