// rtpengine's DTMF log: one UDP datagram of JSON per digit, sent when the key is let go.

import { createSocket, type Socket } from "node:dgram";
import type { RtpAddress } from "../../core/media/addresses.ts";
import { digitOfEvent } from "../../core/media/dtmf.ts";

export interface LoggedDigit {
  readonly ngCallId: string;
  readonly sourceTag: string;
  readonly digit: string;
  readonly durationMs: number;
}

/** undefined for whatever is no digit. */
export function readLoggedDigit(text: string): LoggedDigit | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { type, callid, source_tag, event, duration } = value as Record<string, unknown>;
  if (type !== "DTMF" || typeof callid !== "string" || typeof source_tag !== "string") return undefined;
  const digit = typeof event === "number" ? digitOfEvent(event) : undefined;
  if (digit === undefined) return undefined;
  return { ngCallId: callid, sourceTag: source_tag, digit, durationMs: typeof duration === "number" ? duration : 0 };
}

/** Anybody who can send to this address can press keys: so it is bound where only this host reaches it. */
export class DtmfListener {
  readonly address: RtpAddress;
  readonly #socket: Socket;

  private constructor(socket: Socket) {
    this.#socket = socket;
    const { address, port } = socket.address();
    this.address = { host: address, port };
  }

  /** @throws EADDRINUSE */
  static async open(address: RtpAddress, pressed: (digit: LoggedDigit) => void): Promise<DtmfListener> {
    const socket = createSocket(address.host.includes(":") ? "udp6" : "udp4");
    socket.on("message", (bytes) => {
      const digit = readLoggedDigit(bytes.toString("utf8"));
      if (digit !== undefined) pressed(digit);
    });
    await new Promise<void>((resolve, reject) => {
      socket.once("error", reject);
      socket.bind(address.port, address.host, () => {
        socket.off("error", reject);
        resolve();
      });
    });
    socket.on("error", () => {});
    return new DtmfListener(socket);
  }

  close(): Promise<void> {
    return new Promise((resolve) => this.#socket.close(() => resolve()));
  }
}
