// The pop's way in: a unix socket, one JSON object a line in each direction. One pop at a time; the newest connection
// wins, since a pop that was restarted must not wait for its dead predecessor's socket to be noticed.

import { chmodSync, unlinkSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import type { Log } from "../../../kernel/log.ts";
import { type Event, LINE_BYTES_MAX, PROTOCOL_VERSION, type Reply, type Request, request } from "../core/request.ts";

/** A pop that reads so far behind is stuck; its connection is ended. */
export const BACKLOG_BYTES_MAX = 4 << 20;

export interface ControlHandlers {
  /** Never rejects. */
  handle(request: Request): Promise<Reply>;
  connected(): void;
  /** The only connection is gone, and none took its place. */
  lost(): void;
}

export class ControlSocket {
  readonly #server: Server;
  readonly #handlers: ControlHandlers;
  readonly #log: Log;
  readonly #sockets = new Set<Socket>();
  #pop: { readonly socket: Socket; readonly replaced: () => void } | undefined;

  private constructor(server: Server, handlers: ControlHandlers, log: Log) {
    this.#server = server;
    this.#handlers = handlers;
    this.#log = log;
    server.on("connection", (socket) => this.#accept(socket));
  }

  /** @throws EADDRINUSE when a living process listens there; a dead one's socket is taken away */
  static async open(path: string, handlers: ControlHandlers, log: Log): Promise<ControlSocket> {
    const server = createServer();
    const listen = () =>
      new Promise<void>((resolve, reject) => {
        server.once("error", reject);
        // Created for the owner alone: between bind and chmod there is no moment when others could connect.
        const before = process.umask(0o177);
        server.listen(path, () => {
          server.off("error", reject);
          resolve();
        });
        process.umask(before);
      });
    try {
      await listen();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE" || (await answers(path))) throw error;
      unlinkSync(path);
      await listen();
    }
    chmodSync(path, 0o600);
    return new ControlSocket(server, handlers, log);
  }

  tell(event: Event): void {
    if (this.#pop !== undefined) this.#write(this.#pop.socket, event);
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket);
    let rest = Buffer.alloc(0);
    let replaced = false;
    socket.on("data", (bytes) => {
      if (replaced) return; // no longer in command
      rest = rest.length === 0 ? bytes : Buffer.concat([rest, bytes]);
      let start = 0;
      for (let end = rest.indexOf(10, start); end >= 0; end = rest.indexOf(10, start)) {
        this.#takeCommand(socket, () => {
          replaced = true;
        });
        this.#receive(socket, rest.subarray(start, end));
        start = end + 1;
      }
      rest = rest.subarray(start);
      if (rest.length > LINE_BYTES_MAX) this.#refuse(socket, "line too long");
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      this.#sockets.delete(socket);
      if (this.#pop?.socket !== socket) return;
      this.#pop = undefined;
      this.#handlers.lost();
    });
    this.#write(socket, { event: "hello", protocol: PROTOCOL_VERSION, pid: process.pid });
  }

  /** With its first line a connection is the pop's: who only looks whether we live says none. */
  #takeCommand(socket: Socket, replaced: () => void): void {
    const before = this.#pop;
    if (before?.socket === socket) return;
    this.#pop = { socket, replaced };
    if (before !== undefined) {
      this.#log.warn("control.replaced");
      before.replaced();
      this.#write(before.socket, { event: "replaced" });
      before.socket.end();
      before.socket.setTimeout(1_000, () => before.socket.destroy());
      this.#handlers.lost(); // the successor has to open what it wants to keep
    }
    this.#handlers.connected();
  }

  #receive(socket: Socket, line: Buffer): void {
    const asked = line.length > LINE_BYTES_MAX ? undefined : readRequest(line.toString("utf8"));
    if (asked === undefined) return this.#refuse(socket, "not JSON, or without an id");
    if ("wrong" in asked) {
      const failure = { code: "media.worker-refused", detail: asked.wrong } as const;
      return this.#write(socket, { id: asked.id, ok: false, failure });
    }
    void this.#handlers.handle(asked).then((reply) => this.#write(socket, reply));
  }

  #refuse(socket: Socket, because: string): void {
    this.#log.warn("control.refused", { because });
    socket.destroy();
  }

  #write(socket: Socket, message: Reply | Event): void {
    if (socket.destroyed) return;
    if (socket.writableLength > BACKLOG_BYTES_MAX) return this.#refuse(socket, "backlog full");
    socket.write(`${JSON.stringify(message)}\n`);
  }
}

function readRequest(line: string): Request | { readonly id: number; readonly wrong: string } | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  const parsed = request.safeParse(value);
  if (parsed.success) return parsed.data;
  const id = (value as { id?: unknown } | null)?.id;
  if (typeof id !== "number") return undefined;
  const wrong = parsed.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`).join("; ");
  return { id, wrong: wrong.slice(0, 500) };
}

/** Whether a living process accepts connections there. */
const answers = (path: string): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
