// What the REST API needs of the process: its own words for it, so that this adapter knows no application class.

import type { AgentId, CallId, PopHostId, QueueId, TenantId } from "../../kernel/ids.ts";
import type { Outcome } from "../../kernel/outcome.ts";
import type { HostRecord, PopCommand } from "../core/pop-registry/pop-registry.ts";
import type { AgentChoice, Decision } from "../core/queue/shard-messages.ts";
import type { ShardState } from "../core/queue/shard-state.ts";
import type { Applied, Mistake } from "../core/tenancy/apply.ts";
import type { Intent } from "../core/tenancy/intent.ts";
import type { ContactEventStore } from "./contact-event-store.ts";

/** A failure code with whatever numbers it carries. */
export interface Failed {
  readonly code: string;
}

export interface Dependency {
  readonly name: string;
  readonly ready: boolean;
  /** Why not, or what goes on without it. */
  readonly detail: string;
  /** Without it nothing of use can be done yet. */
  readonly required: boolean;
}

export interface ControlPlaneApi {
  readonly regionId: string;
  readonly unixMs: () => number;
  intent(): Intent;
  apply(
    tenantId: TenantId,
    documents: readonly unknown[],
    how: { readonly dryRun: boolean },
  ): Promise<Outcome<Applied, Failed & { readonly mistakes?: readonly Mistake[] }>>;
  shard(
    tenantId: TenantId,
  ): { readonly ownership: string; readonly epoch: number; readonly state: ShardState } | undefined;
  signIn(tenantId: TenantId, agentId: AgentId, address: string, as: AgentChoice): Promise<Outcome<void, Failed>>;
  signOut(tenantId: TenantId, agentId: AgentId): Promise<Outcome<void, Failed>>;
  setAgent(tenantId: TenantId, agentId: AgentId, to: AgentChoice): Promise<Outcome<void, Failed>>;
  readonly contacts: Pick<ContactEventStore, "contact" | "contacts">;
  decisionsPending(contactId: CallId): readonly Decision[];
  popHosts(): readonly HostRecord[];
  command(hostId: PopHostId, command: PopCommand): Promise<Outcome<void, Failed>>;
  hangUp(callId: CallId): Promise<Outcome<PopHostId, Failed>>;
  dependencies(): readonly Dependency[];
  metrics(): Promise<{ readonly contentType: string; readonly text: string }>;
}

export type { AgentId, CallId, PopHostId, QueueId, TenantId };
