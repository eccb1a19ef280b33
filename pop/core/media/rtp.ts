// RTP packets (RFC 3550 §5.1) and telephone events (RFC 4733 §2.3) as values.

export interface RtpPacket {
  readonly marker: boolean;
  readonly payloadType: number;
  readonly sequence: number;
  readonly timestamp: number;
  readonly ssrc: number;
  readonly payload: Uint8Array;
}

export const RTP_HEADER_BYTES = 12;

/** undefined for what is no RTP: another version, RTCP (RFC 5761 §4), or a header that is longer than the packet. */
export function readRtp(bytes: Uint8Array): RtpPacket | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.byteLength < RTP_HEADER_BYTES) return undefined;
  const first = view.getUint8(0);
  const second = view.getUint8(1);
  if (first >> 6 !== 2 || (second >= 192 && second <= 223)) return undefined;
  let start = RTP_HEADER_BYTES + 4 * (first & 0x0f);
  if (first & 0x10) {
    if (view.byteLength < start + 4) return undefined;
    start += 4 + 4 * view.getUint16(start + 2);
  }
  const padding = first & 0x20 ? view.getUint8(view.byteLength - 1) : 0;
  const end = view.byteLength - padding;
  if (end < start) return undefined;
  return {
    marker: (second & 0x80) !== 0,
    payloadType: second & 0x7f,
    sequence: view.getUint16(2),
    timestamp: view.getUint32(4),
    ssrc: view.getUint32(8),
    payload: bytes.subarray(start, end),
  };
}

/** The header alone, for who keeps the payload apart. */
export function writeRtpHeader(into: Uint8Array, packet: Omit<RtpPacket, "payload">): void {
  const { marker, payloadType, sequence, timestamp, ssrc } = packet;
  into[0] = 0x80;
  into[1] = (marker ? 0x80 : 0) | payloadType;
  into[2] = sequence >>> 8;
  into[3] = sequence;
  into[4] = timestamp >>> 24;
  into[5] = timestamp >>> 16;
  into[6] = timestamp >>> 8;
  into[7] = timestamp;
  into[8] = ssrc >>> 24;
  into[9] = ssrc >>> 16;
  into[10] = ssrc >>> 8;
  into[11] = ssrc;
}

export function writeRtp(packet: RtpPacket): Uint8Array {
  const bytes = new Uint8Array(RTP_HEADER_BYTES + packet.payload.length);
  writeRtpHeader(bytes, packet);
  bytes.set(packet.payload, RTP_HEADER_BYTES);
  return bytes;
}

/** From `before` to `now`, the short way round: 1 for the next packet, negative for a late one. */
export const sequenceStep = (before: number, now: number): number =>
  ((((now - before) & 0xffff) + 0x8000) & 0xffff) - 0x8000;

/** The same for timestamps. */
export const timestampStep = (before: number, now: number): number => (now - before) | 0;

export interface TelephoneEvent {
  readonly event: number;
  readonly end: boolean;
  /** 0 … 63, power in -dBm0. */
  readonly volume: number;
  /** So far, in timestamp units. */
  readonly duration: number;
}

export const writeTelephoneEvent = ({ event, end, volume, duration }: TelephoneEvent): Uint8Array =>
  Uint8Array.of(event, (end ? 0x80 : 0) | (volume & 0x3f), duration >>> 8, duration);

export function readTelephoneEvent(payload: Uint8Array): TelephoneEvent | undefined {
  const [event, flags, high, low] = payload;
  if (event === undefined || flags === undefined || high === undefined || low === undefined) return undefined;
  return { event, end: (flags & 0x80) !== 0, volume: flags & 0x3f, duration: (high << 8) | low };
}
