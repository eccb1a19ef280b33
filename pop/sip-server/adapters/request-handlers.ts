// Connections to applications that listen, and questions to HTTP handlers.

import { request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { fail, type Outcome, succeed } from "../../../kernel/outcome.ts";
import type { HandlerFailure, HandlerQuestion, RequestHandlers } from "../boundary/request-handlers.ts";
import type { AdminLimits, HandlerLimits } from "../core/limits.ts";
import { serveFrames } from "./frame-connection.ts";

export interface HandlerTrust {
  /** PEM: the authority that signs the handlers' certificates; undefined: those the system trusts. */
  readonly ca: string | undefined;
  /** False only where the network is trusted instead. */
  readonly verifyCertificates: boolean;
}

export function openRequestHandlers(trust: HandlerTrust, frames: AdminLimits, limits: HandlerLimits): RequestHandlers {
  const ca = trust.ca === undefined ? {} : { ca: trust.ca };
  const tls = { ...ca, rejectUnauthorized: trust.verifyCertificates, minVersion: "TLSv1.2" } as const;
  const sockets = new Set<Socket>();
  let sequence = 0;
  return {
    stop() {
      for (const socket of sockets) socket.destroy();
    },
    dial(to, host) {
      const at = { host: to.host, port: to.port };
      const socket = to.tls ? connectTls({ ...at, ...tls }) : connect(at);
      sockets.add(socket);
      socket.on("close", () => sockets.delete(socket));
      socket.setTimeout(limits.connectTimeoutMs, () => socket.destroy());
      socket.once(to.tls ? "secureConnect" : "connect", () => socket.setTimeout(0));
      return serveFrames(socket, { id: `dialled-${++sequence}`, address: to.host }, host, frames);
    },
    ask: (question) => ask(question, tls, limits),
  };
}

function ask(
  { url, method, body }: HandlerQuestion,
  tls: object,
  { answerMs, answerBytesMax }: HandlerLimits,
): Promise<Outcome<string, HandlerFailure>> {
  return new Promise((resolve) => {
    const away = (detail: string) => resolve(fail({ code: "handler.away", detail }));
    const unusable = (detail: string) => resolve(fail({ code: "handler.unusable", detail }));
    const bytes = Buffer.from(body, "latin1");
    const options = {
      method,
      headers: {
        accept: "application/json",
        ...(method === "GET" ? {} : { "content-type": "text/plain", "content-length": bytes.length }),
      },
      signal: AbortSignal.timeout(answerMs), // for all of it, a body that trickles in included
    };
    const asked = url.startsWith("https:") ? requestHttps(url, { ...options, ...tls }) : requestHttp(url, options);
    asked.on("error", (error) => away(error.message));
    asked.on("response", (answer) => {
      const { statusCode = 0 } = answer;
      const chunks: Buffer[] = [];
      let size = 0;
      answer.on("error", (error) => away(error.message));
      answer.on("data", (chunk: Buffer) => {
        size += chunk.length;
        if (size > answerBytesMax) {
          unusable(`more than ${answerBytesMax} bytes`);
          asked.destroy();
        } else chunks.push(chunk);
      });
      answer.on("end", () => {
        if (statusCode < 200 || statusCode > 299) unusable(`status ${statusCode}`);
        else resolve(succeed(Buffer.concat(chunks).toString("utf8")));
      });
    });
    asked.end(method === "GET" ? undefined : bytes);
  });
}
