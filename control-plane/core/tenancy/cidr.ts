// Address ranges as values: what an allow-list is made of. RFC 4632, RFC 4291 §2.3.

export interface Cidr {
  readonly family: 4 | 6;
  readonly network: bigint;
  readonly prefixBits: number;
}

/** Undefined for what is no CIDR, or has bits set behind its prefix. */
export function parseCidr(text: string): Cidr | undefined {
  const match = /^([0-9a-fA-F:.]+)\/(\d{1,3})$/.exec(text);
  const [, address = "", length = ""] = match ?? [];
  const family = address.includes(":") ? 6 : 4;
  const network = family === 4 ? parseIpv4(address) : parseIpv6(address);
  const prefixBits = Number(length);
  const width = family === 4 ? 32 : 128;
  if (match === null || network === undefined || prefixBits > width) return undefined;
  const hostBits = (1n << BigInt(width - prefixBits)) - 1n;
  return (network & hostBits) === 0n ? { family, network, prefixBits } : undefined;
}

export function overlap(a: Cidr, b: Cidr): boolean {
  if (a.family !== b.family) return false;
  const shift = BigInt((a.family === 4 ? 32 : 128) - Math.min(a.prefixBits, b.prefixBits));
  return a.network >> shift === b.network >> shift;
}

export const sameCidr = (a: Cidr, b: Cidr): boolean =>
  a.family === b.family && a.network === b.network && a.prefixBits === b.prefixBits;

function parseIpv4(text: string): bigint | undefined {
  const parts = text.split(".");
  if (parts.length !== 4 || !parts.every((part) => /^\d{1,3}$/.test(part) && Number(part) <= 255)) return undefined;
  return parts.reduce((sum, part) => (sum << 8n) | BigInt(part), 0n);
}

function parseIpv6(text: string): bigint | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const groups = (half: string | undefined) => (half === undefined || half === "" ? [] : half.split(":"));
  const head = groups(halves[0]);
  const tail = groups(halves[1]);
  const missing = 8 - head.length - tail.length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined;
  const all = [...head, ...Array<string>(Math.max(0, missing)).fill("0"), ...tail];
  if (!all.every((group) => /^[0-9a-fA-F]{1,4}$/.test(group))) return undefined;
  return all.reduce((sum, group) => (sum << 16n) | BigInt(Number.parseInt(group, 16)), 0n);
}
