// Where applications connect: the drachtio protocol over TCP or TLS. Knows frames, not their meaning.

import { createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, type TLSSocket } from "node:tls";
import type { ApplicationHost } from "../boundary/application-link.ts";
import { ADMIN_LIMITS, type AdminLimits } from "../core/limits.ts";
import { serveFrames } from "./frame-connection.ts";
import type { TlsIdentity } from "./tls-identity.ts";

export interface AdminListener {
  readonly port: number;
  stop(): Promise<void>;
}

export function openAdmin(
  at: { readonly host: string; readonly port: number },
  host: ApplicationHost,
  limits: AdminLimits = ADMIN_LIMITS,
  tls?: TlsIdentity,
): Promise<AdminListener> {
  return new Promise((resolve, reject) => {
    const sockets = new Set<Socket>();
    let sequence = 0;
    const accept = (socket: Socket | TLSSocket) => {
      const id = `${tls === undefined ? "app" : "tls-app"}-${++sequence}`;
      host.onOpen(serveFrames(socket, { id, address: socket.remoteAddress ?? "" }, host, limits));
    };
    const server = tls === undefined ? createServer(OPTIONS, accept) : secured(tls, limits, accept);
    // Counted before any handshake: half of one holds as much as a whole one.
    server.on("connection", (socket: Socket) => {
      if (sockets.size >= limits.connectionsMax) {
        socket.destroy();
        return;
      }
      sockets.add(socket);
      socket.on("close", () => sockets.delete(socket));
    });
    server.once("error", reject);
    server.listen(at.port, at.host, () => {
      server.off("error", reject);
      server.on("error", () => {});
      const bound = server.address();
      resolve({
        port: typeof bound === "object" && bound !== null ? bound.port : at.port,
        stop: () => closeAll(server, sockets),
      });
    });
  });
}

const OPTIONS = { noDelay: true, keepAlive: true } as const;

function secured(identity: TlsIdentity, limits: AdminLimits, accept: (socket: TLSSocket) => void): Server {
  const options = { ...OPTIONS, ...identity.serverOptions(), handshakeTimeout: limits.tlsHandshakeMs };
  const server = createTlsServer(options, accept);
  identity.serves(server);
  server.on("tlsClientError", (_error, socket) => socket.destroy());
  return server;
}

function closeAll(server: Server, sockets: ReadonlySet<Socket>): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    for (const socket of sockets) socket.destroy();
  });
}
