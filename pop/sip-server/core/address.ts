// IP addresses and prefixes as values: RFC 4291 §2.2, RFC 4632. Two 16-bit words for IPv4, eight for IPv6.

export interface AddressPrefix {
  readonly words: readonly number[];
  readonly bits: number;
}

/** undefined when it is no address. A zone ("%eth0") is no part of one. */
export function parseAddress(text: string): readonly number[] | undefined {
  if (!text.includes(":")) return parseV4(text);
  if (text.length > 45) return undefined;
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const [left, right] = halves.map(parseGroups);
  if (left === undefined) return undefined;
  if (halves.length === 1) return left.length === 8 ? left : undefined;
  if (right === undefined || left.length + right.length > 7) return undefined;
  return [...left, ...new Array<number>(8 - left.length - right.length).fill(0), ...right];
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

function parseV4(text: string): readonly number[] | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (match === null) return undefined;
  const [a = 256, b = 256, c = 256, d = 256] = match.slice(1).map(Number);
  return a > 255 || b > 255 || c > 255 || d > 255 ? undefined : [a * 256 + b, c * 256 + d];
}

function parseGroups(text: string): readonly number[] | undefined {
  if (text === "") return [];
  const groups = text.split(":");
  const words: number[] = [];
  for (const [at, group] of groups.entries()) {
    if (at === groups.length - 1 && group.includes(".")) {
      const v4 = parseV4(group);
      if (v4 === undefined) return undefined;
      words.push(...v4);
    } else if (/^[0-9A-Fa-f]{1,4}$/.test(group)) words.push(Number.parseInt(group, 16));
    else return undefined;
  }
  return words;
}
