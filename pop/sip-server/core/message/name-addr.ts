// `"Alice" <sip:alice@host>;tag=1`: From, To, Contact, Route, Record-Route. RFC 3261 §20.10.

import { trimLws } from "./lws.ts";
import { afterQuoted, hasOpenQuote, parameter, withoutParameter } from "./parameters.ts";

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
    if (open === -1 || trimLws(value.slice(after, open)) !== "") return undefined;
    return bracketedUri(value, value.slice(at, after), open);
  }
  const open = value.indexOf("<", at);
  if (open !== -1) {
    const display = trimLws(value.slice(at, open));
    // A quote in an unquoted name was never opened or closed; at a comma or semicolon somebody else would cut.
    return UNSAFE_DISPLAY.test(display) ? undefined : bracketedUri(value, display, open);
  }
  // Without brackets every parameter belongs to the header, and the URI may hold neither "," nor "?" (§20).
  const semicolon = value.indexOf(";", at);
  const uri = trimLws(semicolon === -1 ? value.slice(at) : value.slice(at, semicolon));
  if (uri === "" || UNSAFE_BARE_URI.test(uri)) return undefined;
  const params = semicolon === -1 ? "" : value.slice(semicolon);
  return hasOpenQuote(params) ? undefined : { display: "", uri, params };
}

function bracketedUri(value: string, display: string, open: number): NameAddr | undefined {
  const close = value.indexOf(">", open);
  if (close === -1) return undefined;
  const params = trimLws(value.slice(close + 1));
  if (params !== "" && (!params.startsWith(";") || hasOpenQuote(params))) return undefined;
  return { display, uri: trimLws(value.slice(open + 1, close)), params };
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
