import type { FastifyInstance } from "fastify";
import { asId } from "../../../kernel/ids.ts";
import type { ControlPlaneApi } from "../../boundary/control-plane-api.ts";
import { RestFailure } from "./rest-failure.ts";

export function addContactPaths(server: FastifyInstance, api: ControlPlaneApi): void {
  server.get<{ Querystring: { tenant?: string; limit: number } }>(
    "/v1/contacts",
    {
      schema: {
        summary: "Contacts, newest first; `record` is null while the call goes on",
        querystring: {
          type: "object",
          properties: {
            tenant: { type: "string" },
            limit: { type: "integer", minimum: 1, maximum: 1_000, default: 50 },
          },
        },
      },
    },
    async ({ query }) => {
      const tenantId = query.tenant === undefined ? undefined : asId<"tenant">(query.tenant);
      const found = await api.contacts.contacts(tenantId, query.limit);
      if (!found.ok) throw new RestFailure("store.away", "the contact store cannot be reached");
      return { items: found.value.map((contact) => ({ ...contact, record: contact.record ?? null })) };
    },
  );

  server.get<{ Params: { id: string } }>(
    "/v1/contacts/:id",
    { schema: { summary: "All that is known of a contact: record, events, queue decisions with their reasons" } },
    async ({ params }) => {
      const contactId = asId<"call">(params.id);
      const pending = api.decisionsPending(contactId);
      const found = await api.contacts.contact(contactId);
      if (!found.ok) throw new RestFailure("store.away", "the contact store cannot be reached");
      if (found.value === undefined && pending.length === 0)
        throw new RestFailure("contact.unknown", "never heard of, or past its retention");
      const { record, events, decisions } = found.value ?? { record: undefined, events: [], decisions: [] };
      const told = new Set(decisions.map((decision) => JSON.stringify(decision)));
      const untold = pending.filter((decision) => !told.has(JSON.stringify(decision)));
      return { contactId, record: record ?? null, events, decisions: [...decisions, ...untold] };
    },
  );
}
