import type { SipRequest, SipResponse } from "../message/message.ts";

/** What a client transaction may ask of the world. */
export type ClientEffect<Timer extends string> =
  | { readonly kind: "send"; readonly request: SipRequest; readonly again: boolean }
  | { readonly kind: "deliver"; readonly response: SipResponse }
  | { readonly kind: "failed"; readonly because: "timeout" | "transport" }
  | { readonly kind: "start-timer"; readonly timer: Timer; readonly afterMs: number }
  | { readonly kind: "stop-timer"; readonly timer: Timer };

/** What a server transaction may ask of the world. */
export type ServerEffect<Timer extends string> =
  | { readonly kind: "send"; readonly response: SipResponse; readonly again: boolean }
  | { readonly kind: "deliver-ack"; readonly ack: SipRequest }
  | { readonly kind: "failed"; readonly because: "timeout" | "transport" }
  | { readonly kind: "start-timer"; readonly timer: Timer; readonly afterMs: number }
  | { readonly kind: "stop-timer"; readonly timer: Timer };
