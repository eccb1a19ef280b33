// SIP over TCP: RFC 3261 §18. One listener and the connections it accepted or made; each framed by Content-Length.

import { connect, createServer, type Server, type Socket } from "node:net";
import type { OpenTransport, SipReceiver, SipTransport } from "../boundary/sip-transport.ts";
import { type Flow, type ListenPoint, withPort } from "../core/flow.ts";
import type { TcpLimits } from "../core/limits.ts";
import { MessageStream } from "../core/message/stream.ts";

export const openTcp =
  (limits: TcpLimits): OpenTransport =>
  (asked, receiver) =>
    new Promise((resolve, reject) => {
      const server = createServer({ noDelay: true, keepAlive: true });
      server.once("error", reject);
      server.listen(asked.port, asked.address, () => {
        server.off("error", reject);
        const bound = server.address();
        const port = typeof bound === "object" && bound !== null ? bound.port : asked.port;
        resolve(new Tcp(server, withPort(asked, port), receiver, limits));
      });
    });

interface Connection {
  readonly id: string;
  readonly socket: Socket;
  /** Told when the connection fails before what they sent has left. */
  readonly waiting: (() => void)[];
  connected: boolean;
}

class Tcp implements SipTransport {
  readonly point: ListenPoint;
  readonly #server: Server;
  readonly #receiver: SipReceiver;
  readonly #limits: TcpLimits;
  readonly #byId = new Map<string, Connection>();
  /** The latest connection to an address: used again for requests (§18). */
  readonly #byPeer = new Map<string, Connection>();
  #sequence = 0;

  constructor(server: Server, point: ListenPoint, receiver: SipReceiver, limits: TcpLimits) {
    this.#server = server;
    this.point = point;
    this.#receiver = receiver;
    this.#limits = limits;
    server.on("error", () => {});
    server.on("connection", (socket) => {
      const address = socket.remoteAddress;
      if (address === undefined || !receiver.admits(address)) {
        socket.destroy();
        return;
      }
      if (this.#byId.size >= limits.connectionsMax) {
        receiver.onStreamFault("too-many-connections");
        socket.destroy();
        return;
      }
      this.#adopt(socket, address, socket.remotePort ?? 0, true);
    });
  }

  send(text: string, to: Flow, failed: () => void): void {
    const known =
      (to.connection === undefined ? undefined : this.#byId.get(to.connection)) ?? this.#byPeer.get(peer(to));
    const connection = known ?? this.#dial(to);
    if (connection === undefined) {
      setImmediate(failed);
      return;
    }
    if (connection.socket.writableLength > this.#limits.backlogBytesMax) {
      connection.socket.destroy();
      setImmediate(failed);
      return;
    }
    if (!connection.connected) connection.waiting.push(failed);
    connection.socket.write(text, "latin1");
  }

  async stop(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const { socket } of this.#byId.values()) socket.destroy();
    await closed;
  }

  #dial(to: Flow): Connection | undefined {
    if (this.#byId.size >= this.#limits.connectionsMax || to.port === 0) return undefined;
    const socket = connect({ host: to.address, port: to.port, localAddress: this.point.address, noDelay: true });
    socket.setTimeout(this.#limits.connectTimeoutMs);
    return this.#adopt(socket, to.address, to.port, false);
  }

  #adopt(socket: Socket, address: string, port: number, connected: boolean): Connection {
    const id = `${this.point.id}#${++this.#sequence}`;
    const connection: Connection = { id, socket, waiting: [], connected };
    const key = `${address}|${port}`;
    this.#byId.set(id, connection);
    this.#byPeer.set(key, connection);
    const flow: Flow = { pointId: this.point.id, transport: "tcp", address, port, connection: id };
    const stream = new MessageStream(this.#limits.messageBytesMax);
    socket.setKeepAlive(true, 30_000);
    if (connected) socket.setTimeout(this.#limits.idleMs);
    socket.on("connect", () => {
      connection.connected = true;
      connection.waiting.length = 0;
      socket.setTimeout(this.#limits.idleMs);
    });
    socket.on("timeout", () => socket.destroy());
    socket.on("error", () => {}); // "close" follows
    socket.on("end", () => socket.end());
    socket.on("close", () => {
      this.#byId.delete(id);
      if (this.#byPeer.get(key) === connection) this.#byPeer.delete(key);
      for (const failed of connection.waiting.splice(0)) failed();
    });
    socket.on("data", (bytes) => {
      const taken = stream.take(bytes.toString("latin1"));
      if (!taken.ok) {
        this.#receiver.onStreamFault(taken.failure.fault);
        socket.destroy();
        return;
      }
      if (taken.value.pings > 0) socket.write("\r\n"); // RFC 5626 §3.5.1
      // A socket must not be believed for longer than its source is.
      if (taken.value.messages.length > 0 && !this.#receiver.admits(address)) {
        socket.destroy();
        return;
      }
      for (const text of taken.value.messages) this.#receiver.onMessage(text, flow, this.point);
    });
    return connection;
  }
}

const peer = (flow: Flow): string => `${flow.address}|${flow.port}`;
