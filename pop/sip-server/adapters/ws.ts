// SIP over WebSocket, plain and secure: RFC 7118. One message per frame; clients cannot be dialled.

import { isUtf8 } from "node:buffer";
import { createServer, type IncomingMessage, type Server } from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import { type RawData, type WebSocket, WebSocketServer } from "ws";
import type { OpenTransport, SipReceiver } from "../boundary/sip-transport.ts";
import type { Flow, ListenPoint } from "../core/flow.ts";
import { type ConnectionLimits, UPGRADE_HEAD_BYTES_MAX } from "../core/limits.ts";
import { WebSocketFrames } from "../core/message/web-socket-frames.ts";
import { Acceptor } from "./acceptor.ts";
import { Connection, ConnectionTransport, PONG_BEHIND_BYTES_MAX } from "./connections.ts";
import { peerIdentities, type TlsIdentity } from "./tls-identity.ts";

export interface WebSocketSettings {
  /** Pages whose scripts may connect: "https://phone.example". undefined: any. Who is no browser has none to name. */
  readonly origins?: readonly string[];
}

/** @param identity undefined: without TLS */
export const openWebSockets =
  (limits: ConnectionLimits, settings: WebSocketSettings, identity?: TlsIdentity): OpenTransport =>
  async (asked, receiver) => {
    const acceptor = await Acceptor.open(asked, limits, receiver);
    return new WebSockets(acceptor, receiver, limits, settings, identity);
  };

class WebSocketConnection extends Connection {
  readonly socket: WebSocket;

  constructor(socket: WebSocket, flow: Flow & { readonly connection: string }, point: ListenPoint) {
    super(flow, point, undefined, performance.now());
    this.socket = socket;
  }

  get backlogBytes(): number {
    return this.socket.bufferedAmount;
  }

  write(text: string): void {
    const bytes = Buffer.from(text, "latin1");
    // A text frame must be UTF-8 (RFC 6455 §5.6): a browser would drop the connection over one that is not.
    this.socket.send(bytes, { binary: !isUtf8(bytes) }, () => {});
  }

  ping(): void {
    this.socket.ping(undefined, undefined, () => {});
  }

  end(): void {
    this.socket.close(1001);
  }

  destroy(): void {
    this.socket.terminate();
  }
}

class WebSockets extends ConnectionTransport {
  readonly #http: Server;
  readonly #upgrades: WebSocketServer;
  /** Who has yet to finish its upgrade. */
  readonly #expected = new Map<string, NodeJS.Timeout>();
  readonly #origins: ReadonlySet<string> | undefined;

  constructor(
    acceptor: Acceptor,
    receiver: SipReceiver,
    limits: ConnectionLimits,
    settings: WebSocketSettings,
    identity: TlsIdentity | undefined,
  ) {
    super(acceptor, receiver, limits);
    this.#origins = settings.origins === undefined ? undefined : new Set(settings.origins);
    const http = {
      maxHeaderSize: UPGRADE_HEAD_BYTES_MAX,
      keepAliveTimeout: 1,
    };
    if (identity === undefined) this.#http = createServer(http);
    else {
      const secure = createSecureServer({
        ...http,
        ...identity.serverOptions(),
        handshakeTimeout: limits.handshakeMs,
      });
      identity.serves(secure);
      secure.on("tlsClientError", (error: NodeJS.ErrnoException, socket) =>
        this.#fault("tls-handshake", socket.remoteAddress, error.code ?? "unknown"),
      );
      this.#http = secure as unknown as Server;
    }
    this.#upgrades = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false, // its memory per connection is a hundred times that of the connection
      maxPayload: limits.messageBytesMax,
      handleProtocols: (offered) => (offered.has("sip") ? "sip" : false),
    });
    this.#http.on("request", (_request, response) => {
      response.writeHead(426, { upgrade: "websocket", connection: "close", "content-length": 0 });
      response.end();
    });
    this.#http.on("clientError", (error: NodeJS.ErrnoException, socket) => {
      this.#fault("upgrade", "remoteAddress" in socket ? String(socket.remoteAddress) : "", error.code ?? "unknown");
      socket.destroy();
    });
    this.#http.on("upgrade", (request, socket, head) => this.#upgrade(request, socket, head));
    this.acceptor.onSocket = (socket, address) => {
      this.#expect(socket, address);
      this.#http.emit("connection", socket);
    };
  }

  /** Handshake, request and all must be over in time: the HTTP server minds only those it listens for itself. */
  #expect(socket: Socket, address: string): void {
    const key = `${address}|${socket.remotePort}`;
    const timer = setTimeout(() => {
      this.#fault("upgrade", address, "timeout");
      socket.destroy();
    }, this.limits.handshakeMs);
    this.#expected.set(key, timer);
    socket.once("close", () => {
      if (this.#expected.get(key) === timer) this.#expected.delete(key);
      clearTimeout(timer);
    });
  }

  #fault(fault: string, address: string | undefined, because: string): void {
    this.receiver.onStreamFault(fault, this.point, { address: address ?? "", because });
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const refused = this.#refuses(request);
    if (refused !== undefined) {
      this.#fault("upgrade", request.socket.remoteAddress, refused.because);
      socket.on("error", () => {});
      socket.end(`HTTP/1.1 ${refused.status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
      return;
    }
    this.#upgrades.handleUpgrade(request, socket, head, (accepted) => this.#accepted(accepted, request));
  }

  #refuses({ headers, socket }: IncomingMessage): { readonly status: string; readonly because: string } | undefined {
    // RFC 7118 §4.1: both sides must name it.
    const offered = (headers["sec-websocket-protocol"] ?? "").split(",").map((word) => word.trim());
    if (!offered.includes("sip")) return { status: "400 Bad Request", because: "subprotocol" };
    const { origin } = headers;
    if (origin !== undefined && this.#origins !== undefined && !this.#origins.has(origin))
      return { status: "403 Forbidden", because: "origin" };
    if ("getPeerX509Certificate" in socket && peerIdentities(socket as TLSSocket) === "unproven")
      return { status: "403 Forbidden", because: "client-certificate" };
    return undefined;
  }

  #accepted(socket: WebSocket, { socket: stream }: IncomingMessage): void {
    const { remoteAddress: address, remotePort: port = 0 } = stream;
    if (address === undefined) {
      socket.terminate();
      return;
    }
    clearTimeout(this.#expected.get(`${address}|${port}`));
    const proven = "getPeerX509Certificate" in stream ? peerIdentities(stream as TLSSocket) : undefined;
    const flow = {
      pointId: this.point.id,
      transport: this.point.transport,
      address,
      port,
      connection: this.nextId(),
      ...(proven === undefined || proven === "unproven" ? {} : { peerIdentities: proven }),
    };
    const connection = new WebSocketConnection(socket, flow, this.point);
    this.add(connection);
    socket.on("error", (error: NodeJS.ErrnoException) => this.#fault("frame", address, error.code ?? "unknown"));
    socket.on("close", () => this.removed(connection));
    socket.on("pong", () => this.heard(connection));
    socket.on("ping", () => this.heard(connection));
    socket.on("message", (data) => this.#read(connection, data));
    // The library tells of whole messages only: what has begun is kept as long as pings come between its fragments.
    const frames = new WebSocketFrames();
    stream.on("data", (bytes: Buffer) => {
      const { messages } = frames;
      frames.take(bytes);
      if (!frames.isHalf) connection.halfSinceMs = 0;
      else if (connection.halfSinceMs === 0 || frames.messages !== messages) connection.halfSinceMs = performance.now();
    });
  }

  #read(connection: WebSocketConnection, data: RawData): void {
    this.heard(connection);
    // binaryType is "nodebuffer": one Buffer, however many fragments it came in.
    const text = Buffer.isBuffer(data) ? data.toString("latin1") : "";
    if (text === "\r\n\r\n") {
      // As on streams: browsers' libraries ping like this.
      if (connection.backlogBytes <= PONG_BEHIND_BYTES_MAX) connection.write("\r\n");
    } else if (text !== "\r\n") this.deliver(connection, text);
  }

  /** A browser does not listen. RFC 7118 §5.4. */
  protected dial(): undefined {
    return undefined;
  }

  protected override pings(): boolean {
    return true;
  }

  override async stop(): Promise<void> {
    await super.stop();
    this.#http.close();
    this.#upgrades.close();
  }
}
