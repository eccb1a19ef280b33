// The REST API: objects in and out, agents, queues, contacts, POPs. Row I1. Every error is {code, message}.

import swagger from "@fastify/swagger";
import fastify, { type FastifyError, type FastifyInstance } from "fastify";
import type { Log } from "../../../kernel/log.ts";
import type { ControlPlaneApi } from "../../boundary/control-plane-api.ts";
import { bearerCheck } from "./admin-token.ts";
import { addAgentPaths } from "./agent-paths.ts";
import { addConfigPaths, documentsBody } from "./config-paths.ts";
import { addContactPaths } from "./contact-paths.ts";
import { addPopPaths } from "./pop-paths.ts";
import { REST_STATUS, RestFailure } from "./rest-failure.ts";

export interface RestPlace {
  readonly host: string;
  readonly port: number;
  readonly adminToken: string;
  readonly bodyBytesMax: number;
}

const OPEN_PATHS = new Set(["/healthz", "/readyz", "/metrics", "/v1/openapi.json"]);

export interface RunningRestApi {
  readonly port: number;
  stop(): Promise<void>;
}

/** @throws when the address is in use */
export async function startRestApi(place: RestPlace, api: ControlPlaneApi, log: Log): Promise<RunningRestApi> {
  const server = await buildRestApi(place, api, log);
  await server.listen({ host: place.host, port: place.port });
  const address = server.server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : place.port,
    stop: () => server.close(),
  };
}

export async function buildRestApi(
  place: Pick<RestPlace, "adminToken" | "bodyBytesMax">,
  api: ControlPlaneApi,
  log: Log,
): Promise<FastifyInstance> {
  const server = fastify({
    bodyLimit: place.bodyBytesMax,
    forceCloseConnections: true,
    routerOptions: { maxParamLength: 200 },
    ajv: { customOptions: { removeAdditional: false, coerceTypes: "array", allErrors: true } },
  });
  const isAdmin = bearerCheck(place.adminToken);

  server.addHook("onRequest", async (request, reply) => {
    const path = request.url.split("?")[0] ?? "";
    if (OPEN_PATHS.has(path) || isAdmin(request.headers.authorization)) return;
    reply.header("www-authenticate", "Bearer");
    throw new RestFailure("request.unauthorized", "Authorization: Bearer with the admin token is needed");
  });
  server.setErrorHandler((error: FastifyError | RestFailure, request, reply) => {
    const { code, message, fields } = asFailure(error);
    if (code === "internal.bug")
      log.error("rest.bug", { method: request.method, path: request.routeOptions.url, error });
    return reply.status(REST_STATUS[code]).send({ code, message, ...fields });
  });
  server.setNotFoundHandler(() => {
    throw new RestFailure("path.unknown", "there is no such path: see /v1/openapi.json");
  });
  server.addContentTypeParser(
    ["application/yaml", "application/x-yaml", "text/yaml"],
    { parseAs: "string" },
    (_request, body, done) => done(null, body),
  );

  await server.register(swagger, {
    openapi: {
      openapi: "3.1.0",
      info: { title: "Tollgate control plane", version: "1" },
      components: { securitySchemes: { admin: { type: "http", scheme: "bearer" } } },
      security: [{ admin: [] }],
    },
    // For the document only: as a route's own schema it would cut what an answer may say.
    transform: ({ schema, url }) => {
      if (!url.startsWith("/v1/")) return { schema, url };
      const body = url.endsWith("/apply") ? { body: documentsBody } : {};
      return { schema: { ...schema, ...body, response: documentedAnswers }, url };
    },
  });
  await server.register(async (routes) => {
    addConfigPaths(routes, api);
    addAgentPaths(routes, api);
    addContactPaths(routes, api);
    addPopPaths(routes, api);
    addProbes(routes, api);
  });
  server.get("/v1/openapi.json", { schema: { hide: true } }, async () => server.swagger());
  await server.ready();
  return server;
}

const failureBody = {
  type: "object",
  required: ["code", "message"],
  properties: {
    code: { type: "string", enum: Object.keys(REST_STATUS) },
    message: { type: "string" },
    mistakes: { type: "array", items: { type: "object" } },
  },
} as const;
const documentedAnswers = {
  "2xx": { description: "Done", type: "object", additionalProperties: true },
  "4xx": { description: "Refused; `code` is stable, `mistakes` lists all of them", ...failureBody },
  "5xx": { description: "Not possible now, or a mistake of ours", ...failureBody },
} as const;

function addProbes(server: FastifyInstance, api: ControlPlaneApi): void {
  const security: { [name: string]: readonly string[] }[] = [];
  server.get("/healthz", { schema: { security, summary: "The process answers" } }, async () => ({ alive: true }));
  server.get(
    "/readyz",
    { schema: { security, summary: "What it can do now, per dependency; 503 while something required is missing" } },
    async (_request, reply) => {
      const dependencies = api.dependencies();
      const ready = dependencies.every((dependency) => dependency.ready || !dependency.required);
      return reply.status(ready ? 200 : 503).send({ ready, regionId: api.regionId, dependencies });
    },
  );
  server.get("/metrics", { schema: { security, summary: "Prometheus" } }, async (_request, reply) => {
    const { contentType, text } = await api.metrics();
    return reply.type(contentType).send(text);
  });
}

function asFailure(error: FastifyError | RestFailure): RestFailure {
  if (error instanceof RestFailure) return error;
  if (error.validation) {
    const mistakes = error.validation.map(({ instancePath, message }) => ({
      path: `${error.validationContext ?? ""}${instancePath}`,
      message: message ?? "",
    }));
    return new RestFailure("request.invalid", error.message, { mistakes });
  }
  if (error.code === "FST_ERR_CTP_BODY_TOO_LARGE") return new RestFailure("request.too-large", error.message);
  if (error.code === "FST_ERR_CTP_INVALID_MEDIA_TYPE")
    return new RestFailure("request.unsupported-type", "application/json, or application/yaml for apply");
  if (error.statusCode !== undefined && error.statusCode >= 400 && error.statusCode < 500)
    return new RestFailure("request.invalid", error.message);
  return new RestFailure("internal.bug", "a mistake of ours; the log has it");
}
