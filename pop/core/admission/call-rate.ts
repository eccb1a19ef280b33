// Calls per second as a token bucket, one second deep. Counted in thousandths of a call and whole milliseconds, so
// that no rounding ever gives a call away.

import type { InstantMs } from "../../../kernel/time.ts";

export interface CallRate {
  readonly thousandths: number;
  readonly atMs: InstantMs;
}

const ONE_CALL = 1_000;
const ONE_SECOND_MS = 1_000;

export const fullRate = (callsPerSecondMax: number, nowMs: InstantMs): CallRate => ({
  thousandths: callsPerSecondMax * ONE_CALL,
  atMs: Math.floor(nowMs),
});

/**
 * In any window of t seconds never more than `callsPerSecondMax` × (t + 1) calls.
 * @returns undefined: too fast, nothing is taken
 */
export function takeCall(rate: CallRate, callsPerSecondMax: number, nowMs: InstantMs): CallRate | undefined {
  const atMs = Math.floor(nowMs);
  // A clock that went back is another process's (a restored state): it began after that one ended, so begin anew.
  // To count on from the old instant would close the trunk until the new clock has come that far.
  const elapsedMs = atMs < rate.atMs ? ONE_SECOND_MS : atMs - rate.atMs;
  const filled = Math.min(callsPerSecondMax * ONE_CALL, rate.thousandths + elapsedMs * callsPerSecondMax);
  return filled < ONE_CALL ? undefined : { thousandths: filled - ONE_CALL, atMs };
}
