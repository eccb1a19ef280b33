// SIP over a byte stream: RFC 3261 §18, §18.3. What TCP and TLS have in common.

import type { Socket } from "node:net";
import type { Flow, ListenPoint } from "../core/flow.ts";
import { MessageStream, type StreamFault } from "../core/message/stream.ts";
import { Connection, ConnectionTransport, PONG_BEHIND_BYTES_MAX } from "./connections.ts";

class StreamConnection extends Connection {
  readonly socket: Socket;
  readonly stream: MessageStream;
  #batch = "";

  constructor(
    socket: Socket,
    stream: MessageStream,
    flow: Flow & { readonly connection: string },
    point: ListenPoint,
    dialledTo: string | undefined,
  ) {
    super(flow, point, dialledTo, performance.now());
    this.socket = socket;
    this.stream = stream;
  }

  get backlogBytes(): number {
    return this.socket.writableLength + this.#batch.length;
  }

  /** All messages of one turn leave in one segment, and over TLS in one record. */
  write(text: string): void {
    if (this.#batch === "") setImmediate(flush, this);
    this.#batch += text;
  }

  flush(): void {
    const batch = this.#batch;
    if (batch === "") return;
    this.#batch = "";
    if (this.socket.writable) this.socket.write(batch, "latin1");
  }

  ping(): void {
    this.write("\r\n\r\n");
  }

  /** RFC 5626 §3.5.1. */
  pong(): void {
    if (this.socket.writableLength <= PONG_BEHIND_BYTES_MAX) this.write("\r\n");
  }

  end(): void {
    this.flush();
    this.socket.end();
  }

  destroy(): void {
    this.socket.destroy();
  }
}

const flush = (connection: StreamConnection): void => connection.flush();

export abstract class ByteStreams extends ConnectionTransport {
  /** A socket of ours from now on: whoever made it. */
  protected adopt(
    socket: Socket,
    peer: { readonly address: string; readonly port: number; readonly peerIdentities?: readonly string[] },
    dialledTo: string | undefined,
  ): StreamConnection {
    const flow = {
      pointId: this.point.id,
      transport: this.point.transport,
      ...peer,
      connection: this.nextId(),
    };
    const stream = new MessageStream(this.limits.messageBytesMax);
    const connection = new StreamConnection(socket, stream, flow, this.point, dialledTo);
    this.add(connection);
    socket.on("error", () => {}); // "close" follows
    socket.on("end", () => connection.end());
    socket.on("close", () => this.removed(connection));
    socket.on("data", (bytes) => this.#read(connection, bytes));
    return connection;
  }

  #read(connection: StreamConnection, bytes: Buffer): void {
    this.heard(connection);
    const { stream } = connection;
    const taken = stream.take(bytes.toString("latin1"));
    if (!taken.ok) return this.#lost(connection, taken.failure);
    for (const text of taken.value.messages) if (!this.deliver(connection, text)) return;
    if (taken.value.pings > 0) connection.pong();
    if (stream.fault !== undefined) return this.#lost(connection, stream.fault);
    if (stream.waitingBytes <= 1) connection.halfSinceMs = 0;
    else if (connection.halfSinceMs === 0 || taken.value.messages.length > 0)
      connection.halfSinceMs = performance.now();
  }

  /** What follows cannot be understood: nothing more is read. */
  #lost(connection: StreamConnection, { fault, head }: StreamFault): void {
    if (head === undefined) return this.fault(connection, fault);
    this.receiver.onUnframed(head, connection.flow, connection.point);
    this.receiver.onStreamFault(fault, this.point, { address: connection.flow.address, because: fault });
    connection.end();
    connection.socket.removeAllListeners("data").resume();
    connection.halfSinceMs = performance.now();
  }
}
