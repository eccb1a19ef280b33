import type { Header } from "./message.ts";

/** Why a datagram or stream is not a message we can use. */
export type Fault =
  | "empty"
  | "too-large"
  | "start-line"
  | "version"
  | "control-character"
  | "header-line"
  | "header-name"
  | "too-many-headers"
  | "headers-unterminated"
  | "missing-header"
  | "repeated-header"
  | "via"
  | "cseq"
  | "cseq-method"
  | "call-id"
  | "from"
  | "to"
  | "content-length"
  | "body-too-short";

/**
 * A message that cannot be used, and what RFC 3261 lets us do about it.
 * A 400 (or 501, 505) needs the headers that a response copies; without them, and for every ACK and every
 * response, silence is all there is (§8.2.6.2, §18.3, §16.3).
 */
export interface Malformed {
  readonly code: "sip.malformed";
  readonly fault: Fault;
  readonly detail: string;
  readonly answer: Answerable | undefined;
}

/** Enough of a bad request to say so to its sender. */
export interface Answerable {
  readonly status: 400 | 501 | 505;
  readonly method: string;
  readonly headers: readonly Header[];
}
