// A copy of every message to a Homer collector, HEPv3 over UDP or TCP. Best effort: calls never wait for it, what does not fit is counted and lost.

import { createSocket, type Socket as Datagrams } from "node:dgram";
import { connect, isIPv6, type Socket } from "node:net";
import type { BackoffPolicy } from "../../../kernel/backoff.ts";
import { backoffMs } from "../../../kernel/backoff.ts";
import type { Log } from "../../../kernel/log.ts";
import type { Rng } from "../../../kernel/rng.ts";
import type { MessageTap } from "../boundary/message-tap.ts";
import { type CaptureAgent, encodeHep } from "../core/capture/hep.ts";
import type { Flow, ListenPoint } from "../core/flow.ts";

export interface HepSettings {
  readonly transport: "udp" | "tcp";
  /** An address: names are not looked up on the way of every message. */
  readonly host: string;
  readonly port: number;
  readonly agent: CaptureAgent;
  /** Unsent over TCP; beyond it messages are dropped and counted. */
  readonly backlogBytesMax: number;
}

export interface HepParts {
  readonly settings: HepSettings;
  readonly log: Log;
  readonly rng: Rng;
  unixMs(): number;
  /** Counts what was not captured, by reason. */
  lost(reason: "backlog" | "unreachable" | "too-large"): void;
}

export interface HepCapture extends MessageTap {
  stop(): void;
}

/** Never fails: a collector that is away is tried again for ever, at growing distances. */
export function openHepCapture(parts: HepParts): HepCapture {
  const sink = parts.settings.transport === "udp" ? new UdpSink(parts) : new TcpSink(parts);
  return new Capture(parts, sink);
}

interface Sink {
  send(packet: Buffer): void;
  stop(): void;
}

class Capture implements HepCapture {
  readonly #parts: HepParts;
  readonly #sink: Sink;

  constructor(parts: HepParts, sink: Sink) {
    this.#parts = parts;
    this.#sink = sink;
  }

  onMessage(text: string, direction: "in" | "out", flow: Flow, point: ListenPoint, callId: string): void {
    const ours = { address: point.address, port: point.port };
    const peer = { address: flow.address, port: flow.port };
    const [from, to] = direction === "in" ? [peer, ours] : [ours, peer];
    const isUdp = flow.transport === "udp";
    const message = { text, from, to, isUdp, unixMs: this.#parts.unixMs(), callId };
    const packet = encodeHep(message, this.#parts.settings.agent);
    if (packet === undefined) this.#parts.lost("too-large");
    else this.#sink.send(packet);
  }

  stop(): void {
    this.#sink.stop();
  }
}

class UdpSink implements Sink {
  readonly #socket: Datagrams;
  readonly #parts: HepParts;
  #stopped = false;

  constructor(parts: HepParts) {
    this.#parts = parts;
    const { host, port } = parts.settings;
    this.#socket = createSocket(isIPv6(host) ? "udp6" : "udp4");
    this.#socket.on("error", () => parts.lost("unreachable"));
    this.#socket.unref();
    // Connected: no look-up and no route per datagram, and a closed port is heard of.
    this.#socket.connect(port, host);
  }

  send(packet: Buffer): void {
    if (this.#stopped) return;
    try {
      this.#socket.send(packet, (error) => {
        if (error !== null) this.#parts.lost("unreachable");
      });
    } catch {
      this.#parts.lost("unreachable"); // not connected yet
    }
  }

  stop(): void {
    this.#stopped = true;
    this.#socket.close();
  }
}

const RECONNECT: BackoffPolicy = { firstMs: 500, factor: 2, waitMsMax: 30_000, jitter: 0.5 };

class TcpSink implements Sink {
  readonly #parts: HepParts;
  #socket: Socket | undefined;
  #connected = false;
  #attempt = 0;
  #again: NodeJS.Timeout | undefined;

  constructor(parts: HepParts) {
    this.#parts = parts;
    this.#dial();
  }

  send(packet: Buffer): void {
    const socket = this.#socket;
    if (socket === undefined || !this.#connected) this.#parts.lost("unreachable");
    else if (socket.writableLength + packet.length > this.#parts.settings.backlogBytesMax) this.#parts.lost("backlog");
    else socket.write(packet);
  }

  stop(): void {
    clearTimeout(this.#again);
    this.#socket?.removeAllListeners("close").on("error", () => {});
    this.#socket?.destroy();
    this.#socket = undefined;
  }

  #dial(): void {
    const { host, port } = this.#parts.settings;
    const socket = connect({ host, port, noDelay: true });
    this.#socket = socket;
    socket.on("connect", () => {
      this.#connected = true;
      this.#attempt = 0;
      this.#parts.log.info("capture.connected", { collector: `${host}:${port}` });
    });
    socket.on("error", (error) => {
      if (this.#attempt === 0) this.#parts.log.warn("capture.unreachable", { collector: `${host}:${port}`, error });
    });
    socket.on("data", () => {}); // collectors have nothing to say
    socket.on("close", () => {
      this.#connected = false;
      const waitMs = backoffMs(RECONNECT, this.#attempt++, this.#parts.rng);
      this.#again = setTimeout(() => this.#dial(), waitMs);
      this.#again.unref();
    });
    socket.unref();
  }
}
