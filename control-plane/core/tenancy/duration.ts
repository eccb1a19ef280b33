import { z } from "zod";

const UNIT_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 } as const;
const SHAPE = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/;

/**
 * A duration as people write it: a number and its unit, `500ms`, `20s`, `2m`, `1h`. The one rule: the unit is never left out.
 * Parses to whole milliseconds within the given range.
 */
export const duration = (range: { readonly minMs: number; readonly maxMs: number }) =>
  z
    .string("a duration with its unit, in quotes or not: 500ms, 20s, 2m, 1h")
    .regex(SHAPE, "a duration with its unit: 500ms, 20s, 2m, 1h")
    .transform(toMs)
    .refine((ms) => ms >= range.minMs && ms <= range.maxMs, {
      error: `between ${showDuration(range.minMs)} and ${showDuration(range.maxMs)}`,
    });

function toMs(text: string): number {
  const [, amount = "0", unit = "ms"] = SHAPE.exec(text) ?? [];
  return Math.round(Number(amount) * UNIT_MS[unit as keyof typeof UNIT_MS]);
}

/** 90000 → "90s", 120000 → "2m": the largest unit that keeps it whole. */
export function showDuration(ms: number): string {
  for (const unit of ["h", "m", "s"] as const)
    if (ms !== 0 && ms % UNIT_MS[unit] === 0) return `${ms / UNIT_MS[unit]}${unit}`;
  return `${ms}ms`;
}
