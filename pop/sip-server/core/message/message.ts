// A SIP message as a value. RFC 3261 §7.
//
// Text is held as a string of bytes (latin-1): one character is one byte, so a
// length is a length in bytes, and UTF-8 passes through untouched.

import type { Via } from "./via.ts";

export interface Header {
  /** As it was written: order and case are kept. */
  readonly name: string;
  /** Lower case, never compact: what is compared. */
  readonly key: string;
  /** Trimmed, unfolded. */
  readonly value: string;
}

export interface CSeq {
  readonly number: number;
  readonly method: string;
}

/** What every layer needs of every message, read once by the parser. */
export interface Essentials {
  readonly headers: readonly Header[];
  readonly body: string;
  /** The first Via value. */
  readonly via: Via;
  readonly cseq: CSeq;
  readonly callId: string;
  readonly fromTag: string;
  /** Empty when there is none. */
  readonly toTag: string;
  /** On the wire; 0 when it was never there. */
  readonly sizeBytes: number;
}

export interface SipRequest extends Essentials {
  readonly kind: "request";
  readonly method: string;
  readonly uri: string;
}

export interface SipResponse extends Essentials {
  readonly kind: "response";
  readonly status: number;
  readonly reason: string;
}

export type SipMessage = SipRequest | SipResponse;

const METHODS: ReadonlySet<string> = new Set(
  "INVITE ACK BYE CANCEL OPTIONS INFO PRACK UPDATE MESSAGE REGISTER SUBSCRIBE NOTIFY REFER PUBLISH".split(" "),
);

/** The fourteen of the registry. */
export const isKnownMethod = (method: string): boolean => METHODS.has(method);

export const isProvisional = (response: SipResponse): boolean => response.status < 200;
export const isSuccess = (response: SipResponse): boolean => response.status >= 200 && response.status < 300;

/** The first value of a header, or undefined. `key` is lower case. */
export function headerValue(message: { readonly headers: readonly Header[] }, key: string): string | undefined {
  for (const header of message.headers) if (header.key === key) return header.value;
  return undefined;
}

/** Every header of that name, whole lines, in order. */
export function headersOf(message: { readonly headers: readonly Header[] }, key: string): Header[] {
  return message.headers.filter((header) => header.key === key);
}

export const hasHeader = (message: { readonly headers: readonly Header[] }, key: string): boolean =>
  headerValue(message, key) !== undefined;

/** Whether a comma list such as Require or Supported names this token. */
export function listsToken(message: { readonly headers: readonly Header[] }, key: string, token: string): boolean {
  for (const header of message.headers) {
    if (header.key !== key) continue;
    for (const part of header.value.split(",")) if (part.trim().toLowerCase() === token) return true;
  }
  return false;
}

export const header = (name: string, key: string, value: string): Header => ({ name, key, value });

/** A session description, and nothing around it. */
export const isSdp = ({ body }: { readonly body: string }): boolean => body.startsWith("v=0");
