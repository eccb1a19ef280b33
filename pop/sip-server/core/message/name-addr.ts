// `"Alice" <sip:alice@host>;tag=1`: From, To, Contact, Route, Record-Route. RFC 3261 §20.10.

import { afterQuoted, parameter, withoutParameter } from "./parameters.ts";

export interface NameAddr {
  /** Quotes included, trimmed; empty when there is none. */
  readonly display: string;
  readonly uri: string;
  /** Parameters of the header, not of the URI: `;tag=1`. */
  readonly params: string;
}

const UNSAFE_DISPLAY = /[",;]/;
const UNSAFE_BARE_URI = /[">,?]/;

/** One value (not a list); undefined when quotes or brackets do not close. */
export function parseNameAddr(value: string): NameAddr | undefined {
  let at = 0;
  while (at < value.length && value.charCodeAt(at) <= 32) at++;
  if (value.charCodeAt(at) === 34) {
    const after = afterQuoted(value, at);
    if (after === -1) return undefined;
    const open = value.indexOf("<", after);
    if (open === -1 || value.slice(after, open).trim() !== "") return undefined;
    return bracketedUri(value, value.slice(at, after), open);
  }
  const open = value.indexOf("<", at);
  if (open !== -1) {
    const display = value.slice(at, open).trim();
    // A quote in an unquoted name was never opened or closed; at a comma or semicolon somebody else would cut.
    return UNSAFE_DISPLAY.test(display) ? undefined : bracketedUri(value, display, open);
  }
  // Without brackets every parameter belongs to the header, and the URI may hold neither "," nor "?" (§20).
  const semicolon = value.indexOf(";", at);
  const uri = (semicolon === -1 ? value.slice(at) : value.slice(at, semicolon)).trim();
  if (uri === "" || UNSAFE_BARE_URI.test(uri)) return undefined;
  return { display: "", uri, params: semicolon === -1 ? "" : value.slice(semicolon) };
}

function bracketedUri(value: string, display: string, open: number): NameAddr | undefined {
  const close = value.indexOf(">", open);
  if (close === -1) return undefined;
  const params = value.slice(close + 1).trim();
  if (params !== "" && !params.startsWith(";")) return undefined;
  return { display, uri: value.slice(open + 1, close).trim(), params };
}

export const showNameAddr = ({ display, uri, params }: NameAddr): string =>
  `${display === "" ? "" : `${display} `}<${uri}>${params}`;

/** Empty when there is none. */
export const tagOf = (nameAddr: NameAddr): string => parameter(nameAddr.params, "tag") ?? "";

export const withTag = (value: NameAddr, tag: string): NameAddr => ({
  ...value,
  params: `${withoutParameter(value.params, "tag")};tag=${tag}`,
});

export const withoutTag = (value: NameAddr): NameAddr => ({ ...value, params: withoutParameter(value.params, "tag") });
