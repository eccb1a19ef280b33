// Byte-level damage, and the tokens that parsers of SIP trip over.

import type { Chance } from "./chance.ts";

const TOKENS: readonly string[] = [
  "\r\n",
  "\r\n\r\n",
  "\r",
  "\n",
  "\0",
  " ",
  "\t",
  "\r\n ",
  ",",
  ";",
  ";;",
  ":",
  '"',
  "\\",
  '\\"',
  "<",
  ">",
  "<>",
  "@",
  "%00",
  "%0d%0a",
  "|",
  "#",
  "[",
  "]",
  "[::1]",
  "sip:",
  "SIP/2.0",
  "SIP/2.0/UDP ",
  "z9hG4bK",
  ";branch=z9hG4bK",
  ";tag=",
  ";rport",
  ";lr",
  ";maddr=",
  "Content-Length: 0\r\n",
  "Content-Length: 65535\r\n",
  "l:-1\r\n",
  "Via: ",
  "v: SIP/2.0/TCP x\r\n",
  "CSeq: 4294967296 INVITE\r\n",
  "Contact: *\r\n",
  "INVITE",
  "ACK",
  "BYE",
  "CANCEL",
  "2147483647",
  "2147483648",
  "-1",
  "99999999999999999999",
  "\xff\xfe",
  "\xc3\xa9",
  "\xc3\xa0",
  "\xed\xa0\x80",
  "__proto__",
  "constructor",
];
const BYTES_MAX = 70_000;

export function damage(input: string, other: string, chance: Chance): string {
  let text = input;
  for (let times = 1 + chance.below(4); times > 0; times--) text = once(text, other, chance);
  return text.length > BYTES_MAX ? text.slice(0, BYTES_MAX) : text;
}

function once(text: string, other: string, chance: Chance): string {
  const at = chance.below(text.length + 1);
  const end = at + chance.below(Math.min(64, text.length - at) + 1);
  switch (chance.below(11)) {
    case 0: // another byte
      return text.slice(0, at) + String.fromCharCode(chance.below(256)) + text.slice(at + 1);
    case 1: // cut
      return text.slice(0, at) + text.slice(end);
    case 2: // end early
      return text.slice(0, at);
    case 3: // a token in
      return text.slice(0, at) + chance.of(TOKENS) + text.slice(at);
    case 4: // a token over
      return text.slice(0, at) + chance.of(TOKENS) + text.slice(end);
    case 5: {
      // again and again; rarely very often
      const times = chance.one(40) ? 2_000 : 1 + chance.below(8);
      return text.slice(0, at) + text.slice(at, end).repeat(times) + text.slice(at);
    }
    case 6: {
      // a piece of another input
      const from = chance.below(other.length + 1);
      return text.slice(0, at) + other.slice(from, from + chance.below(200)) + text.slice(at);
    }
    case 7: {
      // one line to another place
      const lines = text.split("\r\n");
      const [line = ""] = lines.splice(chance.below(lines.length), 1);
      lines.splice(chance.below(lines.length + 1), 0, line);
      return lines.join("\r\n");
    }
    case 8: {
      // one line twice
      const lines = text.split("\r\n");
      const which = chance.below(lines.length);
      lines.splice(which, 0, lines[which] ?? "");
      return lines.join("\r\n");
    }
    case 9: // another number
      return text.replace(/\d+/g, (digits) =>
        chance.one(6) ? chance.of(["0", "1", "-1", "65536", "2147483648", digits + digits]) : digits,
      );
    default: {
      // two halves
      const from = chance.below(other.length + 1);
      return text.slice(0, at) + other.slice(from);
    }
  }
}

/** Pieces away: halves first, then quarters … single characters. */
export function* smallerText(text: string): Iterable<string> {
  for (let size = text.length >> 1; size > 0; size >>= 1)
    for (let at = 0; at < text.length; at += size) yield text.slice(0, at) + text.slice(at + size);
}
