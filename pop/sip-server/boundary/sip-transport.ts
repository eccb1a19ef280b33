import type { Flow, ListenPoint } from "../core/flow.ts";

export interface SipTransport {
  readonly point: ListenPoint;
  /** Open now; none over UDP. */
  readonly connections?: number;
  /**
   * Sends one message, over the connection the flow names while it stands, else over one that is good for it, else over
   * a new one. Never throws.
   * @param failed called at most once, later, when it certainly did not leave
   */
  send(text: string, to: Flow, failed: () => void): void;
  /** The flow of a standing connection with that peer. WebSocket clients can be reached in no other way. */
  connectedTo?(address: string, port: number): Flow | undefined;
  stop(): Promise<void>;
}

/** What a transport tells the endpoint. */
export interface SipReceiver {
  /**
   * Whether we look at anything from this address; false counts the drop.
   * @param datagram what has arrived: it takes from its source's budget. A stream's messages do so in `onMessage`.
   */
  admits(address: string, datagram?: Uint8Array): boolean;
  /** One datagram, or one message cut from a stream; bytes as latin-1. */
  onMessage(text: string, from: Flow, point: ListenPoint): void;
  /** The headers of a message whose end cannot be known: it may be answered 400 (RFC 3261 §20.14) before its connection ends. */
  onUnframed(head: string, from: Flow, point: ListenPoint): void;
  /** A connection that stood, or was being made, has closed. Told once; an alias it had is told as a flow of its own. */
  onConnectionLost(flow: Flow): void;
  /** A connection was refused or ended by us: "too-large", "half-message", "tls-certificate". A label: few and short. */
  onStreamFault(
    fault: string,
    point: ListenPoint,
    detail?: { readonly address: string; readonly because: string },
  ): void;
}

export type OpenTransport = (point: ListenPoint, receiver: SipReceiver) => Promise<SipTransport>;
