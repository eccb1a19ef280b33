// Where a message came from or goes to, as data: it outlives sockets and processes.

import { type AddressPrefix, bracketed, holds, parseAddress } from "./address.ts";

export const TRANSPORT_NAMES = ["udp", "tcp", "tls", "ws", "wss"] as const;

export type TransportName = (typeof TRANSPORT_NAMES)[number];

/** One of our addresses, as listed in the configuration. */
export interface ListenPoint {
  /** "udp/127.0.0.1:5060": unique, and what drachtio calls a host port. */
  readonly id: string;
  /** What operators call it: "carriers", "agents". Several points may share one. */
  readonly name: string;
  readonly transport: TransportName;
  readonly address: string;
  readonly port: number;
  /** What we call ourselves in Via and Contact; IPv6 in brackets. */
  readonly host: string;
  /** Peers in these prefixes see our own address instead of `host`: they are on our side of the NAT. */
  readonly localNets?: readonly AddressPrefix[];
}

export interface Flow {
  readonly pointId: string;
  readonly transport: TransportName;
  /** Of the peer. */
  readonly address: string;
  readonly port: number;
  /** The connection to prefer while it stands; undefined for UDP or "any". */
  readonly connection: string | undefined;
  /** The domain the peer's certificate must be good for when a TLS connection is made: RFC 5922 §7.1. Default: the address. */
  readonly domain?: string;
  /** Of a multicast group: how far a response may go (RFC 3261 §18.2.2). */
  readonly ttl?: number;
  /** What the peer has proven by its certificate: "sip:carrier.example", "dns:sbc.carrier.example". Only over TLS. */
  readonly peerIdentities?: readonly string[];
}

/** Streams lose nothing: no retransmission, no lingering (RFC 3261 §17). */
export const isReliable = (flow: Flow): boolean => flow.transport !== "udp";

export const isSecure = (transport: TransportName): boolean => transport === "tls" || transport === "wss";

export const isWebSocket = (transport: TransportName): boolean => transport === "ws" || transport === "wss";

/** Port 0 in the configuration: the point is named after the port it got. */
export function withPort(point: ListenPoint, port: number): ListenPoint {
  return { ...point, port, id: `${point.transport}/${point.host}:${port}` };
}

/** RFC 3261 §19.1.2, RFC 7118 §5.2.1. */
export function defaultPort(transport: TransportName): number {
  switch (transport) {
    case "udp":
    case "tcp":
      return 5060;
    case "tls":
      return 5061;
    case "ws":
      return 80;
    case "wss":
      return 443;
  }
}

/** The point as this peer should know it: under its own address when both are on one side of the NAT. */
export function facing(point: ListenPoint, address: string): ListenPoint {
  if (point.localNets === undefined) return point;
  const words = parseAddress(address);
  if (words === undefined || !point.localNets.some((net) => holds(net, words))) return point;
  return { ...point, host: bracketed(point.address) };
}

/** Whether a Via or Contact that says this means us. */
export const isNamed = (point: ListenPoint, host: string, port: number): boolean =>
  point.port === port && (point.host === host || bracketed(point.address) === host);
