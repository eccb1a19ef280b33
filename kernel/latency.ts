// How long things took, counted in buckets: no list of values grows.

/** Upper bounds, ms. */
export const LATENCY_BUCKETS_MS = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000] as const;

export interface Buckets {
  /** How many fell below each bound and above the one before; last: beyond all. */
  readonly counts: Iterable<number>;
  readonly boundsMs: readonly number[];
  readonly sumMs: number;
}

export class Latency implements Buckets {
  /** One more than the bounds: what was longer than all of them. */
  readonly counts = new Float64Array(LATENCY_BUCKETS_MS.length + 1);
  readonly boundsMs: readonly number[] = LATENCY_BUCKETS_MS;
  sumMs = 0;

  observe(ms: number): void {
    let at = 0;
    for (const bound of LATENCY_BUCKETS_MS) {
      if (ms <= bound) break;
      at++;
    }
    this.counts[at] = (this.counts[at] ?? 0) + 1;
    this.sumMs += ms;
  }
}
