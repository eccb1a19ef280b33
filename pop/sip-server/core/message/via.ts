// The Via header value: RFC 3261 §20.42, RFC 3581 for rport.

import { trimLws } from "./lws.ts";
import { nextComma, parameter, withoutParameter } from "./parameters.ts";

export interface Via {
  /** Upper case: "UDP". */
  readonly transport: string;
  /** As written; IPv6 keeps its brackets. */
  readonly host: string;
  readonly port: number | undefined;
  /** Empty when there is none (RFC 2543 senders). */
  readonly branch: string;
  /** From the first `;` to the end of this value, verbatim. */
  readonly params: string;
}

/** What opens every branch made by RFC 3261 or later: §8.1.1.7. */
export const MAGIC_COOKIE = "z9hG4bK";

/** The first value of a Via header; undefined when it is not one. */
export function parseVia(value: string, versions: "2.0" | "any-version" = "2.0"): Via | undefined {
  const end = nextComma(value, 0);
  const first = end === value.length ? value : value.slice(0, end);
  const semicolon = first.indexOf(";");
  const head = semicolon === -1 ? first : first.slice(0, semicolon);
  const params = semicolon === -1 ? "" : trimLws(first.slice(semicolon));

  const firstSlash = head.indexOf("/");
  const secondSlash = head.indexOf("/", firstSlash + 1);
  if (firstSlash === -1 || secondSlash === -1) return undefined;
  if (trimLws(head.slice(0, firstSlash)).toUpperCase() !== "SIP") return undefined;
  if (versions === "2.0" && trimLws(head.slice(firstSlash + 1, secondSlash)) !== "2.0") return undefined;

  const rest = trimLws(head.slice(secondSlash + 1));
  let space = 0;
  while (space < rest.length && rest.charCodeAt(space) > 32) space++;
  const transport = rest.slice(0, space).toUpperCase();
  const sentBy = parseSentBy(trimLws(rest.slice(space)));
  if (transport === "" || sentBy === undefined) return undefined;
  return { transport, host: sentBy.host, port: sentBy.port, branch: parameter(params, "branch") ?? "", params };
}

function parseSentBy(text: string): { host: string; port: number | undefined } | undefined {
  const bracket = text.startsWith("[") ? text.indexOf("]") : -1;
  if (text.startsWith("[") && bracket === -1) return undefined;
  const colon = text.indexOf(":", bracket + 1);
  const host = trimLws(colon === -1 ? text : text.slice(0, colon));
  if (!isHost(host)) return undefined;
  if (colon === -1) return { host, port: undefined };
  const port = parsePort(trimLws(text.slice(colon + 1)));
  return port === undefined ? undefined : { host, port };
}

/** Letters, digits, dots, hyphens, underscores; or anything hexadecimal in brackets. */
export function isHost(text: string): boolean {
  return /^(?:[A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,64}\])$/.test(text);
}

export function parsePort(text: string): number | undefined {
  if (!/^\d{1,5}$/.test(text)) return undefined;
  const port = Number(text);
  return port > 0 && port < 65_536 ? port : undefined;
}

export function showVia(via: Via): string {
  return `SIP/2.0/${via.transport} ${via.host}${via.port === undefined ? "" : `:${via.port}`}${via.params}`;
}

/**
 * Notes where the request really came from, so that the response finds its way back.
 * RFC 3261 §18.2.1 (received), RFC 3581 §4 (rport, and then always received).
 */
export function withSource(via: Via, address: string, port: number): Via {
  const asked = parameter(via.params, "rport");
  const bare = via.host.startsWith("[") ? via.host.slice(1, -1) : via.host;
  if (asked === undefined && bare === address) return via;
  let params = withoutParameter(withoutParameter(via.params, "received"), "rport");
  if (asked !== undefined) params += `;rport=${port}`;
  params += `;received=${address}`;
  return { ...via, params };
}

/** The header value with its first member replaced; what follows the comma stays. */
export function replaceFirstVia(value: string, via: Via): string {
  const end = nextComma(value, 0);
  return end === value.length ? showVia(via) : showVia(via) + value.slice(end);
}
