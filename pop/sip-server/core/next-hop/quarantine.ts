// Targets that failed, and when to trust them again. RFC 3263 §4.3 leaves it to us; RFC 3261 §21.5.4 for Retry-After.
//
//            failed                untilMs passed, tried          answered
//   fit ───────────► quarantined ────────────────────► probation ──────────► fit
//                         ▲                                 │ failed, or no word within PROBE_MS
//                         └───────── twice as long ─────────┘
//
// On probation one request goes there; all others go elsewhere until it is known what became of it.

import { type Target, targetKey } from "./hop.ts";

export type Standing =
  | {
      readonly name: "quarantined";
      readonly failures: number;
      readonly untilMs: number;
      /** The target itself asked to be left alone: what it still answers does not shorten that. */
      readonly asked: boolean;
    }
  | { readonly name: "probation"; readonly failures: number; readonly untilMs: number };

export type QuarantineInput =
  /** It could not be reached, or did not say a word; or 503 with the Retry-After it named. */
  | { readonly kind: "failed"; readonly retryAfterMs?: number }
  | { readonly kind: "answered" }
  /** A request is on its way there. */
  | { readonly kind: "tried" };

export const QUARANTINE_MS = 30_000;
export const QUARANTINE_MAX_MS = 600_000;
/** A Retry-After beyond this is not believed. */
export const RETRY_AFTER_MAX_MS = 3_600_000;
/** A request on probation is answered, or has timed out, by then (64·T1). */
export const PROBE_MS = 35_000;

/** @returns undefined: fit, nothing to remember */
export function step(standing: Standing | undefined, input: QuarantineInput, nowMs: number): Standing | undefined {
  switch (input.kind) {
    case "tried":
      if (standing === undefined || nowMs < standing.untilMs) return standing;
      return { name: "probation", failures: standing.failures, untilMs: nowMs + PROBE_MS };
    case "answered":
      return standing?.name === "quarantined" && standing.asked && nowMs < standing.untilMs ? standing : undefined;
    case "failed": {
      const failures = standing?.failures ?? 0;
      if (input.retryAfterMs !== undefined) {
        const untilMs = nowMs + Math.min(input.retryAfterMs, RETRY_AFTER_MAX_MS);
        return { name: "quarantined", failures, untilMs, asked: true };
      }
      // Many requests may have been under way when it died: they are one failure.
      if (standing?.name === "quarantined" && nowMs < standing.untilMs) return standing;
      const afterMs = Math.min(QUARANTINE_MS * 2 ** failures, QUARANTINE_MAX_MS);
      return { name: "quarantined", failures: failures + 1, untilMs: nowMs + afterMs, asked: false };
    }
  }
}

export const isFit = (standing: Standing | undefined, nowMs: number): boolean =>
  standing === undefined || nowMs >= standing.untilMs;

/** The targets that are not fit. Bounded: at the bound the one remembered longest is forgotten. */
export class Quarantine {
  readonly targetsMax: number;
  readonly #standings = new Map<string, Standing>();

  constructor(targetsMax: number) {
    this.targetsMax = targetsMax;
  }

  /** How many get no requests now. Forgets those that have been fit for long without being tried. */
  count(nowMs: number): number {
    let count = 0;
    for (const [key, standing] of this.#standings) {
      if (nowMs < standing.untilMs) count++;
      else if (nowMs > standing.untilMs + QUARANTINE_MAX_MS) this.#standings.delete(key);
    }
    return count;
  }

  isFit(target: Omit<Target, "domain">, nowMs: number): boolean {
    return this.#standings.size === 0 || isFit(this.#standings.get(targetKey(target)), nowMs);
  }

  /** Those that are fit first, each part in the order given; the others are a last resort. */
  order<T extends Omit<Target, "domain">>(targets: readonly T[], nowMs: number): readonly T[] {
    if (this.#standings.size === 0 || targets.length < 2) return targets;
    const fit = targets.filter((target) => this.isFit(target, nowMs));
    if (fit.length === targets.length) return targets;
    return [...fit, ...targets.filter((target) => !fit.includes(target))];
  }

  handle(target: Omit<Target, "domain">, input: QuarantineInput, nowMs: number): void {
    if (this.#standings.size === 0 && input.kind !== "failed") return;
    const key = targetKey(target);
    const standing = this.#standings.get(key);
    const next = step(standing, input, nowMs);
    if (next === standing) return;
    this.#standings.delete(key);
    if (next === undefined) return;
    this.#standings.set(key, next);
    if (this.#standings.size <= this.targetsMax) return;
    for (const oldest of this.#standings.keys()) {
      this.#standings.delete(oldest);
      return;
    }
  }
}
