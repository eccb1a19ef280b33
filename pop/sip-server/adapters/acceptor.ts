// Takes TCP connections, or not: who comes from an unknown source, or is one too many, is let go before a byte is read.

import { createServer, type Server, type Socket } from "node:net";
import type { SipReceiver } from "../boundary/sip-transport.ts";
import { type ListenPoint, withPort } from "../core/flow.ts";
import { sourceKey } from "../core/guard/source-key.ts";
import type { ConnectionLimits } from "../core/limits.ts";

export class Acceptor {
  readonly point: ListenPoint;
  readonly #server: Server;
  readonly #limits: ConnectionLimits;
  readonly #receiver: SipReceiver;
  readonly #sockets = new Set<Socket>();
  /** An IPv6 source is a /64: whoever has one address there has them all. */
  readonly #bySource = new Map<string | number, number>();
  #dialled = 0;
  onSocket: (socket: Socket, address: string) => void = (socket) => socket.destroy();

  /** @throws EADDRINUSE and its like */
  static open(asked: ListenPoint, limits: ConnectionLimits, receiver: SipReceiver): Promise<Acceptor> {
    return new Promise((resolve, reject) => {
      const server = createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: 30_000 });
      server.once("error", reject);
      // One family per listener: an IPv4 peer never looks like ::ffff:192.0.2.1.
      server.listen({ port: asked.port, host: asked.address, ipv6Only: true, backlog: 1_024 }, () => {
        server.off("error", reject);
        server.on("error", () => {});
        const bound = server.address();
        const port = typeof bound === "object" && bound !== null ? bound.port : asked.port;
        resolve(new Acceptor(server, withPort(asked, port), limits, receiver));
      });
    });
  }

  private constructor(server: Server, point: ListenPoint, limits: ConnectionLimits, receiver: SipReceiver) {
    this.#server = server;
    this.point = point;
    this.#limits = limits;
    this.#receiver = receiver;
    server.on("connection", (socket) => this.#accept(socket));
  }

  get count(): number {
    return this.#sockets.size + this.#dialled;
  }

  get isFull(): boolean {
    return this.count >= this.#limits.connectionsMax;
  }

  /** Counts a connection that we make ourselves, until it closes. */
  counts(dialled: Socket): void {
    this.#dialled++;
    dialled.once("close", () => this.#dialled--);
  }

  #accept(socket: Socket): void {
    const address = socket.remoteAddress;
    const fault = address === undefined ? "gone" : this.#refuses(address);
    if (address === undefined || fault !== undefined) {
      // Nobody is told why: a reset costs us nothing to keep.
      if (fault !== "unknown-source" && fault !== "gone")
        this.#receiver.onStreamFault(fault ?? "gone", this.point, { address: address ?? "", because: "bound" });
      socket.on("error", () => {});
      socket.resetAndDestroy();
      return;
    }
    const source = sourceKey(address);
    this.#sockets.add(socket);
    this.#bySource.set(source, (this.#bySource.get(source) ?? 0) + 1);
    socket.once("close", () => {
      this.#sockets.delete(socket);
      const left = (this.#bySource.get(source) ?? 1) - 1;
      if (left === 0) this.#bySource.delete(source);
      else this.#bySource.set(source, left);
    });
    this.onSocket(socket, address);
  }

  #refuses(address: string): string | undefined {
    if (!this.#receiver.admits(address)) return "unknown-source"; // counted there
    if (this.isFull) return "too-many-connections";
    if ((this.#bySource.get(sourceKey(address)) ?? 0) >= this.#limits.connectionsPerSourceMax)
      return "too-many-from-source";
    return undefined;
  }

  async stop(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}
