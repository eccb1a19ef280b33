// The POP's own HTTP: health, readiness, metrics, and what its calls are doing. On the host's own address, for operators.

import fastify, { type FastifyInstance } from "fastify";
import type { Registry } from "prom-client";
import { redactNumber } from "../../../kernel/log.ts";
import type { CallState } from "../../core/call/call-state.ts";
import type { MediaLegRecord } from "../../core/call/contact-record.ts";

export interface JournalShown {
  readonly dialogs: readonly { readonly leg: string; readonly sipCallId: string; readonly role: string }[];
  readonly entries: readonly {
    readonly atUnixMs: number;
    readonly kind: string;
    readonly what: string;
    readonly why: string;
  }[];
  readonly media: readonly MediaLegRecord[];
}

export interface AdminSource {
  calls(): readonly CallState[];
  recentlyEnded(): readonly string[];
  journal(call: string): JournalShown | undefined;
  /** Every part that serving calls needs, and whether it is there; `needed` false: the POP serves without it. */
  parts(): readonly {
    readonly part: string;
    readonly ready: boolean;
    readonly needed: boolean;
    readonly detail: string;
  }[];
  drain(on: boolean): void;
}

export interface AdminSettings {
  readonly host: string;
  readonly port: number;
  readonly sipTraceUrl: string | undefined;
}

/** How long the sip-server may take to tell its messages before the trace is shown without them. */
const SIP_TRACE_TIMEOUT_MS = 1_000;

/** @throws EADDRINUSE */
export async function openAdminHttp(
  settings: AdminSettings,
  source: AdminSource,
  metrics: Registry,
): Promise<FastifyInstance> {
  const http = fastify({ logger: false, bodyLimit: 16_384, forceCloseConnections: true });

  http.get("/healthz", () => ({ ok: true }));

  http.get("/readyz", (_request, reply) => {
    const parts = source.parts();
    const ready = parts.every((part) => part.ready || !part.needed);
    return reply.code(ready ? 200 : 503).send({ ready, parts });
  });

  http.get("/metrics", async (_request, reply) => reply.type(metrics.contentType).send(await metrics.metrics()));

  http.get("/calls", () => source.calls().map(showCall));

  http.get("/calls/ended", () => source.recentlyEnded());

  http.get<{ Params: { id: string } }>("/calls/:id/trace", async ({ params }, reply) => {
    const journal = source.journal(params.id);
    if (journal === undefined)
      return reply.code(404).send({ code: "call.unknown", message: "no such call here, or it ended too long ago" });
    const legs = journal.dialogs;
    const sip = await Promise.all(legs.map(({ sipCallId }) => sipMessages(settings.sipTraceUrl, sipCallId)));
    return {
      callId: params.id,
      legs,
      journal: journal.entries,
      media: journal.media.map(({ leg, localAddress, remoteAddress, codec }) => ({
        leg,
        local: localAddress,
        remote: remoteAddress,
        codec,
      })),
      sip: sip.flat().sort((a, b) => Number(a.atUnixMs) - Number(b.atUnixMs)),
    };
  });

  http.post<{ Body: { on?: unknown } | undefined }>("/drain", ({ body }, reply) => {
    if (typeof body?.on !== "boolean")
      return reply
        .code(400)
        .send({ code: "request.invalid", message: 'the body must be {"on": true} or {"on": false}' });
    source.drain(body.on);
    return reply.send({ draining: body.on });
  });

  await http.listen({ host: settings.host, port: settings.port });
  return http;
}

type SipLine = Record<string, unknown>;

async function sipMessages(url: string | undefined, sipCallId: string): Promise<SipLine[]> {
  if (url === undefined) return [];
  try {
    const answer = await fetch(`${url}/trace?callId=${encodeURIComponent(sipCallId)}`, {
      signal: AbortSignal.timeout(SIP_TRACE_TIMEOUT_MS),
    });
    const lines: unknown = answer.ok ? await answer.json() : [];
    return Array.isArray(lines) ? lines.map((line) => ({ ...(line as SipLine), sipCallId })) : [];
  } catch {
    return []; // the journal is worth showing without the ladder
  }
}

function showCall({ basics, phase, media }: CallState) {
  const { id, tenantId, trunkId, entryPointId, callingNumber, calledNumber, arrivedAtUnixMs } = basics;
  const running = phase.name === "running" ? phase : undefined;
  return {
    callId: id,
    tenant: tenantId,
    trunk: trunkId,
    entryPoint: entryPointId,
    callingNumber: redactNumber(callingNumber),
    calledNumber,
    state: running === undefined ? phase.name : running.far.name === "none" ? running.flow.name : running.far.name,
    queue: running === undefined || running.place.name === "none" ? undefined : running.place.queueId,
    agent: running?.far.name !== "none" && running?.far.party.kind === "agent" ? running.far.party.agentId : undefined,
    sinceUnixMs: arrivedAtUnixMs,
    media,
  };
}
