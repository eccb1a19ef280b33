// Why a call did not happen, or stopped. The codes are stable: contact records, logs, metrics and dashboards quote them.

import type { TenantId, TrunkId } from "../../../kernel/ids.ts";
import type { MediaFailure } from "../media/media-failure.ts";

export type CallFailure =
  | { readonly code: "source.unknown" }
  | { readonly code: "trunk.at-capacity"; readonly trunkId: TrunkId; readonly limit: number }
  | { readonly code: "trunk.too-fast"; readonly trunkId: TrunkId; readonly callsPerSecondMax: number }
  | { readonly code: "tenant.at-capacity"; readonly tenantId: TenantId; readonly limit: number }
  | { readonly code: "pop.at-capacity"; readonly limit: number }
  | { readonly code: "pop.draining" }
  | { readonly code: "pop.no-snapshot" }
  | { readonly code: "number.unknown" }
  | { readonly code: "number.unusable" }
  | { readonly code: "sip.too-many-hops" }
  | { readonly code: "sip.no-offer" }
  | MediaFailure;

/** Who has to act, and what the caller's side is told. `retryAfterSeconds` only with 503. */
export interface Verdict {
  readonly blame: "caller" | "trunk" | "us";
  /** 0: nothing is answered at all. */
  readonly sipStatus: number;
  readonly retryAfterSeconds?: number;
}
