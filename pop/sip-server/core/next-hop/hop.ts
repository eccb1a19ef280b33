// What a URI says about the next hop before anybody is asked: RFC 3263 §4.1, §4.2, RFC 3261 §19.1.2, §26.2.2.

import { fail, type Outcome, succeed } from "../../../../kernel/outcome.ts";
import { addressFamily } from "../address.ts";
import { defaultPort, type TransportName } from "../flow.ts";
import { bareHost, parseUri, uriParameter } from "../message/uri.ts";

export interface Hop {
  /** A SIPS URI: nothing but TLS will do. */
  readonly secure: boolean;
  /** undefined: name servers decide. */
  readonly transport: TransportName | undefined;
  /** A name in lower case, or an address without brackets; `maddr` when there is one. */
  readonly host: string;
  /** undefined: the transport's own, or a service record's. */
  readonly port: number | undefined;
  readonly isAddress: boolean;
}

/** One place to send to. */
export interface Target {
  readonly transport: TransportName;
  readonly address: string;
  readonly port: number;
  /** The name the peer's certificate must be good for: that of the URI, never of a service record (RFC 5922 §7.1). */
  readonly domain: string | undefined;
}

export interface NoHop {
  readonly code: "next-hop.invalid" | "next-hop.unsupported" | "next-hop.self";
  /** As drachtio words it: applications match on some of these. */
  readonly reason: string;
}

const UNSUPPORTED: NoHop = { code: "next-hop.unsupported", reason: "requested protocol/transport not available" };

/** @fails next-hop.invalid no SIP or SIPS URI; next-hop.unsupported a transport nobody has, or one that SIPS forbids */
export function hopOf(uriText: string): Outcome<Hop, NoHop> {
  const uri = parseUri(uriText);
  if (uri === undefined)
    return fail({ code: "next-hop.invalid", reason: `invalid request-uri: ${uriText.slice(0, 128)}` });
  const secure = uri.scheme === "sips";
  const asked = uri.params === "" ? undefined : uriParameter(uri, "transport")?.toLowerCase();
  const transport = asked === undefined ? undefined : transportOf(asked, secure);
  if (asked !== undefined && transport === undefined) return fail(UNSUPPORTED);
  const host = bareHost((uri.params === "" ? "" : uriParameter(uri, "maddr")) || uri.host);
  const isAddress = addressFamily(host) !== 0;
  return succeed({ secure, transport, host: isAddress ? host : nameOf(host), port: uri.port, isAddress });
}

/** With a SIPS URI, "tcp" means TLS over TCP, "ws" WebSocket over TLS; UDP cannot be secured. RFC 3261 §26.2.2, RFC 7118 §5. */
function transportOf(asked: string, secure: boolean): TransportName | undefined {
  switch (asked) {
    case "udp":
      return secure ? undefined : "udp";
    case "tcp":
      return secure ? "tls" : "tcp";
    case "tls":
      return "tls";
    case "ws":
      return secure ? "wss" : "ws";
    case "wss":
      return "wss";
    default:
      return undefined;
  }
}

/** Names compare without case, and a final dot changes nothing. */
export const nameOf = (host: string): string => (host.endsWith(".") ? host.slice(0, -1) : host).toLowerCase();

/** With an address, or a port, and no transport, nobody has to be asked: RFC 3263 §4.1. */
export const usualTransport = (hop: Hop): TransportName => hop.transport ?? (hop.secure ? "tls" : "udp");

/** A numeric host is one target. */
export function targetOfAddress(hop: Hop): Target {
  const transport = usualTransport(hop);
  return { transport, address: hop.host, port: hop.port ?? defaultPort(transport), domain: undefined };
}

export const targetKey = ({ transport, address, port }: Omit<Target, "domain">): string =>
  `${transport}|${address}|${port}`;
