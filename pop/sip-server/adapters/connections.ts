// What TCP, TLS and WebSocket have in common: connections by name, by peer and by alias; their time limits; the way out.
//
// A  A message to a flow goes over the connection the flow names while that stands.
// B  Else over a connection that is good for the peer's address, port and (TLS) domain; else over a new one.
// C  WebSocket clients cannot be dialled: a flow that is gone fails at once (RFC 7118 §5.4).
// D  What is said before a connection stands waits in us, never in the socket: nothing reaches a peer that has not
//    proven who it is.

import { randomBytes } from "node:crypto";
import type { SipReceiver, SipTransport } from "../boundary/sip-transport.ts";
import { proves } from "../core/certificate-names.ts";
import { type Flow, facing, type ListenPoint } from "../core/flow.ts";
import type { ConnectionLimits } from "../core/limits.ts";
import { parameter } from "../core/message/parameters.ts";
import { parseVia } from "../core/message/via.ts";
import type { Acceptor } from "./acceptor.ts";

/** How often time limits are looked at; they may be late by so much. */
const SWEEP_MS = 1_000;

/** A peer that pings and does not read is not answered: each answer would wait here, and cost more than its two bytes. */
export const PONG_BEHIND_BYTES_MAX = 1_024;

interface Unsent {
  readonly text: string;
  readonly failed: () => void;
}

export abstract class Connection {
  readonly flow: Flow & { readonly connection: string };
  /** Ours as this peer knows it. */
  readonly point: ListenPoint;
  /** We made it, to this domain or address; undefined: the peer made it. */
  readonly dialledTo: string | undefined;
  readonly openedMs: number;
  /** Written before the connection stood; undefined once it does. */
  unsent: Unsent[] | undefined;
  unsentBytes = 0;
  heardMs: number;
  /** When the message began that has not ended; 0: none. */
  halfSinceMs = 0;
  hasSpoken = false;
  pingedMs = 0;
  /** The port it has an alias for; 0: none. */
  aliasPort = 0;

  constructor(
    flow: Flow & { readonly connection: string },
    point: ListenPoint,
    dialledTo: string | undefined,
    nowMs: number,
  ) {
    this.flow = flow;
    this.point = facing(point, flow.address);
    this.dialledTo = dialledTo;
    this.openedMs = nowMs;
    this.heardMs = nowMs;
    this.unsent = dialledTo === undefined ? undefined : [];
  }

  abstract write(text: string): void;
  abstract ping(): void;
  /** Bytes the kernel has not taken. */
  abstract get backlogBytes(): number;
  /** After what was written has left. */
  abstract end(): void;
  /** At once. */
  abstract destroy(): void;
}

export abstract class ConnectionTransport implements SipTransport {
  readonly point: ListenPoint;
  protected readonly acceptor: Acceptor;
  protected readonly limits: ConnectionLimits;
  protected readonly receiver: SipReceiver;
  readonly #byId = new Map<string, Connection>();
  /** The latest connection with an address and port, whoever made it. */
  readonly #byPeer = new Map<string, Connection>();
  /** RFC 5923: connections of peers that have proven who they are, by the port they want to be called at. */
  readonly #aliases = new Map<string, Connection>();
  readonly #sweeper: NodeJS.Timeout;
  #sequence = 0;
  #onEmpty: () => void = () => {};

  constructor(acceptor: Acceptor, receiver: SipReceiver, limits: ConnectionLimits) {
    this.acceptor = acceptor;
    this.point = acceptor.point;
    this.receiver = receiver;
    this.limits = limits;
    this.#sweeper = setInterval(() => this.#sweep(performance.now()), SWEEP_MS);
    this.#sweeper.unref();
  }

  get connections(): number {
    return this.acceptor.count;
  }

  /** undefined when none can be made. */
  protected abstract dial(to: Flow): Connection | undefined;
  /** Names in a certificate that may stand for many: TLS alone. */
  protected readonly wildcards: boolean = false;
  protected readonly isTls: boolean = false;

  send(text: string, to: Flow, failed: () => void): void {
    const connection = this.#find(to) ?? this.dial(to);
    if (connection === undefined) {
      setImmediate(failed);
      return;
    }
    const { unsent } = connection;
    if (connection.backlogBytes + connection.unsentBytes + text.length > this.limits.backlogBytesMax) {
      this.fault(connection, "unread");
      setImmediate(failed);
      return;
    }
    if (unsent === undefined) connection.write(text);
    else {
      unsent.push({ text, failed });
      connection.unsentBytes += text.length;
    }
  }

  connectedTo(address: string, port: number): Flow | undefined {
    return this.#byPeer.get(`${address}|${port}`)?.flow;
  }

  /** What has been written still leaves; a peer that does not read cannot hold us up. */
  async stop(): Promise<void> {
    clearInterval(this.#sweeper);
    for (const connection of [...this.#byId.values()]) {
      if (connection.backlogBytes > 0) connection.end();
      else connection.destroy();
    }
    if (this.#byId.size > 0)
      await new Promise<void>((resolve) => {
        this.#onEmpty = resolve;
        setTimeout(resolve, STOP_WITHIN_MS).unref();
      });
    for (const connection of [...this.#byId.values()]) connection.destroy();
    await this.acceptor.stop();
  }

  #find(to: Flow): Connection | undefined {
    if (to.connection !== undefined) {
      const named = this.#byId.get(to.connection);
      if (named !== undefined) return named;
    }
    const key = `${to.address}|${to.port}`;
    const known = this.#byPeer.get(key);
    if (known !== undefined && (!this.isTls || this.#isGoodFor(known, to))) return known;
    const alias = this.#aliases.get(key);
    return alias !== undefined && proves(alias.flow.peerIdentities, to.domain ?? to.address, this.wildcards)
      ? alias
      : undefined;
  }

  /**
   * A connection we made proved the domain we made it to. One the peer made proves what its certificate says; without a
   * name to prove, its own port is the peer's own word: nobody can be dialled there.
   */
  #isGoodFor(connection: Connection, to: Flow): boolean {
    const domain = to.domain ?? to.address;
    if (connection.dialledTo !== undefined) return connection.dialledTo === domain;
    return domain === to.address || proves(connection.flow.peerIdentities, domain, this.wildcards);
  }

  protected nextId(): string {
    return `${this.point.id}#${PROCESS}.${++this.#sequence}`;
  }

  protected add(connection: Connection): void {
    const { connection: id, address, port } = connection.flow;
    this.#byId.set(id, connection);
    this.#byPeer.set(`${address}|${port}`, connection);
  }

  /** It stands: what waited leaves. */
  protected stands(connection: Connection): void {
    const { unsent } = connection;
    connection.unsent = undefined;
    connection.unsentBytes = 0;
    connection.heardMs = performance.now();
    for (const { text } of unsent ?? []) connection.write(text);
  }

  /** It is gone. Safe to repeat. */
  protected removed(connection: Connection): void {
    const { connection: id, address, port } = connection.flow;
    if (!this.#byId.delete(id)) return;
    forget(this.#byPeer, `${address}|${port}`, connection);
    if (connection.aliasPort !== 0) forget(this.#aliases, `${address}|${connection.aliasPort}`, connection);
    const { unsent } = connection;
    connection.unsent = undefined;
    for (const { failed } of unsent ?? []) failed();
    this.receiver.onConnectionLost(connection.flow);
    if (connection.aliasPort !== 0) this.receiver.onConnectionLost({ ...connection.flow, port: connection.aliasPort });
    if (this.#byId.size === 0) this.#onEmpty();
  }

  /** Ends a connection for a reason, and says so. */
  protected fault(connection: Connection, fault: string, because = fault): void {
    this.receiver.onStreamFault(fault, this.point, { address: connection.flow.address, because });
    connection.destroy();
  }

  protected heard(connection: Connection): void {
    connection.heardMs = performance.now();
    connection.pingedMs = 0;
  }

  /** @returns false: the connection was ended, stop reading */
  protected deliver(connection: Connection, text: string): boolean {
    // A connection must not be believed for longer than its source is.
    if (!this.receiver.admits(connection.flow.address)) {
      connection.destroy();
      return false;
    }
    connection.hasSpoken = true;
    if (this.isTls && connection.flow.peerIdentities !== undefined) this.#learnAlias(connection, text);
    this.receiver.onMessage(text, connection.flow, connection.point);
    return true;
  }

  /**
   * RFC 5923 §5: who asks for it by `alias` in its Via gets our requests over this connection instead of a new one to
   * the port it names. The address is the one it really has, and it must have proven a name: what is sent to another
   * name at the same address does not come here (#find). A living alias of somebody else stays.
   */
  #learnAlias(connection: Connection, text: string): void {
    if (connection.aliasPort !== 0 || connection.dialledTo !== undefined || text.startsWith("SIP/2.0 ")) return;
    const line = /\r\n(?:via|v)[ \t]*:[ \t]*([^\r\n]*)/i.exec(text)?.[1];
    const via = line === undefined ? undefined : parseVia(line);
    if (via === undefined || parameter(via.params, "alias") === undefined) return;
    const port = via.port ?? 5061;
    const key = `${connection.flow.address}|${port}`;
    const held = this.#aliases.get(key)?.flow.peerIdentities;
    if (held !== undefined && !held.some((identity) => connection.flow.peerIdentities?.includes(identity))) return;
    this.#aliases.set(key, connection);
    connection.aliasPort = port;
  }

  #sweep(nowMs: number): void {
    const { idleMs, firstMessageMs, halfMessageMs, pingAfterMs, pongWithinMs } = this.limits;
    for (const connection of this.#byId.values()) {
      if (connection.unsent !== undefined) continue; // the dialler minds the time it takes
      if (connection.halfSinceMs !== 0 && nowMs - connection.halfSinceMs > halfMessageMs)
        this.fault(connection, "half-message");
      else if (
        !connection.hasSpoken &&
        connection.dialledTo === undefined &&
        nowMs - connection.openedMs > firstMessageMs
      )
        this.fault(connection, "silent");
      else if (nowMs - connection.heardMs > idleMs) this.fault(connection, "idle");
      else if (connection.pingedMs !== 0 && nowMs - connection.pingedMs > pongWithinMs)
        this.fault(connection, "no-pong");
      else if (
        pingAfterMs > 0 &&
        connection.pingedMs === 0 &&
        nowMs - connection.heardMs > pingAfterMs &&
        this.pings(connection)
      ) {
        connection.pingedMs = nowMs;
        connection.ping();
      }
    }
  }

  /** RFC 5626 §4.4.1: it is who made a connection that keeps it alive. */
  protected pings(connection: Connection): boolean {
    return connection.dialledTo !== undefined;
  }
}

const STOP_WITHIN_MS = 500;
/** A dialog taken up from another process names a connection of that one: never one of ours, of somebody else. */
const PROCESS = randomBytes(4).toString("hex");

function forget(map: Map<string, Connection>, key: string, connection: Connection): void {
  if (map.get(key) === connection) map.delete(key);
}
