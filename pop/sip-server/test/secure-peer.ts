// Peers over TLS and WebSocket: libraries of others under them, not our transports.

import { once } from "node:events";
import type { Server as NetServer } from "node:net";
import { type ConnectionOptions, connect, createServer, type TLSSocket, type TlsOptions } from "node:tls";
import { type ClientOptions, WebSocket } from "ws";
import { MessageStream } from "../core/message/stream.ts";
import { Peer } from "./peer.ts";

/** One TLS connection to the server, and a TLS server of its own that can be called. */
export class TlsPeer extends Peer {
  readonly transport = "TLS";
  readonly port: number;
  readonly socket: TLSSocket | undefined;
  /** Connections the server made to us. */
  readonly called: TLSSocket[] = [];
  readonly #server: NetServer | undefined;
  #last: TLSSocket | undefined;

  /** Connects; rejects when the handshake fails on either side. */
  static async connect(port: number, options: ConnectionOptions & { localAddress?: string }): Promise<TlsPeer> {
    const socket = connect({ host: "127.0.0.1", port, ...options });
    await once(socket, "secureConnect");
    return new TlsPeer(socket, undefined);
  }

  static async listen(options: TlsOptions, port = 0): Promise<TlsPeer> {
    const server = createServer(options);
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
    return new TlsPeer(undefined, server);
  }

  private constructor(socket: TLSSocket | undefined, server: NetServer | undefined) {
    super();
    this.socket = socket;
    this.#server = server;
    const bound = server?.address();
    this.port = typeof bound === "object" && bound !== null ? bound.port : (socket?.localPort ?? 0);
    if (socket !== undefined) this.#listen(socket);
    server?.on("secureConnection", (called: TLSSocket) => {
      this.called.push(called);
      this.#listen(called);
    });
    server?.on("tlsClientError", () => {});
  }

  #listen(socket: TLSSocket): void {
    this.#last = socket;
    const stream = new MessageStream(65_535);
    socket.on("error", () => {});
    socket.on("data", (bytes) => {
      const taken = stream.take(bytes.toString("latin1"));
      if (taken.ok) for (const text of taken.value.messages) this.take(text);
    });
  }

  sendText(text: string): void {
    this.#last?.write(text, "latin1");
  }

  close(): void {
    this.socket?.destroy();
    for (const socket of this.called) socket.destroy();
    this.#server?.close();
  }
}

/** What a browser's library would be; its address is nobody's. */
export class WebSocketPeer extends Peer {
  readonly transport: "WS" | "WSS";
  override readonly host = "df7jal23ls0d.invalid";
  readonly port = 5060;
  readonly socket: WebSocket;

  static async open(url: string, options: ClientOptions = {}): Promise<WebSocketPeer> {
    const socket = new WebSocket(url, ["sip"], options);
    await once(socket, "open");
    return new WebSocketPeer(socket, url.startsWith("wss") ? "WSS" : "WS");
  }

  private constructor(socket: WebSocket, transport: "WS" | "WSS") {
    super();
    this.socket = socket;
    this.transport = transport;
    socket.on("error", () => {});
    socket.on("message", (data) => {
      if (Buffer.isBuffer(data)) this.take(data.toString("latin1"));
    });
  }

  override get contact(): string {
    return `<sip:peer@${this.host};transport=ws>`;
  }

  sendText(text: string): void {
    this.socket.send(Buffer.from(text, "latin1"), { binary: false });
  }

  close(): void {
    this.socket.terminate();
  }
}
