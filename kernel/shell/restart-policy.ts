// Whether a process that died is started again, and when. Pure.

import { type BackoffPolicy, backoffMs } from "../backoff.ts";
import type { Rng } from "../rng.ts";

export const RESTART_BACKOFF: BackoffPolicy = { firstMs: 100, factor: 2, waitMsMax: 5_000, jitter: 0.2 };

/** So many deaths within the window, and the supervisor stops trying: it would only fill the log. */
export const DEATHS_MAX = 6;
export const DEATH_WINDOW_MS = 60_000;

export type RestartDecision =
  | { readonly kind: "restart"; readonly afterMs: number }
  | { readonly kind: "give-up"; readonly deaths: number };

/** @param deathsAtMs times of all its deaths, this one included, oldest first */
export function afterDeath(deathsAtMs: readonly number[], nowMs: number, rng: Rng): RestartDecision {
  const recent = deathsAtMs.filter((atMs) => nowMs - atMs < DEATH_WINDOW_MS).length;
  if (recent >= DEATHS_MAX) return { kind: "give-up", deaths: recent };
  return { kind: "restart", afterMs: backoffMs(RESTART_BACKOFF, recent - 1, rng) };
}
