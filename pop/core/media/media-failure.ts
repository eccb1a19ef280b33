/** Why media could not be had, with what an operator needs to act. Codes are stable: docs and metrics use them. */
export type MediaFailure =
  /** No answer to an NG command within the bound, retries included. */
  | { readonly code: "media.relay-away"; readonly command: string; readonly waitedMs: number }
  /** The relay answered "error": its own words. */
  | { readonly code: "media.relay-refused"; readonly command: string; readonly detail: string }
  /** A command for a call that was never anchored, or is released. */
  | { readonly code: "media.not-anchored" }
  /** A bridge or re-offer for a leg that was never offered, or is parked. */
  | { readonly code: "media.no-such-leg"; readonly leg: string }
  /** SDP in which we find no audio stream to an address. */
  | { readonly code: "media.sdp-unreadable"; readonly detail: string }
  | { readonly code: "media.no-common-codec"; readonly offered: readonly string[] }
  /** Audio in a profile that is not carried yet, such as RTP/SAVP. */
  | { readonly code: "media.transport-unsupported"; readonly transport: string }
  /** The control connection is down, or a request got no answer within the bound. */
  | { readonly code: "media.worker-away"; readonly waitedMs: number }
  | { readonly code: "media.worker-refused"; readonly detail: string }
  /** Every RTP port of the worker is in use. */
  | { readonly code: "media.endpoints-exhausted"; readonly endpointsMax: number }
  /** Connect, play or stop for a call that is not open at the worker. */
  | { readonly code: "media.not-open" }
  | { readonly code: "media.prompt-unreadable"; readonly path: string; readonly detail: string };

export type MediaFailureCode = MediaFailure["code"];
