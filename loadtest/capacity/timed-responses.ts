// SIPp's -trace_rtt file with the times in it. Pure.

export interface TimedResponse {
  /** Since SIPp's start. */
  readonly atMs: number;
  readonly tookMs: number;
  /** The scenario's number for what was timed. */
  readonly kind: number;
}

/** "Date_ms;response_time_ms;rtd_no", the first since SIPp's start. */
export function readTimedResponses(csv: string): readonly TimedResponse[] {
  return csv
    .split("\n")
    .slice(1)
    .filter((line) => line.trim() !== "")
    .map((line) => line.split(";").map(Number))
    .filter(([atMs, tookMs]) => Number.isFinite(atMs) && Number.isFinite(tookMs))
    .map(([atMs = 0, tookMs = 0, kind = 1]) => ({ atMs, tookMs, kind }));
}
