import type { FastifyInstance } from "fastify";
import { asId } from "../../../kernel/ids.ts";
import type { Outcome } from "../../../kernel/outcome.ts";
import type { AgentId, ControlPlaneApi, Failed, TenantId } from "../../boundary/control-plane-api.ts";
import type { AgentChoice } from "../../core/queue/shard-messages.ts";
import { type Contact, waitingIn } from "../../core/queue/shard-state.ts";
import { overlap, parseCidr } from "../../core/tenancy/cidr.ts";
import { objectOf } from "../../core/tenancy/intent.ts";
import { knownTenant } from "./known-tenant.ts";
import { RestFailure } from "./rest-failure.ts";

const reason = { type: "string", minLength: 1, maxLength: 100 } as const;
const state = { type: "string", enum: ["available", "idle"] } as const;
const address = {
  type: "string",
  maxLength: 200,
  pattern: '^sips?:[^@\\s<>"]+@[^@\\s<>"]+$',
  description: "SIP URI where the agent is reached: sip:alice@127.30.0.1:5060",
} as const;

type AgentPath = { tenant: string; id: string };

export function addAgentPaths(server: FastifyInstance, api: ControlPlaneApi): void {
  server.post<{ Params: AgentPath; Body: { address: string; state?: "available" | "idle"; reason?: string } }>(
    "/v1/tenants/:tenant/agents/:id/sign-in",
    {
      schema: {
        summary: "Signs an agent in at an address, idle unless said otherwise; again: moves the agent to that address",
        body: {
          type: "object",
          required: ["address"],
          additionalProperties: false,
          properties: { address, state, reason },
        },
      },
    },
    async ({ params, body }) => {
      const { tenantId, agentId } = knownAgent(api, params);
      allowedAddress(api, tenantId, body.address);
      done(await api.signIn(tenantId, agentId, body.address, choice(body.state ?? "idle", body.reason ?? "signed-in")));
      return { id: agentId, ...agentView(api, tenantId, agentId) };
    },
  );

  server.post<{ Params: AgentPath }>(
    "/v1/tenants/:tenant/agents/:id/sign-out",
    { schema: { summary: "Signs an agent out; one in conversation when that is over" } },
    async ({ params }) => {
      const { tenantId, agentId } = knownAgent(api, params);
      done(await api.signOut(tenantId, agentId));
      return { id: agentId, ...agentView(api, tenantId, agentId) };
    },
  );

  server.post<{ Params: AgentPath; Body: { state: "available" | "idle"; reason?: string } }>(
    "/v1/tenants/:tenant/agents/:id/state",
    {
      schema: {
        summary: "Sets an agent available or idle; one in conversation when that is over",
        body: { type: "object", required: ["state"], additionalProperties: false, properties: { state, reason } },
      },
    },
    async ({ params, body }) => {
      const { tenantId, agentId } = knownAgent(api, params);
      done(await api.setAgent(tenantId, agentId, choice(body.state, body.reason ?? "chosen")));
      return { id: agentId, ...agentView(api, tenantId, agentId) };
    },
  );

  server.get<{ Params: AgentPath }>(
    "/v1/tenants/:tenant/queues/:id/contacts",
    { schema: { summary: "Who is in a queue: those who wait by place, then those being offered or in conversation" } },
    async ({ params }) => {
      const tenantId = knownTenant(api, params.tenant);
      const queueId = asId<"queue">(params.id);
      if (objectOf(api.intent().objects, tenantId, "queue", queueId) === undefined)
        throw new RestFailure("queue.unknown", `there is no queue "${params.id}"`);
      const { contacts } = ownedShard(api, tenantId);
      const waiting = waitingIn(contacts, queueId).map((contact, at) => ({
        ...contactView(contact, api.unixMs()),
        position: at + 1,
      }));
      const others = Object.values(contacts)
        .filter((contact) => contact.queueId === queueId && contact.state.name !== "waiting")
        .map((contact) => contactView(contact, api.unixMs()));
      return { waiting: waiting.length, contacts: [...waiting, ...others] };
    },
  );
}

function contactView({ id, hostId, priority, enqueuedAtMs, state, offersMade }: Contact, unixMs: number) {
  return {
    contactId: id,
    hostId,
    priority,
    state: state.name,
    enqueuedAtUnixMs: enqueuedAtMs,
    waitingMs: Math.max(0, (state.name === "accepted" ? state.sinceMs : unixMs) - enqueuedAtMs),
    offersMade,
    ...(state.name === "waiting" ? {} : { agentId: state.agentId, offerId: state.offerId }),
  };
}

/** What an agent does at this moment; "unknown" while another replica has the shard. */
export function agentView(api: ControlPlaneApi, tenantId: TenantId, id: string): Record<string, unknown> {
  const shard = api.shard(tenantId);
  if (shard?.ownership !== "owned") return { state: "unknown" };
  const agent = shard.state.agents[id];
  if (agent === undefined) return { state: "signed-out" };
  const { address: at, state: now } = agent;
  return {
    state: now.name,
    sinceUnixMs: now.sinceMs,
    address: at,
    ...(now.name === "idle" ? { reason: now.reason } : {}),
    ...(now.name === "offered" || now.name === "on-contact" ? { contactId: now.contactId, afterwards: now.after } : {}),
  };
}

function ownedShard(api: ControlPlaneApi, tenantId: TenantId) {
  const shard = api.shard(tenantId);
  if (shard?.ownership !== "owned")
    throw new RestFailure("shard.not-owned", "this replica does not have the tenant's queues: ask another, or again");
  return shard.state;
}

function knownAgent(api: ControlPlaneApi, params: AgentPath): { tenantId: TenantId; agentId: AgentId } {
  const tenantId = knownTenant(api, params.tenant);
  if (objectOf(api.intent().objects, tenantId, "agent", params.id) === undefined)
    throw new RestFailure("agent.unknown", `there is no agent "${params.id}"`);
  return { tenantId, agentId: asId<"agent">(params.id) };
}

/** POPs drop what comes from elsewhere: such a phone would be rung, and never heard to answer. Names are the tenant's risk. */
function allowedAddress(api: ControlPlaneApi, tenantId: TenantId, address: string): void {
  const [, host = ""] = /@(\[[^\]]*\]|[^:;?]+)/.exec(address) ?? [];
  const bare = host.replace(/^\[|\]$/g, "");
  const here = parseCidr(`${bare}/${bare.includes(":") ? 128 : 32}`);
  const tenant = objectOf(api.intent().objects, tenantId, "tenant", tenantId);
  if (here === undefined || tenant === undefined) return;
  const { agentSourceCidrs } = tenant.spec;
  const allowed = agentSourceCidrs.some((text) => {
    const range = parseCidr(text);
    return range !== undefined && overlap(range, here);
  });
  if (!allowed)
    throw new RestFailure(
      "agent.address-refused",
      `${bare} is in none of the tenant's agentSourceCidrs (${agentSourceCidrs.join(", ") || "there are none"})`,
    );
}

const choice = (name: "available" | "idle", why: string): AgentChoice =>
  name === "available" ? { name } : { name, reason: why };

function done(outcome: Outcome<void, Failed>): void {
  if (outcome.ok) return;
  if (outcome.failure.code === "agent.signed-out")
    throw new RestFailure("agent.signed-out", "the agent is not signed in");
  throw new RestFailure("shard.not-owned", "this replica does not have the tenant's queues: ask another, or again");
}
