import type { FastifyInstance } from "fastify";
import { asId } from "../../../kernel/ids.ts";
import type { ControlPlaneApi, Failed } from "../../boundary/control-plane-api.ts";
import { type RestCode, RestFailure } from "./rest-failure.ts";

export function addPopPaths(server: FastifyInstance, api: ControlPlaneApi): void {
  server.get(
    "/v1/pops",
    { schema: { summary: "POP hosts: link, versions applied and refused, presence" } },
    async () => ({
      newestVersion: api.intent().version,
      items: api.popHosts(),
    }),
  );

  server.post<{ Params: { host: string }; Body: { on: boolean } }>(
    "/v1/pops/:host/drain",
    {
      schema: {
        summary: "A draining host takes no new calls; those it has go on",
        body: {
          type: "object",
          required: ["on"],
          additionalProperties: false,
          properties: { on: { type: "boolean" } },
        },
      },
    },
    async ({ params, body }) => {
      const hostId = asId<"pop-host">(params.host);
      const done = await api.command(hostId, { kind: "drain", on: body.on });
      if (!done.ok) throw commandFailure(done.failure, params.host);
      return { hostId, draining: body.on };
    },
  );

  server.post<{ Params: { id: string } }>(
    "/v1/calls/:id/hang-up",
    { schema: { summary: "Releases a call, wherever it is" } },
    async ({ params }) => {
      const callId = asId<"call">(params.id);
      const done = await api.hangUp(callId);
      if (!done.ok) throw new RestFailure("call.unknown", "no linked POP host has this call");
      return { callId, hostId: done.value };
    },
  );
}

function commandFailure(failure: Failed, host: string): RestFailure {
  const { code, ...fields } = failure;
  const message =
    code === "pop.not-linked"
      ? `POP host "${host}" is not linked`
      : code === "pop.silent"
        ? `POP host "${host}" did not answer`
        : `POP host "${host}" could not do it`;
  return new RestFailure(code as RestCode, message, fields);
}
