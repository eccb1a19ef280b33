// The numbers of one outgoing RTP stream. RFC 3550 §5.1, RFC 3551 §4.1

import type { Rng } from "../../../kernel/rng.ts";
import { FRAME_SAMPLES } from "../../core/media/g711.ts";

export interface RtpStream {
  readonly ssrc: number;
  readonly sequence: number;
  readonly timestamp: number;
  /** The next packet begins a talk spurt. */
  readonly marker: boolean;
}

/**
 * A stream nobody can guess the numbers of. Its sequence begins in the lower half (RFC 3711 §3.3.1): no wrap in the first ten
 * minutes, which whoever makes SRTP of it would have to remember.
 */
export const newStream = (rng: Rng): RtpStream => ({
  ssrc: Math.floor(rng.next() * 0x1_0000_0000),
  sequence: Math.floor(rng.next() * 0x8000),
  timestamp: Math.floor(rng.next() * 0x1_0000_0000),
  marker: true,
});

export const afterPacket = (stream: RtpStream): RtpStream => ({
  ssrc: stream.ssrc,
  sequence: (stream.sequence + 1) & 0xffff,
  timestamp: (stream.timestamp + FRAME_SAMPLES) >>> 0,
  marker: false,
});

export const atTalkSpurt = (stream: RtpStream): RtpStream => ({ ...stream, marker: true });

/** Time passed in which nothing was sent: the clock of the stream goes on, its count of packets does not. */
export const afterPause = (stream: RtpStream, frames: number): RtpStream => ({
  ...stream,
  timestamp: (stream.timestamp + frames * FRAME_SAMPLES) >>> 0,
  marker: true,
});
