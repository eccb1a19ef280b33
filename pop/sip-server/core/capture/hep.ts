// HEPv3, the capture protocol of Homer collectors: one packet per SIP message. "HEP3 Network Protocol Specification" rev. 12.

export interface CapturedMessage {
  /** As on the wire, a byte per character. */
  readonly text: string;
  readonly from: { readonly address: string; readonly port: number };
  readonly to: { readonly address: string; readonly port: number };
  readonly isUdp: boolean;
  /** Milliseconds since 1970. */
  readonly unixMs: number;
  /** What makes one call of its messages: the Call-ID. */
  readonly callId: string;
}

export interface CaptureAgent {
  /** Tells the collector which of our hosts speaks. */
  readonly id: number;
  /** Of the host, shown by the collector; "" for none. */
  readonly name: string;
  /** Sent with each packet when the collector asks for it; "" for none. */
  readonly password: string;
}

/** The 16-bit length of a packet counts the whole of it. */
export const HEP_PACKET_BYTES_MAX = 65_535;
const OVERHEAD_BYTES_MAX = 1_024;

const isIPv4 = (address: string): boolean => /^\d{1,3}(?:\.\d{1,3}){3}$/.test(address);
const isIPv6 = (address: string): boolean => address.includes(":");

const AF_INET = 2;
const AF_INET6 = 10;
const PROTO_TCP = 6;
const PROTO_UDP = 17;
const PAYLOAD_SIP = 1;

const Chunk = {
  family: 0x01,
  protocol: 0x02,
  source4: 0x03,
  destination4: 0x04,
  source6: 0x05,
  destination6: 0x06,
  sourcePort: 0x07,
  destinationPort: 0x08,
  seconds: 0x09,
  microseconds: 0x0a,
  payloadType: 0x0b,
  agentId: 0x0c,
  authenticateKey: 0x0e,
  payload: 0x0f,
  correlationId: 0x11,
  agentName: 0x13,
} as const;

/** undefined: too large for a packet, or an address that is none (both are counted by the caller). */
export function encodeHep(message: CapturedMessage, agent: CaptureAgent): Buffer | undefined {
  const { from, to, text } = message;
  const isV6 = isIPv6(from.address) && isIPv6(to.address);
  if (!isV6 && !(isIPv4(from.address) && isIPv4(to.address))) return undefined;
  if (text.length > HEP_PACKET_BYTES_MAX - OVERHEAD_BYTES_MAX) return undefined;
  const packet = Buffer.allocUnsafe(text.length + OVERHEAD_BYTES_MAX);
  const end = new Packet(packet)
    .uint8(Chunk.family, isV6 ? AF_INET6 : AF_INET)
    .uint8(Chunk.protocol, message.isUdp ? PROTO_UDP : PROTO_TCP)
    .bytes(isV6 ? Chunk.source6 : Chunk.source4, addressBytes(from.address))
    .bytes(isV6 ? Chunk.destination6 : Chunk.destination4, addressBytes(to.address))
    .uint16(Chunk.sourcePort, from.port)
    .uint16(Chunk.destinationPort, to.port)
    .uint32(Chunk.seconds, Math.floor(message.unixMs / 1_000))
    .uint32(Chunk.microseconds, Math.floor((message.unixMs % 1_000) * 1_000))
    .uint8(Chunk.payloadType, PAYLOAD_SIP)
    .uint32(Chunk.agentId, agent.id)
    .text(Chunk.agentName, agent.name, 64)
    .text(Chunk.authenticateKey, agent.password, 128)
    .text(Chunk.correlationId, message.callId, 255)
    .text(Chunk.payload, withoutDigestResponse(text), text.length)
    .finish();
  return packet.subarray(0, end);
}

/** Chunks one after another: vendor, type, length with its six bytes of header, value. */
class Packet {
  readonly #to: Buffer;
  #at: number;

  constructor(to: Buffer) {
    this.#to = to;
    this.#at = to.write("HEP3", 0, "latin1") + 2;
  }

  uint8(type: number, value: number): this {
    this.#at = this.#to.writeUInt8(value, this.#begin(type, 1));
    return this;
  }

  uint16(type: number, value: number): this {
    this.#at = this.#to.writeUInt16BE(value, this.#begin(type, 2));
    return this;
  }

  uint32(type: number, value: number): this {
    this.#at = this.#to.writeUInt32BE(value >>> 0, this.#begin(type, 4));
    return this;
  }

  bytes(type: number, value: readonly number[]): this {
    let at = this.#begin(type, value.length);
    for (const byte of value) at = this.#to.writeUInt8(byte, at);
    this.#at = at;
    return this;
  }

  /** Left out when empty; cut at `charactersMax`. */
  text(type: number, value: string, charactersMax: number): this {
    if (value === "") return this;
    const length = Math.min(value.length, charactersMax);
    const at = this.#begin(type, length);
    this.#at = at + this.#to.write(value, at, length, "latin1");
    return this;
  }

  finish(): number {
    this.#to.writeUInt16BE(this.#at, 4);
    return this.#at;
  }

  #begin(type: number, valueBytes: number): number {
    let at = this.#to.writeUInt16BE(0, this.#at); // vendor 0: the generic chunks
    at = this.#to.writeUInt16BE(type, at);
    return this.#to.writeUInt16BE(6 + valueBytes, at);
  }
}

/** The bytes of an address; scope ids are left out. */
export function addressBytes(address: string): number[] {
  if (isIPv4(address)) return address.split(".").map(Number);
  const bare = address.replace(/%.*$/, "");
  const dotted = /(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(bare);
  const plain = dotted === null ? bare : bare.slice(0, dotted.index) + hexPairs(dotted.slice(1, 5).map(Number));
  const [head = "", tail] = plain.split("::");
  const front = groups(head);
  const back = tail === undefined ? [] : groups(tail);
  const gap = new Array<number>(Math.max(0, 8 - front.length - back.length)).fill(0);
  return [...front, ...gap, ...back].flatMap((group) => [group >> 8, group & 0xff]);
}

const groups = (text: string): number[] =>
  text === "" ? [] : text.split(":").map((group) => Number.parseInt(group, 16));

const hexPairs = ([a = 0, b = 0, c = 0, d = 0]: readonly number[]): string =>
  `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;

/** What is needed to guess a password offline is masked, at the same length. */
function withoutDigestResponse(text: string): string {
  if (!/^(?:proxy-)?authorization[ \t]*:/im.test(text)) return text;
  // The header with its folded lines, then each response in it, quoted or not.
  return text.replace(/^(?:proxy-)?authorization[ \t]*:[^\r\n]*(?:\r\n[ \t][^\r\n]*)*/gim, (line) =>
    line.replace(
      /\b(response\s*=\s*"?)([^"\s,]+)/gi,
      (_, before: string, secret: string) => before + "*".repeat(secret.length),
    ),
  );
}
