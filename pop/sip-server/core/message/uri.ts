// SIP and SIPS URIs, as far as a user agent has to look into them. RFC 3261 §19.1.

import { parameter, withoutParameter } from "./parameters.ts";
import { isHost, parsePort } from "./via.ts";

export interface SipUri {
  readonly scheme: "sip" | "sips";
  /** Empty when there is none; includes a password, still escaped. */
  readonly user: string;
  /** IPv6 keeps its brackets. */
  readonly host: string;
  readonly port: number | undefined;
  /** `;transport=tcp;lr`, verbatim. */
  readonly params: string;
  /** `?Subject=x`, verbatim; never sent in a request line (§19.1.1). */
  readonly headers: string;
}

/** undefined when it is no SIP or SIPS URI. */
export function parseUri(text: string): SipUri | undefined {
  const colon = text.indexOf(":");
  if (colon !== 3 && colon !== 4) return undefined;
  const scheme = text.slice(0, colon).toLowerCase();
  if (scheme !== "sip" && scheme !== "sips") return undefined;
  if (text.length > 2_048 || /[\s<>"\0]/.test(text)) return undefined;

  // The user part may hold ";" and "?", so the last "@" before the host decides.
  const at = text.lastIndexOf("@");
  const user = at === -1 ? "" : text.slice(colon + 1, at);
  const rest = text.slice(at === -1 ? colon + 1 : at + 1);
  const question = rest.indexOf("?");
  const beforeHeaders = question === -1 ? rest : rest.slice(0, question);
  const semicolon = beforeHeaders.indexOf(";");
  const hostPort = semicolon === -1 ? beforeHeaders : beforeHeaders.slice(0, semicolon);
  const bracket = hostPort.startsWith("[") ? hostPort.indexOf("]") : -1;
  const portColon = hostPort.indexOf(":", bracket + 1);
  const host = portColon === -1 ? hostPort : hostPort.slice(0, portColon);
  if (!isHost(host)) return undefined;
  const port = portColon === -1 ? undefined : parsePort(hostPort.slice(portColon + 1));
  if (portColon !== -1 && port === undefined) return undefined;
  return {
    scheme,
    user,
    host,
    port,
    params: semicolon === -1 ? "" : beforeHeaders.slice(semicolon),
    headers: question === -1 ? "" : rest.slice(question),
  };
}

export function showUri(uri: SipUri): string {
  const user = uri.user === "" ? "" : `${uri.user}@`;
  return `${uri.scheme}:${user}${uri.host}${uri.port === undefined ? "" : `:${uri.port}`}${uri.params}${uri.headers}`;
}

export const uriParameter = (uri: SipUri, name: string): string | undefined => parameter(uri.params, name);

/** As a request line may carry it: no headers, no `method` (§19.1.1, table 1). */
export const asRequestUri = (uri: SipUri): SipUri => ({
  ...uri,
  params: withoutParameter(uri.params, "method"),
  headers: "",
});

/** Whether a "%" is no escape: some readers take it as it stands, others stop. RFC 3261 §25.1. */
export const hasBadEscape = (text: string): boolean => text.includes("%") && /%(?![0-9A-Fa-f]{2})/.test(text);

/** For logs and traces: where it points, never whom it names. */
export function withoutUser(text: string): string {
  const uri = parseUri(text);
  if (uri === undefined) return text.slice(0, Math.max(0, text.indexOf(":"))).concat(":…");
  return `${uri.scheme}:${uri.host}${uri.port === undefined ? "" : `:${uri.port}`}`;
}

/** "[::1]" → "::1": as sockets want it. */
export const bareHost = (host: string): string => (host.startsWith("[") ? host.slice(1, -1) : host);
