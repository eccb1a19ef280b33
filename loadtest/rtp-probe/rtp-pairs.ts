// Many plain streams at once, and the longest silence of each: for measurements where hundreds of probes would measure themselves.

import { createSocket, type Socket } from "node:dgram";
import type { RtpAddress } from "../../pop/core/media/addresses.ts";
import { FRAME_MS, FRAME_SAMPLES } from "../../pop/core/media/g711.ts";
import { writeRtp } from "../../pop/core/media/rtp.ts";

/** One end: sends a packet every 20 ms to wherever it is told, and notes when it heard one. */
export class RtpEnd {
  readonly address: RtpAddress;
  readonly #socket: Socket;
  #to: RtpAddress | undefined;
  #sequence = Math.floor(Math.random() * 0x8000);
  #timestamp = 0;
  readonly #ssrc = Math.floor(Math.random() * 0x1_0000_0000);
  #lastMs: number | undefined;
  #gapMs = 0;
  #heard = 0;

  private constructor(socket: Socket) {
    this.#socket = socket;
    const { address, port } = socket.address();
    this.address = { host: address, port };
    socket.on("message", () => {
      const nowMs = performance.now();
      if (this.#lastMs !== undefined) this.#gapMs = Math.max(this.#gapMs, nowMs - this.#lastMs);
      this.#lastMs = nowMs;
      this.#heard++;
    });
    socket.on("error", () => {});
  }

  static async open(host: string): Promise<RtpEnd> {
    const socket = createSocket({ type: "udp4", recvBufferSize: 1 << 18 });
    await new Promise<void>((resolve) => socket.bind(0, host, resolve));
    return new RtpEnd(socket);
  }

  sendTo(to: RtpAddress): void {
    this.#to = to;
  }

  send(): void {
    if (this.#to === undefined) return;
    const packet = writeRtp({
      marker: false,
      payloadType: 0,
      sequence: this.#sequence,
      timestamp: this.#timestamp,
      ssrc: this.#ssrc,
      payload: new Uint8Array(FRAME_SAMPLES),
    });
    this.#sequence = (this.#sequence + 1) & 0xffff;
    this.#timestamp += FRAME_SAMPLES;
    this.#socket.send(packet, this.#to.port, this.#to.host);
  }

  /** From now on. */
  listenAnew(): void {
    this.#lastMs = performance.now();
    this.#gapMs = 0;
    this.#heard = 0;
  }

  get heard(): number {
    return this.#heard;
  }

  /** The longest silence since `listenAnew`, the one that lasts included. */
  gapMs(): number {
    return Math.max(this.#gapMs, performance.now() - (this.#lastMs ?? Number.NEGATIVE_INFINITY));
  }

  close(): Promise<void> {
    return new Promise((resolve) => this.#socket.close(() => resolve()));
  }
}

/** Lets all of them send, spread over the 20 ms. @returns what stops them */
export function sendAll(ends: readonly RtpEnd[]): () => void {
  const startMs = performance.now();
  let sent = 0;
  const timer = setInterval(() => {
    const due = Math.floor(((performance.now() - startMs) / FRAME_MS) * ends.length);
    // After a stall of our own the rest is left out, not sent at once.
    if (due - sent > 4 * ends.length) sent = due - ends.length;
    for (; sent < due; sent++) ends[sent % ends.length]?.send();
  }, 2);
  return () => clearInterval(timer);
}
