// The machine's monotonic clock: the same in all of its processes, not moved by anybody who sets the time.

import type { InstantMs } from "../time.ts";

/** ms, with fractions. What a keeper and its processes mean by a moment. */
export const monotonicMs = (): number => Number(process.hrtime.bigint()) / 1e6;

/** A moment of the machine's clock as `performance.now()` of this process counts it. */
export const toOwnClock = (machineMs: number): InstantMs => machineMs - (monotonicMs() - performance.now());
