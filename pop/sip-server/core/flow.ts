// Where a message came from or goes to, as data: it outlives sockets and processes.

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
