// Quantities whose unit is not obvious from a number. Durations are plain
// numbers with the unit at the end of the name: `t1Ms`, `sessionExpiresSeconds`.

/** Milliseconds since 1970-01-01T00:00:00Z: for records that people read. Never for measuring a duration. */
export type UnixMs = number;

export const MS_PER_SECOND = 1_000;
export const msToSeconds = (ms: number): number => ms / MS_PER_SECOND;

/** "1.2 s", "350 ms": for people. */
export const showMs = (ms: number): string =>
  ms >= MS_PER_SECOND ? `${(ms / MS_PER_SECOND).toFixed(1)} s` : `${Math.round(ms)} ms`;
