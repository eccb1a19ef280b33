// The keeper's HTTP, on the host's management address: how it is, and what operators ask of it.

import { timingSafeEqual } from "node:crypto";
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import type { Outcome } from "../../../../kernel/outcome.ts";

export interface KeeperHttpSettings {
  readonly host: string;
  readonly port: number;
  /** What operators must show. */
  readonly token: string;
}

export interface Ready {
  readonly ready: boolean;
  readonly because: readonly string[];
}

type Asked = Outcome<void, { readonly code: string }>;

export interface KeeperHttpSource {
  status(): object;
  ready(): Ready;
  /** Prometheus text. */
  metrics(): string;
  onChange(changed: () => void): () => void;
  handOver(service: string): Promise<Asked>;
  returnHome(): Promise<Asked>;
  /** Of new calls, at every service that this host serves. */
  drain(on: boolean): Promise<Asked>;
  hold(service: string, process: string, signal: "SIGTERM" | "SIGKILL"): Asked;
  release(service: string, process: string): Asked;
}

const STREAMS_MAX = 16;
const STATUS_OF: Readonly<Record<string, number>> = { "process.unknown": 404, "service.unknown": 404 };

/** @throws EADDRINUSE */
export async function openKeeperHttp(settings: KeeperHttpSettings, source: KeeperHttpSource): Promise<FastifyInstance> {
  const http = fastify({ logger: false, bodyLimit: 4_096, forceCloseConnections: true });
  const token = Buffer.from(`Bearer ${settings.token}`);
  let streams = 0;

  http.get("/healthz", () => ({ ok: true }));
  http.get("/readyz", (_request, reply) => {
    const ready = source.ready();
    return reply.code(ready.ready ? 200 : 503).send(ready);
  });
  http.get("/metrics", (_request, reply) => reply.type("text/plain; version=0.0.4").send(source.metrics()));
  http.get("/status", () => source.status());

  /** One line of JSON now, and one at each change. */
  http.get("/status/changes", (request, reply) => {
    if (streams >= STREAMS_MAX) return reply.code(503).send({ code: "status.too-many-streams" });
    streams++;
    reply.hijack();
    const { raw } = reply;
    raw.writeHead(200, { "content-type": "application/x-ndjson" });
    let pending = false;
    const write = () => {
      pending = false;
      // A reader that is behind gets the newest, not all of them.
      if (raw.writableLength < 65_536) raw.write(`${JSON.stringify(source.status())}\n`);
      else raw.once("drain", soon);
    };
    const soon = () => {
      if (pending) return;
      pending = true;
      setImmediate(write);
    };
    const forget = source.onChange(soon);
    request.raw.on("close", () => {
      streams--;
      forget();
    });
    write();
    return reply;
  });

  const operators = async (request: FastifyRequest, reply: FastifyReply) => {
    const shown = Buffer.from(request.headers.authorization ?? "");
    if (shown.length !== token.length || !timingSafeEqual(shown, token))
      return reply.code(401).send({ code: "token.refused", message: "a bearer token is needed" });
  };
  const answer = (reply: FastifyReply, asked: Asked) =>
    asked.ok ? reply.send({ ok: true }) : reply.code(STATUS_OF[asked.failure.code] ?? 409).send(asked.failure);
  const invalid = (reply: FastifyReply, message: string) => reply.code(400).send({ code: "request.invalid", message });

  http.post<{ Body: { service?: unknown } | undefined }>(
    "/hand-over",
    { preHandler: operators },
    async ({ body }, reply) => {
      if (typeof body?.service !== "string") return invalid(reply, 'the body must be {"service": "HOST"}');
      return answer(reply, await source.handOver(body.service));
    },
  );
  http.post("/return", { preHandler: operators }, async (_request, reply) => answer(reply, await source.returnHome()));
  http.post<{ Body: { on?: unknown } | undefined }>("/drain", { preHandler: operators }, async ({ body }, reply) => {
    if (typeof body?.on !== "boolean") return invalid(reply, 'the body must be {"on": true} or {"on": false}');
    return answer(reply, await source.drain(body.on));
  });
  http.post<{ Params: { service: string; process: string }; Body: { signal?: unknown } | undefined }>(
    "/processes/:service/:process/hold",
    { preHandler: operators },
    ({ params, body }, reply) => {
      const signal = body?.signal ?? "SIGTERM";
      if (signal !== "SIGTERM" && signal !== "SIGKILL") return invalid(reply, "signal is SIGTERM or SIGKILL");
      return answer(reply, source.hold(params.service, params.process, signal));
    },
  );
  http.post<{ Params: { service: string; process: string } }>(
    "/processes/:service/:process/release",
    { preHandler: operators },
    ({ params }, reply) => answer(reply, source.release(params.service, params.process)),
  );

  await http.listen({ host: settings.host, port: settings.port });
  return http;
}
