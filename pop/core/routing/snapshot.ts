// What a POP knows about its tenants: one consistent, numbered whole. The POP's own words for proto tenant_config/v1.

import type { EntryPointId, FlowId, QueueId, TenantId, TrunkId } from "../../../kernel/ids.ts";
import type { Flow } from "../ivr/flow.ts";
import type { Prompt } from "../media/prompt.ts";

export interface Snapshot {
  readonly version: number;
  readonly madeAtUnixMs: number;
  readonly tenants: readonly Tenant[];
  readonly trunks: readonly Trunk[];
  readonly numbers: readonly DialledNumber[];
  readonly entryPoints: readonly EntryPoint[];
  readonly flows: readonly Flow[];
  readonly queues: readonly Queue[];
  /** Where agents' phones live: they may send us requests without being a trunk. */
  readonly agentSourceCidrs: readonly string[];
}

export interface Tenant {
  readonly id: TenantId;
  readonly name: string;
  /** Played before the call is released, when a flow cannot go on. */
  readonly defaultTreatment: readonly Prompt[];
  /** 0: no limit of its own. */
  readonly callsConcurrentMax: number;
}

export interface Trunk {
  readonly id: TrunkId;
  readonly tenantId: TenantId;
  /** IPv4 or IPv6 CIDRs of the carrier; the longest prefix over all trunks wins. */
  readonly sourceCidrs: readonly string[];
  readonly callsPerSecondMax: number;
  readonly callsConcurrentMax: number;
  /** "sip:127.20.0.1:5060"; undefined: inbound only. */
  readonly outboundUri: string | undefined;
}

export interface DialledNumber {
  readonly number: string;
  readonly tenantId: TenantId;
  readonly entryPointId: EntryPointId;
}

export interface EntryPoint {
  readonly id: EntryPointId;
  readonly tenantId: TenantId;
  readonly name: string;
  readonly flowId: FlowId;
  readonly flowVersion: number;
}

export interface Queue {
  readonly id: QueueId;
  readonly tenantId: TenantId;
  readonly name: string;
  readonly music: Prompt | undefined;
}

/** Something in a snapshot that this POP cannot use, and where. */
export interface SnapshotMistake {
  /** "flows[acme/support@3].activities[menu].choices[1]" */
  readonly path: string;
  readonly message: string;
}
