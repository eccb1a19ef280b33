// Whether a host is an address already. RFC 3986 §3.2.2: four decimal numbers, or groups of hexadecimal digits.

/** 0: a name. Zones ("fe80::1%eth0") are not for the wire. */
export function addressFamily(host: string): 0 | 4 | 6 {
  if (host.includes(":")) return isV6(host) ? 6 : 0;
  const last = host.charCodeAt(host.length - 1);
  return last >= 48 && last <= 57 && isV4(host) ? 4 : 0; // no top-level domain ends in a digit
}

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
