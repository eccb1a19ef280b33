import type { Rng } from "./rng.ts";

/** How long to wait between tries. Pure: the caller keeps the count. */
export interface BackoffPolicy {
  readonly firstMs: number;
  readonly factor: number;
  readonly waitMsMax: number;
  /** Share of the wait that chance decides, 0 … 1: so that a thousand clients do not come back at once. */
  readonly jitter: number;
}

export const GENTLE_BACKOFF: BackoffPolicy = { firstMs: 200, factor: 2, waitMsMax: 5_000, jitter: 0.5 };

/** Wait before try number `attempt` (0 = the first retry), ms. Never above `waitMsMax`. */
export function backoffMs(policy: BackoffPolicy, attempt: number, rng: Rng): number {
  const full = Math.min(policy.waitMsMax, policy.firstMs * policy.factor ** Math.max(0, attempt));
  return full * (1 - policy.jitter + policy.jitter * rng.next());
}
