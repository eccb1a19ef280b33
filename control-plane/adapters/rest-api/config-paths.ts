import type { FastifyInstance } from "fastify";
import { asId } from "../../../kernel/ids.ts";
import type { ControlPlaneApi } from "../../boundary/control-plane-api.ts";
import { OBJECT_KINDS, type ObjectKind } from "../../core/tenancy/documents.ts";
import { type ConfigObject, objectOf, objectsOf } from "../../core/tenancy/intent.ts";
import { agentView } from "./agent-paths.ts";
import { knownTenant } from "./known-tenant.ts";
import { type RestCode, RestFailure } from "./rest-failure.ts";
import { readYamlDocuments } from "./yaml-documents.ts";

/** "queue" → "queues", "entry-point" → "entry-points". */
export const plural = (kind: ObjectKind): string => `${kind}s`;
const kindOf = (text: string): ObjectKind | undefined => OBJECT_KINDS.find((kind) => plural(kind) === text);

const tenantParam = { type: "object", properties: { tenant: { type: "string" } }, required: ["tenant"] } as const;

/** For the OpenAPI document: as the route's own schema it would make a list of a single value before we can refuse it. */
export const documentsBody = {
  content: {
    "application/json": {
      schema: { type: "object", properties: { documents: { type: "array" } }, required: ["documents"] },
    },
    "application/yaml": { schema: { type: "string" } },
  },
} as const;

export function addConfigPaths(server: FastifyInstance, api: ControlPlaneApi): void {
  server.post<{ Params: { tenant: string }; Querystring: { dryRun: boolean }; Body: unknown }>(
    "/v1/tenants/:tenant/apply",
    {
      schema: {
        summary: "Applies documents as one transaction: all of them, or none and every mistake",
        params: tenantParam,
        querystring: { type: "object", properties: { dryRun: { type: "boolean", default: false } } },
      },
    },
    async ({ params, query, body }) => {
      const { documents, mistakes } = documentsOf(body);
      if (mistakes.length > 0)
        throw new RestFailure("config.refused", "not readable as YAML; nothing was changed", { mistakes });
      const { dryRun } = query;
      const applied = await api.apply(asId<"tenant">(params.tenant), documents, { dryRun });
      if (!applied.ok) {
        const { code, ...fields } = applied.failure;
        const count = fields.mistakes?.length ?? 0;
        const message =
          code === "config.refused"
            ? `${count} ${count === 1 ? "mistake" : "mistakes"}; nothing was changed`
            : code === "store.away"
              ? "the configuration store cannot be reached; it is not known whether anything was changed: apply again"
              : "somebody else changes the configuration; apply again";
        throw new RestFailure(code as RestCode, message, fields);
      }
      const { intent, changes } = applied.value;
      return {
        version: intent.version,
        dryRun,
        changed: changes.filter(({ change }) => change !== "unchanged"),
        unchanged: changes.filter(({ change }) => change === "unchanged").length,
      };
    },
  );

  server.get("/v1/tenants", { schema: { summary: "All tenants" } }, async () => ({
    version: api.intent().version,
    items: objectsOf(api.intent().objects, "tenant").map(objectView),
  }));

  server.get<{ Params: { tenant: string; kinds: string } }>(
    "/v1/tenants/:tenant/:kinds",
    { schema: { summary: "The objects of a kind: trunks, dns, entry-points, flows, queues, teams, agents" } },
    async ({ params }) => {
      const tenantId = knownTenant(api, params.tenant);
      const kind = kindOf(params.kinds);
      if (kind === undefined) throw new RestFailure("path.unknown", `one of ${OBJECT_KINDS.map(plural).join(", ")}`);
      const found: readonly ConfigObject[] = objectsOf(api.intent().objects, kind, tenantId);
      const items = found.map((object) =>
        object.kind === "agent"
          ? { ...objectView(object), ...agentView(api, tenantId, object.id) }
          : objectView(object),
      );
      return { version: api.intent().version, items };
    },
  );

  server.get<{ Params: { tenant: string; kinds: string; id: string } }>(
    "/v1/tenants/:tenant/:kinds/:id",
    { schema: { summary: "One object; `document` can be applied again as it is" } },
    async ({ params }) => {
      const tenantId = knownTenant(api, params.tenant);
      const kind = kindOf(params.kinds);
      const object: ConfigObject | undefined = kind && objectOf(api.intent().objects, tenantId, kind, params.id);
      if (object === undefined)
        throw new RestFailure("object.unknown", `there is no ${kind ?? params.kinds} "${params.id}"`);
      return object.kind === "agent"
        ? { ...objectView(object), ...agentView(api, tenantId, object.id) }
        : objectView(object);
    },
  );
}

function documentsOf(body: unknown): ReturnType<typeof readYamlDocuments> {
  if (typeof body === "string") return readYamlDocuments(body);
  const { documents } = (typeof body === "object" && body !== null ? body : {}) as { documents?: unknown };
  if (!Array.isArray(documents))
    throw new RestFailure(
      "request.invalid",
      'a body like {"documents": [ … ]}, or YAML with content-type application/yaml',
    );
  return { documents, mistakes: [] };
}

function objectView(object: ConfigObject): Record<string, unknown> {
  const { kind, tenantId, id, version, updatedAtUnixMs, document } = object;
  return {
    kind,
    tenantId,
    id,
    version,
    updatedAtUnixMs,
    document,
    ...(object.kind === "entry-point" ? { flowVersion: object.flowVersion } : {}),
    ...(object.kind === "flow" ? { earlierVersions: object.earlier.map((flow) => flow.version) } : {}),
  };
}
