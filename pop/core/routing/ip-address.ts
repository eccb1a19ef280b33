// IP addresses and CIDRs as values. Text in, bytes out; no look-up, no socket.

import { fail, type Outcome, succeed } from "../../../kernel/outcome.ts";

/** Four bytes for IPv4 (an IPv4-mapped IPv6 address, RFC 4291 §2.5.5.2, is one), else sixteen. */
export type IpBytes = readonly number[];

export interface IpPrefix {
  readonly bytes: IpBytes;
  /** Leading bits that count. */
  readonly bits: number;
}

const TEXT_MAX = 64;

/** A zone ("%eth0") is dropped: it says where the packet came in, not from whom. undefined: no address. */
export function parseIp(text: string): IpBytes | undefined {
  if (text.length > TEXT_MAX) return undefined;
  const zone = text.indexOf("%");
  const address = zone < 0 ? text : text.slice(0, zone);
  if (!address.includes(":")) return parseIpv4(address);
  const bytes = parseIpv6(address);
  return bytes !== undefined && isMapped(bytes) ? bytes.slice(12) : bytes;
}

/** "10.1.0.0/16", "2001:db8::/32"; an address alone is a prefix of one. Why not, in words, for whoever wrote it. */
export function parseCidr(text: string): Outcome<IpPrefix, string> {
  const slash = text.indexOf("/");
  const address = slash < 0 ? text : text.slice(0, slash);
  const bytes = address.includes("%") ? undefined : parseIp(address);
  if (bytes === undefined) return fail("is no IPv4 or IPv6 address with a prefix length");
  const bitsMax = bytes.length * 8;
  if (slash < 0) return succeed({ bytes, bits: bitsMax });
  const length = text.slice(slash + 1);
  if (!/^(0|[1-9]\d{0,2})$/.test(length)) return fail(`"/${length.slice(0, 8)}" is no prefix length`);
  const mapped = bytes.length === 4 && address.includes(":");
  const bits = mapped ? Number(length) - 96 : Number(length);
  if (bits < 0 || bits > bitsMax) return fail(`/${length} is out of range`);
  if (bytes.some((_, at) => at * 8 + 8 > bits && (byteAfter(bytes, at, bits) ?? 0) !== 0)) {
    return fail(`has bits set beyond /${length}`);
  }
  return succeed({ bytes, bits });
}

/** Bit 0 is the first on the wire. */
export const bitAt = (bytes: IpBytes, at: number): 0 | 1 =>
  (((bytes[at >> 3] ?? 0) >> (7 - (at & 7))) & 1) === 1 ? 1 : 0;

/** What of byte `at` lies behind the first `bits` bits. */
function byteAfter(bytes: IpBytes, at: number, bits: number): number {
  const kept = Math.max(0, Math.min(8, bits - at * 8));
  return (bytes[at] ?? 0) & (0xff >> kept);
}

/** No leading zeros: "010" is eight to some and ten to others. */
function parseIpv4(text: string): IpBytes | undefined {
  const parts = text.split(".");
  if (parts.length !== 4) return undefined;
  if (!parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) <= 255)) return undefined;
  return parts.map(Number);
}

/** RFC 4291 §2.2. */
function parseIpv6(text: string): IpBytes | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const [head, tail] = halves.map((half, at) =>
    half === "" ? [] : groupsOf(half.split(":"), at === halves.length - 1),
  );
  if (head === undefined || (halves.length === 2 && tail === undefined)) return undefined;
  const missing = 16 - head.length - (tail?.length ?? 0);
  if (halves.length === 1 ? missing !== 0 : missing < 2) return undefined;
  return [...head, ...Array<number>(missing).fill(0), ...(tail ?? [])];
}

/** @param last whether the address ends here: only there may IPv4 stand */
function groupsOf(groups: readonly string[], last: boolean): number[] | undefined {
  const bytes: number[] = [];
  for (const [at, group] of groups.entries()) {
    if (group.includes(".")) {
      const ipv4 = last && at === groups.length - 1 ? parseIpv4(group) : undefined;
      if (ipv4 === undefined) return undefined;
      bytes.push(...ipv4);
    } else {
      if (!/^[0-9a-fA-F]{1,4}$/.test(group)) return undefined;
      const value = Number.parseInt(group, 16);
      bytes.push(value >> 8, value & 0xff);
    }
  }
  return bytes;
}

const isMapped = (bytes: IpBytes): boolean =>
  bytes.slice(0, 10).every((byte) => byte === 0) && bytes[10] === 0xff && bytes[11] === 0xff;
