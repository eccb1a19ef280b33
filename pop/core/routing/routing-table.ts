// What a snapshot is compiled to: look-ups only, every reference in it proven. Made by compile-snapshot.ts.

import type { FlowId, QueueId, TenantId, TrunkId } from "../../../kernel/ids.ts";
import type { Flow } from "../ivr/flow.ts";
import type { Prompt } from "../media/prompt.ts";
import { parseIp } from "./ip-address.ts";
import type { PrefixTable } from "./prefix-table.ts";
import type { DialledNumber, EntryPoint, Queue, Tenant, Trunk } from "./snapshot.ts";

export interface RoutingEntries {
  readonly version: number;
  readonly tenants: ReadonlyMap<string, Tenant>;
  /** The keys of all below are from keyOf: ids need only be unique within their tenant. */
  readonly trunks: ReadonlyMap<string, Trunk>;
  readonly numbers: ReadonlyMap<string, DialledNumber>;
  readonly entryPoints: ReadonlyMap<string, EntryPoint>;
  readonly flows: ReadonlyMap<string, Flow>;
  readonly queues: ReadonlyMap<string, Queue>;
  readonly trunkSources: PrefixTable<Trunk>;
  readonly agentSources: PrefixTable<true>;
  /** Every CIDR that may send us anything, trunks and agents' phones. */
  readonly allowList: readonly string[];
}

/** Ids hold no "/". */
export const keyOf = (tenantId: TenantId, id: string, version?: number): string =>
  version === undefined ? `${tenantId}/${id}` : `${tenantId}/${id}@${version}`;

export class RoutingTable {
  readonly #entries: RoutingEntries;
  /** The first of each tenant, in the snapshot's order, that has an outboundUri. */
  readonly #outbound = new Map<TenantId, Trunk>();

  constructor(entries: RoutingEntries) {
    this.#entries = entries;
    for (const trunk of entries.trunks.values()) {
      if (trunk.outboundUri !== undefined && !this.#outbound.has(trunk.tenantId)) {
        this.#outbound.set(trunk.tenantId, trunk);
      }
    }
  }

  get version(): number {
    return this.#entries.version;
  }

  get allowList(): readonly string[] {
    return this.#entries.allowList;
  }

  tenant(id: TenantId): Tenant | undefined {
    return this.#entries.tenants.get(id);
  }

  trunk(tenant: TenantId, id: TrunkId): Trunk | undefined {
    return this.#entries.trunks.get(keyOf(tenant, id));
  }

  /** @param number as configured: "+4989123456" or digits; see resolve-number.ts for what a carrier sends */
  numberToEntryPoint(tenant: TenantId, number: string): EntryPoint | undefined {
    const dialled = this.#entries.numbers.get(keyOf(tenant, number));
    return dialled === undefined ? undefined : this.#entries.entryPoints.get(keyOf(tenant, dialled.entryPointId));
  }

  /** A call asks with the version it began with; a newer snapshot may not have it any more. */
  flow(tenant: TenantId, id: FlowId, version: number): Flow | undefined {
    return this.#entries.flows.get(keyOf(tenant, id, version));
  }

  queueMusic(tenant: TenantId, queue: QueueId): Prompt | undefined {
    return this.#entries.queues.get(keyOf(tenant, queue))?.music;
  }

  /** The trunk asked for, if it can dial out, else none; asked for none, any of the tenant's that can. */
  outboundTrunk(tenant: TenantId, id: TrunkId | undefined): Trunk | undefined {
    if (id === undefined) return this.#outbound.get(tenant);
    const trunk = this.trunk(tenant, id);
    return trunk?.outboundUri === undefined ? undefined : trunk;
  }

  /** Longest prefix over all trunks. An address that cannot be read belongs to nobody. */
  trunkOfSource(address: string): Trunk | undefined {
    const bytes = parseIp(address);
    return bytes === undefined ? undefined : this.#entries.trunkSources.find(bytes);
  }

  isAgentSource(address: string): boolean {
    const bytes = parseIp(address);
    return bytes !== undefined && this.#entries.agentSources.find(bytes) === true;
  }
}
