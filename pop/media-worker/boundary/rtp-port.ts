import type { RtpAddress } from "../../core/media/addresses.ts";

/** One call's UDP port. */
export interface RtpPort {
  readonly address: RtpAddress;
  readonly sendsTo: RtpAddress | undefined;
  /** Packets. */
  readonly received: number;
  /** Told "nobody listens there" so often. */
  readonly refused: number;
  connect(to: RtpAddress): Promise<void>;
  /** Nothing happens before `connect`. */
  send(packet: Uint8Array): void;
  /** The audio of the last `ms`, up to a second, as far as received. */
  heard(ms: number): Int16Array;
  close(): void;
}

/** @throws EADDRINUSE and the like */
export type OpenRtpPort = (host: string, port: number) => Promise<RtpPort>;
