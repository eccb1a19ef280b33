import type { Header, SipMessage } from "./message.ts";

/** The bytes of a message, as latin-1. Headers are written as they stand, Content-Length included. */
export function serialise(message: SipMessage): string {
  const start =
    message.kind === "request"
      ? `${message.method} ${message.uri} SIP/2.0\r\n`
      : `SIP/2.0 ${message.status} ${message.reason}\r\n`;
  return `${start}${serialiseHeaders(message.headers)}\r\n${message.body}`;
}

export function serialiseHeaders(headers: readonly Header[]): string {
  let text = "";
  for (const { name, value } of headers) text += `${name}: ${value}\r\n`;
  return text;
}
