// What SIPp writes down, as values. Pure.

export interface SippStatistics {
  readonly created: number;
  readonly successful: number;
  readonly failed: number;
  /** Why calls failed, by SIPp's own counters: only those above zero. */
  readonly failures: Readonly<Record<string, number>>;
  readonly retransmissions: number;
}

/** The last row of a -trace_stat file; counters that a version of SIPp lacks count as zero. */
export function readStatistics(csv: string): SippStatistics | undefined {
  const lines = csv.split("\n").filter((line) => line.trim() !== "");
  const head = lines[0]?.split(";");
  const last = lines.length > 1 ? lines.at(-1)?.split(";") : undefined;
  if (head === undefined || last === undefined) return undefined;
  const count = (name: string): number => Number(last[head.indexOf(name)] ?? 0) || 0;
  const failures: Record<string, number> = {};
  for (const name of head) {
    const why = /^Failed(\w+)\(C\)$/.exec(name)?.[1];
    if (why !== undefined && why !== "Call" && count(name) > 0) failures[why] = count(name);
  }
  return {
    created: count("TotalCallCreated"),
    successful: count("SuccessfulCall(C)"),
    failed: count("FailedCall(C)"),
    failures,
    retransmissions: count("Retransmissions(C)"),
  };
}

export interface Percentiles {
  readonly count: number;
  readonly p50Ms: number;
  readonly p90Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

/** Every measured time of a -trace_rtt file: from `start_rtd` to `rtd` in the scenario. */
export function readResponseTimes(csv: string): readonly number[] {
  return csv
    .split("\n")
    .slice(1)
    .map((line) => line.split(";")[1] ?? "")
    .filter((text) => text.trim() !== "")
    .map(Number)
    .filter((ms) => !Number.isNaN(ms));
}

export function percentiles(timesMs: readonly number[]): Percentiles | undefined {
  if (timesMs.length === 0) return undefined;
  const sorted = timesMs.toSorted((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? 0;
  return { count: sorted.length, p50Ms: at(0.5), p90Ms: at(0.9), p99Ms: at(0.99), maxMs: sorted.at(-1) ?? 0 };
}
