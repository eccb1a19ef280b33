// Where applications connect: the drachtio protocol over TCP or TLS. Knows frames, not their meaning.

import { createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, type TLSSocket } from "node:tls";
import type { ApplicationHost } from "../boundary/application-link.ts";
import { sourceKey } from "../core/guard/source-key.ts";
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
    const strangers = new Strangers(limits.connectionsMax);
    let sequence = 0;
    const accept = (socket: Socket | TLSSocket) => {
      const id = `${tls === undefined ? "app" : "tls-app"}-${++sequence}`;
      host.onOpen(
        serveFrames(socket, { id, address: socket.remoteAddress ?? "" }, host, limits, () => strangers.remove(socket)),
      );
    };
    const server = tls === undefined ? createServer(OPTIONS, accept) : secured(tls, limits, accept);
    // Counted before any handshake: half of one holds as much as a whole one.
    server.on("connection", (socket: Socket) => {
      if (sockets.size >= limits.connectionsMax || !strangers.add(socket)) {
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

/**
 * Who has not said the secret: half of the slots, and of those half for one source. A further source takes the place of the
 * oldest stranger, so that an application always gets in: it says the secret at once.
 */
class Strangers {
  /** By peer: TLS tells of its own socket, which has the same. */
  readonly #sockets = new Map<string, { readonly socket: Socket; readonly source: string | number }>();
  readonly #max: number;
  readonly #perSourceMax: number;

  constructor(connectionsMax: number) {
    this.#max = Math.ceil(connectionsMax / 2);
    this.#perSourceMax = Math.ceil(connectionsMax / 4);
  }

  /** False: its source has enough of them. */
  add(socket: Socket): boolean {
    const source = sourceKey(socket.remoteAddress ?? "");
    let ofSource = 0;
    for (const other of this.#sockets.values()) if (other.source === source) ofSource++;
    if (ofSource >= this.#perSourceMax) return false;
    if (this.#sockets.size >= this.#max) {
      for (const [key, oldest] of this.#sockets) {
        this.#sockets.delete(key);
        oldest.socket.destroy();
        break;
      }
    }
    const key = peerOf(socket);
    this.#sockets.set(key, { socket, source });
    socket.on("close", () => {
      if (this.#sockets.get(key)?.socket === socket) this.#sockets.delete(key);
    });
    return true;
  }

  remove(socket: Socket): void {
    this.#sockets.delete(peerOf(socket));
  }
}

const peerOf = ({ remoteAddress, remotePort }: Socket): string => `${remoteAddress}|${remotePort}`;

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
