// One UDP port of one call.

import { createSocket, type Socket } from "node:dgram";
import type { RtpAddress } from "../../core/media/addresses.ts";
import { decodeG711 } from "../../core/media/g711.ts";
import { readRtp } from "../../core/media/rtp.ts";

import type { RtpPort } from "../boundary/rtp-port.ts";

/** A second of packets is kept for `listen`. */
const KEPT_PACKETS = 50;

export class RtpSocket implements RtpPort {
  readonly address: RtpAddress;
  readonly #socket: Socket;
  #sendsTo: RtpAddress | undefined;
  #connected = false;
  #closed = false;
  #kept: Uint8Array[] = [];
  #received = 0;
  #refused = 0;

  private constructor(socket: Socket) {
    this.#socket = socket;
    const { address, port } = socket.address();
    this.address = { host: address, port };
    socket.on("message", (bytes) => {
      this.#received++;
      if (this.#kept.length >= KEPT_PACKETS) this.#kept.shift();
      this.#kept.push(bytes);
    });
    // A connected socket is told when nobody listens there (yet): the call's signalling decides what that means.
    socket.on("error", () => {
      this.#refused++;
    });
  }

  /** @throws EADDRINUSE and the like */
  static async open(host: string, port: number): Promise<RtpSocket> {
    const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
    await new Promise<void>((resolve, reject) => {
      socket.once("error", reject);
      socket.bind(port, host, () => {
        socket.off("error", reject);
        resolve();
      });
    });
    return new RtpSocket(socket);
  }

  get received(): number {
    return this.#received;
  }

  get refused(): number {
    return this.#refused;
  }

  get sendsTo(): RtpAddress | undefined {
    return this.#sendsTo;
  }

  /** A connected socket sends at half the cost, and the kernel drops what comes from elsewhere. */
  async connect(to: RtpAddress): Promise<void> {
    if (this.#closed || (this.#connected && to.host === this.#sendsTo?.host && to.port === this.#sendsTo.port)) return;
    if (this.#connected) this.#socket.disconnect();
    this.#connected = false;
    this.#sendsTo = to;
    await new Promise<void>((resolve) => {
      this.#socket.connect(to.port, to.host, () => resolve());
    });
    this.#connected = true;
  }

  send(packet: Uint8Array): void {
    if (this.#connected && !this.#closed) this.#socket.send(packet);
  }

  /** The audio of the last `ms`, as far as received. Decoded only when asked for. */
  heard(ms: number): Int16Array {
    const payloads = this.#kept
      .slice(-Math.ceil(ms / 20))
      .map((bytes) => readRtp(bytes))
      .filter((packet) => packet?.payloadType === 0)
      .map((packet) => packet?.payload ?? new Uint8Array(0));
    return decodeG711("PCMU", Buffer.concat(payloads));
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket.close();
  }
}
