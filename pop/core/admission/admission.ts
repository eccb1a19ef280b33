// Whether a new call is let in. Requests within a dialog never come here: a call that is up is never refused.
//
// A. A call counts from its admission to its release, against the trunk and tenant it came in by, whatever
//    snapshots come in between; released twice it counts once.
// B. A refused call changes nothing: it takes no place and no token.

import type { CallId, TenantId, TrunkId } from "../../../kernel/ids.ts";
import { fail, type Outcome, succeed } from "../../../kernel/outcome.ts";
import type { InstantMs } from "../../../kernel/time.ts";
import type { CallFailure } from "../failure/call-failure.ts";
import { keyOf, type RoutingTable } from "../routing/routing-table.ts";
import type { Trunk } from "../routing/snapshot.ts";
import { type CallRate, fullRate, takeCall } from "./call-rate.ts";
import { emptyRecord, type ShardedRecord, valueAt, without, withValue } from "./sharded-record.ts";

/** Plain JSON data. */
export interface AdmissionState {
  readonly count: number;
  readonly calls: ShardedRecord<CountedCall>;
  /** By keyOf. An entry stays when its calls are gone: its rate is still of interest. */
  readonly trunks: ShardedRecord<{ readonly calls: number; readonly rate: CallRate }>;
  readonly tenants: ShardedRecord<number>;
}

interface CountedCall {
  readonly tenantId: TenantId;
  readonly trunkId: TrunkId;
}

export interface NewCall {
  readonly call: CallId;
  /** "192.0.2.7", "2001:db8::7", "::ffff:192.0.2.7" */
  readonly sourceAddress: string;
  readonly nowMs: InstantMs;
  readonly table: RoutingTable | undefined;
  readonly draining: boolean;
  /** Of this host. */
  readonly callsConcurrentMax: number;
}

export interface Admitted {
  readonly trunk: Trunk;
  readonly state: AdmissionState;
}

export const noCalls: AdmissionState = {
  count: 0,
  calls: emptyRecord(),
  trunks: emptyRecord(),
  tenants: emptyRecord(),
};

/**
 * @fails pop.no-snapshot; source.unknown: to be dropped without an answer; pop.draining, pop.at-capacity,
 *   tenant.at-capacity, trunk.at-capacity, trunk.too-fast: 503 with Retry-After
 */
export function admit(state: AdmissionState, input: NewCall): Outcome<Admitted, CallFailure> {
  const { call, sourceAddress, nowMs, table, draining, callsConcurrentMax } = input;
  if (table === undefined) return fail({ code: "pop.no-snapshot" });
  const trunk = table.trunkOfSource(sourceAddress);
  if (trunk === undefined) return fail({ code: "source.unknown" });
  if (valueAt(state.calls, call) !== undefined) return succeed({ trunk, state }); // asked again
  if (draining) return fail({ code: "pop.draining" });
  if (state.count >= callsConcurrentMax) return fail({ code: "pop.at-capacity", limit: callsConcurrentMax });

  const { tenantId, id: trunkId } = trunk;
  const ofTenant = valueAt(state.tenants, tenantId) ?? 0;
  const tenantLimit = table.tenant(tenantId)?.callsConcurrentMax ?? 0; // 0: none of its own
  if (tenantLimit > 0 && ofTenant >= tenantLimit) {
    return fail({ code: "tenant.at-capacity", tenantId, limit: tenantLimit });
  }
  const { callsPerSecondMax } = trunk;
  const key = keyOf(tenantId, trunkId);
  const ofTrunk = valueAt(state.trunks, key) ?? { calls: 0, rate: fullRate(callsPerSecondMax, nowMs) };
  if (ofTrunk.calls >= trunk.callsConcurrentMax) {
    return fail({ code: "trunk.at-capacity", trunkId, limit: trunk.callsConcurrentMax });
  }
  const rate = takeCall(ofTrunk.rate, callsPerSecondMax, nowMs);
  if (rate === undefined) return fail({ code: "trunk.too-fast", trunkId, callsPerSecondMax });
  return succeed({
    trunk,
    state: {
      count: state.count + 1,
      calls: withValue(state.calls, call, { tenantId, trunkId }),
      trunks: withValue(state.trunks, key, { calls: ofTrunk.calls + 1, rate }),
      tenants: withValue(state.tenants, tenantId, ofTenant + 1),
    },
  });
}

/** A call that an earlier process let in: it counts, whatever the bounds are by now, and takes no token. */
export function readmit(
  state: AdmissionState,
  call: CallId,
  { tenantId, trunkId }: CountedCall,
  callsPerSecondMax: number,
  nowMs: InstantMs,
): AdmissionState {
  if (valueAt(state.calls, call) !== undefined) return state;
  const key = keyOf(tenantId, trunkId);
  const ofTrunk = valueAt(state.trunks, key) ?? { calls: 0, rate: fullRate(callsPerSecondMax, nowMs) };
  return {
    count: state.count + 1,
    calls: withValue(state.calls, call, { tenantId, trunkId }),
    trunks: withValue(state.trunks, key, { ...ofTrunk, calls: ofTrunk.calls + 1 }),
    tenants: withValue(state.tenants, tenantId, (valueAt(state.tenants, tenantId) ?? 0) + 1),
  };
}

/** Safe to repeat, and safe for a call that was never admitted. */
export function release(state: AdmissionState, call: CallId): AdmissionState {
  const counted = valueAt(state.calls, call);
  if (counted === undefined) return state;
  const { tenantId, trunkId } = counted;
  const key = keyOf(tenantId, trunkId);
  const ofTrunk = valueAt(state.trunks, key);
  const ofTenant = (valueAt(state.tenants, tenantId) ?? 1) - 1;
  return {
    count: state.count - 1,
    calls: without(state.calls, call),
    trunks:
      ofTrunk === undefined ? state.trunks : withValue(state.trunks, key, { ...ofTrunk, calls: ofTrunk.calls - 1 }),
    tenants: ofTenant > 0 ? withValue(state.tenants, tenantId, ofTenant) : without(state.tenants, tenantId),
  };
}

/** For metrics and people. */
export const callsOfTrunk = (state: AdmissionState, tenantId: TenantId, trunkId: TrunkId): number =>
  valueAt(state.trunks, keyOf(tenantId, trunkId))?.calls ?? 0;
