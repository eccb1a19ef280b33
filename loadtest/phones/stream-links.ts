// A phone's connections over TCP and TLS. One that breaks is not missed until something is to be said: then a new one is made to
// where the message is for, as RFC 3261 §18.1.1 and §18.2.2 have it.

import { createConnection, createServer, type Server, type Socket } from "node:net";
import { connect as connectTls, createServer as createTlsServer } from "node:tls";
import type { Flow } from "../../pop/sip-server/core/flow.ts";
import { MessageStream } from "../../pop/sip-server/core/message/stream.ts";

export interface PhoneTls {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

export interface StreamLinksOptions {
  readonly host: string;
  readonly port: number;
  /** undefined: plain TCP. */
  readonly tls: PhoneTls | undefined;
  onMessage(text: string, from: Flow): void;
}

interface Link {
  readonly id: string;
  readonly socket: Socket;
  readonly stream: MessageStream;
  readonly remote: { readonly address: string; readonly port: number };
  /** Sent since something was last heard: said once more elsewhere should the link break over it. */
  unheard: { readonly text: string; readonly target: Target; readonly atMs: number }[];
}

interface Target {
  readonly address: string;
  readonly port: number;
}

const MESSAGE_BYTES_MAX = 65_536;
const UNHEARD_MAX = 32;
/** What was sent longer ago than this has been lost to somebody who had the time to answer. */
const SAID_AGAIN_MS = 2_000;
const CONNECT_EVERY_MS = 100;
const CONNECT_TRIES_MAX = 100;

export class StreamLinks {
  readonly port: number;
  readonly #options: StreamLinksOptions;
  readonly #server: Server;
  readonly #links = new Map<string, Link>();
  readonly #byTarget = new Map<string, Link>();
  readonly #timers = new Set<NodeJS.Timeout>();
  #made = 0;
  readonly #known = new Set<string>();
  #closed = false;
  /** Connections of ours that had to be made anew. */
  reconnected = 0;

  private constructor(server: Server, options: StreamLinksOptions) {
    const bound = server.address();
    this.port = typeof bound === "object" && bound !== null ? bound.port : options.port;
    this.#server = server;
    this.#options = options;
    server.on(options.tls === undefined ? "connection" : "secureConnection", (socket: Socket) => this.#take(socket));
    server.on("tlsClientError", () => {});
    server.on("error", () => {});
  }

  /** @throws Error EADDRINUSE when the address is taken */
  static async open(options: StreamLinksOptions): Promise<StreamLinks> {
    const { tls } = options;
    const server = tls === undefined ? createServer() : createTlsServer({ ...tls, requestCert: false });
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(options.port, options.host, () => {
        server.off("error", reject);
        resolve();
      });
    });
    return new StreamLinks(server, options);
  }

  /** Over the flow's own connection while it stands, else over one to `target`. */
  send(text: string, flow: Flow, target: Target): void {
    if (this.#closed) return;
    const own = flow.connection === undefined ? undefined : this.#links.get(flow.connection);
    const link = own ?? this.#byTarget.get(keyOf(target));
    if (link !== undefined) return this.#write(link, text, target);
    this.#connect(target, text, 1);
  }

  drop(): void {
    for (const { socket } of this.#links.values()) socket.destroy();
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const timer of this.#timers) clearTimeout(timer);
    for (const { socket } of this.#links.values()) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #connect(target: Target, text: string, tries: number): void {
    const { tls, host } = this.#options;
    const at = { host: target.address, port: target.port, localAddress: host };
    const socket = tls === undefined ? createConnection(at) : connectTls({ ...at, ...tls });
    const failed = () => {
      if (this.#closed || tries >= CONNECT_TRIES_MAX) return;
      const timer = setTimeout(() => {
        this.#timers.delete(timer);
        const link = this.#byTarget.get(keyOf(target));
        if (link !== undefined) this.#write(link, text, target);
        else this.#connect(target, text, tries + 1);
      }, CONNECT_EVERY_MS);
      this.#timers.add(timer);
    };
    socket.once("error", failed);
    socket.once(tls === undefined ? "connect" : "secureConnect", () => {
      socket.off("error", failed);
      if (this.#known.has(keyOf(target))) this.reconnected++;
      this.#known.add(keyOf(target));
      const link = this.#take(socket, target);
      this.#write(link, text, target);
    });
  }

  #take(socket: Socket, target?: Target): Link {
    const remote = { address: socket.remoteAddress ?? "", port: socket.remotePort ?? 0 };
    const link: Link = {
      id: `link-${++this.#made}`,
      socket,
      stream: new MessageStream(MESSAGE_BYTES_MAX),
      remote,
      unheard: [],
    };
    this.#links.set(link.id, link);
    if (target !== undefined) this.#byTarget.set(keyOf(target), link);
    socket.setNoDelay(true);
    const from: Flow = {
      pointId: `${this.#options.tls === undefined ? "tcp" : "tls"}/${this.#options.host}:${this.port}`,
      transport: this.#options.tls === undefined ? "tcp" : "tls",
      ...remote,
      connection: link.id,
    };
    socket.on("data", (bytes) => {
      link.unheard = [];
      const part = link.stream.take(bytes.toString("latin1"));
      if (!part.ok) return void socket.destroy();
      for (const text of part.value.messages) this.#options.onMessage(text, from);
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      this.#links.delete(link.id);
      if (target !== undefined && this.#byTarget.get(keyOf(target)) === link) this.#byTarget.delete(keyOf(target));
      const now = performance.now();
      for (const lost of link.unheard)
        if (!this.#closed && now - lost.atMs < SAID_AGAIN_MS) this.#connect(lost.target, lost.text, 1);
    });
    return link;
  }

  #write(link: Link, text: string, target: Target): void {
    link.unheard.push({ text, target, atMs: performance.now() });
    if (link.unheard.length > UNHEARD_MAX) link.unheard.shift();
    link.socket.write(Buffer.from(text, "latin1"));
  }
}

const keyOf = ({ address, port }: Target): string => `${address}:${port}`;
