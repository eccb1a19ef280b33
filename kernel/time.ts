// Time as an input. The core is told what time it is; only the shell reads a clock.

import type { UnixMs } from "./units.ts";

/** Milliseconds since an arbitrary origin. Only differences mean anything. */
export type InstantMs = number;

/** The only way the shell learns what time it is. */
export interface Clock {
  /** Monotonic: never goes back, origin unknown. */
  nowMs(): InstantMs;
  /** Wall clock, for records; may jump. */
  unixMs(): UnixMs;
}

export const systemClock: Clock = { nowMs: () => performance.now(), unixMs: () => Date.now() };

/**
 * Deadlines by timer name. A machine says "start A for 500"; this table keeps
 * when that falls due, and the shell sleeps until the earliest of them.
 * For the handful of timers of one machine: every look is linear.
 */
export class TimerTable<Name extends string> {
  readonly #dueAt = new Map<Name, InstantMs>();

  start(name: Name, dueAtMs: InstantMs): void {
    this.#dueAt.set(name, dueAtMs);
  }

  stop(name: Name): void {
    this.#dueAt.delete(name);
  }

  has(name: Name): boolean {
    return this.#dueAt.has(name);
  }

  entries(): [Name, InstantMs][] {
    return [...this.#dueAt];
  }

  /** Earliest deadline, or undefined when no timer is running. */
  nextDueAtMs(): InstantMs | undefined {
    let earliest: InstantMs | undefined;
    for (const at of this.#dueAt.values()) if (earliest === undefined || at < earliest) earliest = at;
    return earliest;
  }

  /** Removes and returns the earliest timer due at `nowMs`: what it leads to may stop the next one. */
  takeFirstDue(nowMs: InstantMs): Name | undefined {
    let first: [Name, InstantMs] | undefined;
    for (const entry of this.#dueAt)
      if (entry[1] <= nowMs && (first === undefined || entry[1] < first[1])) first = entry;
    if (first !== undefined) this.#dueAt.delete(first[0]);
    return first?.[0];
  }

  /** Removes and returns the timers due at `nowMs`, earliest first. */
  takeDue(nowMs: InstantMs): Name[] {
    const due = [...this.#dueAt].filter(([, at]) => at <= nowMs).sort(([, a], [, b]) => a - b);
    for (const [name] of due) this.#dueAt.delete(name);
    return due.map(([name]) => name);
  }
}
