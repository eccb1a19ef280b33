// Who somebody is to a rate limit: an IPv4 address, or an IPv6 /64, which is what one customer has.

const groups = new Uint16Array(8);
const words = new Uint32Array(2);
const asNumber = new Float64Array(words.buffer);

/**
 * The address itself, or the 64 bits of the prefix in the shape of a number: exact, and nothing is allocated for it
 * but that number. (NaN, which is all one key, would be 7ff0::/12 and fff0::/12: no unicast addresses.)
 */
export function sourceKey(address: string): string | number {
  if (!address.includes(":")) return address;
  if (address.startsWith("::ffff:") && address.includes(".")) return address.slice(7);
  groups.fill(0);
  let count = 0;
  let gap = -1;
  let value = 0;
  let digits = 0;
  for (let at = 0; at <= address.length && count < 8; at++) {
    const code = at < address.length ? address.charCodeAt(at) : 37;
    if (code === 58 || code === 37 || code === 46) {
      if (digits > 0) groups[count++] = value;
      if (code === 58 && digits === 0 && at > 0) gap = count;
      if (code === 37) break; // the end, or a zone
      value = 0;
      digits = 0;
      if (code === 46) break; // an IPv4 tail: far behind the prefix
    } else {
      value = ((value << 4) | hex(code)) & 0xffff;
      digits++;
    }
  }
  if (gap !== -1) {
    const behind = count - gap;
    for (let moved = 1; moved <= behind; moved++) {
      const from = count - moved;
      const to = 8 - moved;
      if (from === to) continue;
      groups[to] = groups[from] ?? 0;
      groups[from] = 0;
    }
  }
  words[1] = ((groups[0] ?? 0) << 16) | (groups[1] ?? 0);
  words[0] = ((groups[2] ?? 0) << 16) | (groups[3] ?? 0);
  return asNumber[0] ?? 0;
}

const hex = (code: number): number => (code <= 57 ? code - 48 : (code | 32) - 87);
