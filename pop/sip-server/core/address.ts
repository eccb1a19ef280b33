// IP addresses and prefixes: as they are written (RFC 3986 §3.2.2), and as values (RFC 4291 §2.2, RFC 4632): two 16-bit words
// for IPv4, eight for IPv6.

export interface AddressPrefix {
  readonly words: readonly number[];
  readonly bits: number;
}

/** 0: a name. RFC 3986 §3.2.2. Zones ("fe80::1%eth0") are not for the wire. */
export function addressFamily(host: string): 0 | 4 | 6 {
  if (host.includes(":")) return isV6(host) ? 6 : 0;
  const last = host.charCodeAt(host.length - 1);
  return last >= 48 && last <= 57 && isV4(host) ? 4 : 0; // no top-level domain ends in a digit
}

/** undefined when it is no address. */
export function parseAddress(text: string): readonly number[] | undefined {
  const family = addressFamily(text);
  if (family === 0) return undefined;
  if (family === 4) return wordsOfV4(text);
  const [left = "", right] = text.split("::");
  const before = wordsOfGroups(left);
  if (right === undefined) return before;
  const after = wordsOfGroups(right);
  return [...before, ...new Array<number>(8 - before.length - after.length).fill(0), ...after];
}

/** "10.0.0.0/8", "2001:db8::/32", or one address. */
export function parsePrefix(text: string): AddressPrefix | undefined {
  const slash = text.indexOf("/");
  const words = parseAddress(slash === -1 ? text : text.slice(0, slash));
  if (words === undefined) return undefined;
  const most = words.length * 16;
  if (slash === -1) return { words, bits: most };
  const length = text.slice(slash + 1);
  if (!/^\d{1,3}$/.test(length) || Number(length) > most) return undefined;
  return { words, bits: Number(length) };
}

export function holds({ words, bits }: AddressPrefix, address: readonly number[]): boolean {
  if (address.length !== words.length) return false;
  for (let at = 0; at * 16 < bits; at++) {
    const left = bits - at * 16;
    const mask = left >= 16 ? 0xffff : 0xffff & ~(0xffff >> left);
    if ((((words[at] ?? 0) ^ (address[at] ?? 0)) & mask) !== 0) return false;
  }
  return true;
}

/** "::1" → "[::1]": as URIs and Via want it. */
export const bracketed = (address: string): string => (address.includes(":") ? `[${address}]` : address);

function isV4(text: string): boolean {
  let dots = 0;
  let value = 0;
  let digits = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === 46) {
      if (digits === 0 || ++dots > 3) return false;
      value = 0;
      digits = 0;
      continue;
    }
    if (code < 48 || code > 57 || (digits > 0 && value === 0)) return false;
    value = value * 10 + code - 48;
    digits++;
    if (value > 255) return false;
  }
  return dots === 3 && digits > 0;
}

function isV6(text: string): boolean {
  const gap = text.indexOf("::");
  if (gap === -1) return groupsOf(text) === 8;
  if (text.includes("::", gap + 1)) return false;
  const before = groupsOf(text.slice(0, gap), false);
  const after = groupsOf(text.slice(gap + 2));
  return before >= 0 && after >= 0 && before + after < 8;
}

/** How many 16-bit groups; -1: something that is none. A dotted quad at the end counts as two. */
function groupsOf(text: string, mayEndInV4 = true): number {
  if (text === "") return 0;
  const groups = text.split(":");
  let count = 0;
  for (const [at, group] of groups.entries()) {
    if (mayEndInV4 && at === groups.length - 1 && group.includes(".")) {
      if (!isV4(group)) return -1;
      count += 2;
    } else if (/^[0-9a-fA-F]{1,4}$/.test(group)) count++;
    else return -1;
  }
  return count;
}

function wordsOfV4(text: string): number[] {
  const [a = 0, b = 0, c = 0, d = 0] = text.split(".").map(Number);
  return [a * 256 + b, c * 256 + d];
}

const wordsOfGroups = (text: string): number[] =>
  text === ""
    ? []
    : text.split(":").flatMap((group) => (group.includes(".") ? wordsOfV4(group) : Number.parseInt(group, 16)));
