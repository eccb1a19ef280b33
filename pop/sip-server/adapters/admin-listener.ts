// Where applications connect: the drachtio protocol over TCP. Knows frames, not their meaning.

import { createServer, type Server, type Socket } from "node:net";
import type { ApplicationHost, ApplicationLink } from "../boundary/application-link.ts";
import { FrameReader } from "../core/drachtio/frame.ts";
import { ADMIN_LIMITS, type AdminLimits } from "../core/limits.ts";
import { FrameWriter } from "./frame-writer.ts";

export interface AdminListener {
  readonly port: number;
  stop(): Promise<void>;
}

export function openAdmin(
  at: { readonly host: string; readonly port: number },
  host: ApplicationHost,
  limits: AdminLimits = ADMIN_LIMITS,
): Promise<AdminListener> {
  return new Promise((resolve, reject) => {
    const server = createServer({ noDelay: true, keepAlive: true });
    const sockets = new Set<Socket>();
    let sequence = 0;
    server.on("connection", (socket) => {
      if (sockets.size >= limits.connectionsMax) {
        socket.destroy();
        return;
      }
      sockets.add(socket);
      socket.on("close", () => sockets.delete(socket));
      serve(socket, `app-${++sequence}`, host, limits);
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

function serve(socket: Socket, id: string, host: ApplicationHost, limits: AdminLimits): void {
  const reader = new FrameReader(limits.frameBytesMax);
  const writer = new FrameWriter(socket, limits.unhurriedMs);
  const link: ApplicationLink = {
    id,
    address: socket.remoteAddress ?? "",
    get open() {
      return !socket.destroyed && socket.writable;
    },
    send(payload, urgency) {
      if (socket.destroyed || !socket.writable) return;
      if (writer.backlogBytes > limits.backlogBytesMax) socket.destroy();
      else writer.send(payload, urgency);
    },
    close() {
      writer.flush();
      socket.end();
    },
  };
  socket.setKeepAlive(true, 15_000);
  socket.on("error", () => {}); // "close" follows
  socket.on("close", () => host.onClose(link));
  socket.on("data", (bytes) => {
    const payloads = reader.take(bytes.toString("latin1"));
    if (!payloads.ok) {
      socket.destroy();
      return;
    }
    for (const payload of payloads.value) {
      if (!link.open) return;
      host.onPayload(link, payload);
    }
  });
  host.onOpen(link);
}

function closeAll(server: Server, sockets: ReadonlySet<Socket>): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    for (const socket of sockets) socket.destroy();
  });
}
