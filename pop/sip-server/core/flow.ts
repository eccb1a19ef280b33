// Where a message came from or goes to, as data: it outlives sockets and processes.

export type TransportName = "udp" | "tcp";

/** One of our addresses, as listed in the configuration. */
export interface ListenPoint {
  /** "udp/127.0.0.1:5060": unique, and what drachtio calls a host port. */
  readonly id: string;
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
}

export const isReliable = (flow: Flow): boolean => flow.transport === "tcp";

/** Port 0 in the configuration: the point is named after the port it got. */
export function withPort(point: ListenPoint, port: number): ListenPoint {
  return { ...point, port, id: `${point.transport}/${point.host}:${port}` };
}
