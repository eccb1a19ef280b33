// `Digest realm="…", nonce="…", qop=auth`: the grammar both WWW-Authenticate and Authorization share. RFC 3261 §25.1, RFC 7616 §3.3, §3.4.

import { afterQuoted, nextComma } from "../message/parameters.ts";

/** Names in lower case, values without quotes and escapes. */
export type AuthParams = ReadonlyMap<string, string>;

/** More than any header of that kind has; further ones make it unreadable. */
const PARAMS_MAX = 32;
const TOKEN = /^[A-Za-z0-9\-.!%*_+`'~]+$/;
/** RFC 8187: `UTF-8''J%C3%A4s%C3%B8n`. */
const EXTENDED = /^UTF-8'[^']*'((?:[A-Za-z0-9!#$&+.^_`|~-]|%[0-9A-Fa-f]{2})*)$/i;

/** undefined when it is of another scheme, or not well-formed; a repeated parameter is not. */
export function parseDigest(value: string): AuthParams | undefined {
  if (!/^digest[ \t]/i.test(value)) return undefined;
  const params = new Map<string, string>();
  let at = 7;
  while (at < value.length) {
    const end = nextComma(value, at);
    const member = value.slice(at, end).trim();
    at = end + 1;
    if (member === "") continue; // empty list elements are allowed
    const equals = member.indexOf("=");
    if (equals <= 0 || params.size === PARAMS_MAX) return undefined;
    const name = member.slice(0, equals).trim().toLowerCase();
    const given = unquoted(member.slice(equals + 1).trim());
    if (!TOKEN.test(name) || given === undefined || params.has(name)) return undefined;
    params.set(name, given);
  }
  return extended(params);
}

/** `username*` stands for `username`; both at once make no sense. RFC 7616 §3.4. */
function extended(params: Map<string, string>): AuthParams | undefined {
  const given = params.get("username*");
  if (given === undefined) return params;
  const matched = EXTENDED.exec(given);
  if (matched === null || params.has("username")) return undefined;
  const bytes = (matched[1] ?? "").replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  params.set("username", bytes);
  return params;
}

/** What the quotes hold, escapes undone; undefined when they do not close at the end. */
export function unquoted(value: string): string | undefined {
  if (!value.startsWith('"')) return value.includes('"') ? undefined : value;
  if (afterQuoted(value, 0) !== value.length) return undefined;
  const inner = value.slice(1, -1);
  return inner.includes("\\") ? inner.replace(/\\(.)/gs, "$1") : inner;
}

export const quoted = (text: string): string => `"${text.replace(/["\\]/g, "\\$&")}"`;
