// Reads what tcpdump wrote: packets of UDP and TCP over IPv4 and IPv6, with the kernel's time of each. Pure: bytes in, packets out.
// The file is walked once and nothing is copied; a capture that ends in mid-packet (its writer was killed) ends there.

export interface WirePacket {
  /** Kernel's receipt, Unix time. */
  readonly atMs: number;
  readonly protocol: "udp" | "tcp";
  readonly from: WireAddress;
  readonly to: WireAddress;
  /** As far as it was captured. */
  readonly payload: Buffer;
  /** Of TCP. */
  readonly sequence: number;
  readonly flags: number;
}

export interface WireAddress {
  readonly host: string;
  readonly port: number;
}

export const TCP_FIN = 1;
export const TCP_SYN = 2;
export const TCP_RST = 4;

const MAGIC_MICROSECONDS = 0xa1b2c3d4;
const MAGIC_NANOSECONDS = 0xa1b23c4d;
const FILE_HEADER_BYTES = 24;
const RECORD_HEADER_BYTES = 16;
/** Link types: bytes before the IP header and where its EtherType stands. */
const LINKS: Readonly<Record<number, { readonly bytes: number; readonly typeAt: number }>> = {
  1: { bytes: 14, typeAt: 12 }, // Ethernet, the loopback device too
  113: { bytes: 16, typeAt: 14 }, // Linux "any", old
  276: { bytes: 20, typeAt: 0 }, // Linux "any"
};
const IPV4 = 0x0800;
const IPV6 = 0x86dd;
const TCP = 6;
const UDP = 17;

/** @throws Error when it is no capture, or of a device that is not known here */
export function* readPcap(file: Buffer): Generator<WirePacket> {
  if (file.length < FILE_HEADER_BYTES) return; // tcpdump had not yet written anything
  const magic = file.readUInt32LE(0);
  if (magic !== MAGIC_MICROSECONDS && magic !== MAGIC_NANOSECONDS)
    throw new Error("not a capture of this machine's tcpdump");
  const perMs = magic === MAGIC_NANOSECONDS ? 1e6 : 1e3;
  const link = LINKS[file.readUInt32LE(20) & 0xffff];
  if (link === undefined) throw new Error(`a capture of link type ${file.readUInt32LE(20)}, which is not known here`);
  const names = new Map<number, string>();
  for (let at = FILE_HEADER_BYTES; at + RECORD_HEADER_BYTES <= file.length; ) {
    const kept = file.readUInt32LE(at + 8);
    const start = at + RECORD_HEADER_BYTES;
    if (start + kept > file.length) return;
    const atMs = file.readUInt32LE(at) * 1_000 + file.readUInt32LE(at + 4) / perMs;
    const packet = readFrame(file.subarray(start, start + kept), link, atMs, names);
    if (packet !== undefined) yield packet;
    at = start + kept;
  }
}

function readFrame(
  frame: Buffer,
  link: { readonly bytes: number; readonly typeAt: number },
  atMs: number,
  names: Map<number, string>,
): WirePacket | undefined {
  if (frame.length < link.bytes + 28) return undefined;
  const type = frame.readUInt16BE(link.typeAt);
  const ip = frame.subarray(link.bytes);
  if (type === IPV4) {
    const headerBytes = ((ip[0] ?? 0) & 0x0f) * 4;
    if ((ip.readUInt16BE(6) & 0x1fff) !== 0) return undefined; // a later fragment: carries no ports
    const body = ip.subarray(headerBytes, Math.max(headerBytes, Math.min(ip.length, ip.readUInt16BE(2))));
    return readTransport(
      ip[9] ?? 0,
      body,
      nameOf(ip.readUInt32BE(12), names),
      nameOf(ip.readUInt32BE(16), names),
      atMs,
    );
  }
  if (type !== IPV6 || ip.length < 48) return undefined;
  const body = ip.subarray(40, Math.min(ip.length, 40 + ip.readUInt16BE(4)));
  return readTransport(ip[6] ?? 0, body, hex(ip.subarray(8, 24)), hex(ip.subarray(24, 40)), atMs);
}

function readTransport(
  protocol: number,
  body: Buffer,
  fromHost: string,
  toHost: string,
  atMs: number,
): WirePacket | undefined {
  if (body.length < 8) return undefined;
  const from = { host: fromHost, port: body.readUInt16BE(0) };
  const to = { host: toHost, port: body.readUInt16BE(2) };
  if (protocol === UDP) return { atMs, protocol: "udp", from, to, payload: body.subarray(8), sequence: 0, flags: 0 };
  if (protocol !== TCP || body.length < 20) return undefined;
  const headerBytes = ((body[12] ?? 0) >> 4) * 4;
  return {
    atMs,
    protocol: "tcp",
    from,
    to,
    payload: body.subarray(headerBytes),
    sequence: body.readUInt32BE(4),
    flags: body[13] ?? 0,
  };
}

/** The same few addresses come in every packet. */
function nameOf(address: number, names: Map<number, string>): string {
  const known = names.get(address);
  if (known !== undefined) return known;
  const name = `${address >>> 24}.${(address >>> 16) & 255}.${(address >>> 8) & 255}.${address & 255}`;
  if (names.size < 65_536) names.set(address, name);
  return name;
}

const hex = (bytes: Buffer): string => bytes.toString("hex").replace(/(.{4})(?=.)/g, "$1:");
