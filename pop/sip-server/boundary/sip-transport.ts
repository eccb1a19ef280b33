import type { Flow, ListenPoint } from "../core/flow.ts";

export interface SipTransport {
  readonly point: ListenPoint;
  /**
   * Sends one message. Never throws.
   * @param failed called at most once, later, when it certainly did not leave
   */
  send(text: string, to: Flow, failed: () => void): void;
  stop(): Promise<void>;
}

/** What a transport tells the endpoint. */
export interface SipReceiver {
  /** Whether we look at anything from this address; false counts the drop. */
  admits(address: string): boolean;
  /** One datagram, or one message cut from a stream; bytes as latin-1. */
  onMessage(text: string, from: Flow, point: ListenPoint): void;
  onStreamFault(fault: string): void;
}

export type OpenTransport = (point: ListenPoint, receiver: SipReceiver) => Promise<SipTransport>;
