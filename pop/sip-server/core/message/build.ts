// Responses and automatic requests of ours, made from the request they belong to.

import type { Answerable } from "./malformed.ts";
import { type Header, header, headersOf, headerValue, type SipRequest, type SipResponse } from "./message.ts";
import { parseNameAddr, showNameAddr, tagOf, withTag } from "./name-addr.ts";
import { hasOpenQuote, splitList, withoutEmptyParameters } from "./parameters.ts";
import { reasonPhrase } from "./reason-phrases.ts";
import { parseVia, showVia, type Via } from "./via.ts";

export const contentLength = (body: string): Header => header("Content-Length", "content-length", String(body.length));

export interface ResponseParts {
  readonly status: number;
  /** The registered one when left out, or empty. */
  readonly reason?: string;
  /** Given to To when the request had none; a 100 gets none (RFC 3261 §8.2.6.2). */
  readonly toTag: string;
  /** After the copied ones, before Content-Length. */
  readonly headers?: readonly Header[];
  readonly body?: string;
}

/** A response to this request: RFC 3261 §8.2.6. */
export function responseTo(request: SipRequest, parts: ResponseParts): SipResponse {
  const { status, toTag, body = "" } = parts;
  const headers: Header[] = [];
  for (const line of request.headers) if (line.key === "via") headers.push(header("Via", "via", line.value));
  // §12.1.1: what a dialog is made of goes back with anything that may make one.
  if (status > 100 && status < 300)
    for (const line of request.headers)
      if (line.key === "record-route") headers.push(header("Record-Route", "record-route", line.value));
  headers.push(
    header("From", "from", headerValue(request, "from") ?? ""),
    header("To", "to", status === 100 ? (headerValue(request, "to") ?? "") : taggedTo(request, toTag)),
    header("Call-ID", "call-id", request.callId),
    header("CSeq", "cseq", `${request.cseq.number} ${request.cseq.method}`),
  );
  if (status === 100)
    for (const line of headersOf(request, "timestamp")) headers.push(header("Timestamp", "timestamp", line.value));
  if (parts.headers !== undefined) headers.push(...parts.headers);
  headers.push(contentLength(body));
  return {
    kind: "response",
    status,
    reason: parts.reason || reasonPhrase(status),
    headers,
    body,
    via: request.via,
    cseq: request.cseq,
    callId: request.callId,
    fromTag: request.fromTag,
    toTag: status === 100 ? request.toTag : request.toTag || toTag,
    sizeBytes: 0,
  };
}

function taggedTo(request: SipRequest, tag: string): string {
  const value = headerValue(request, "to") ?? "";
  if (request.toTag !== "" || tag === "") return value;
  const address = parseNameAddr(value);
  return address === undefined
    ? value
    : value.includes("<")
      ? `${value};tag=${tag}`
      : showNameAddr(withTag(address, tag));
}

/** The refusal of a request too bad to parse: the lines are copied as they came. */
export function refusalText(answer: Answerable, via: Via, toTag: string): string {
  let text = `SIP/2.0 ${answer.status} ${reasonPhrase(answer.status)}\r\n`;
  let first = true;
  for (const { key, value } of answer.headers) {
    if (key !== "via") continue;
    // What cannot be read was no hop: copied, it would make our answer as bad as the request.
    for (const member of splitList(value)) {
      const hop = parseVia(member, "any-version");
      if (hop === undefined || hasOpenQuote(hop.params)) continue;
      text += `Via: ${showVia(tidy(first ? via : hop))}\r\n`;
      first = false;
    }
  }
  const once = (key: string, name: string) => {
    const value = answer.headers.find((line) => line.key === key)?.value;
    if (value === undefined) return; // it came without, it goes back without
    text += `${name}: ${value}${key === "to" && needsTag(value) ? `;tag=${toTag}` : ""}\r\n`;
  };
  once("from", "From");
  once("to", "To");
  once("call-id", "Call-ID");
  once("cseq", "CSeq");
  return `${text}Content-Length: 0\r\n\r\n`;
}

const tidy = (via: Via): Via => ({ ...via, params: withoutEmptyParameters(via.params) });

function needsTag(to: string): boolean {
  const address = parseNameAddr(to);
  return address !== undefined && tagOf(address) === "";
}

/** ACK to a non-2xx: same branch, Request-URI and Route as its INVITE, To of the response. RFC 3261 §17.1.1.3. */
export function ackForFailure(invite: SipRequest, response: SipResponse): SipRequest {
  return derived(invite, "ACK", headerValue(response, "to") ?? "", response.toTag);
}

/** CANCEL: everything its INVITE said, but for the method. RFC 3261 §9.1. */
export function cancelFor(invite: SipRequest, extra: readonly Header[]): SipRequest {
  return derived(invite, "CANCEL", headerValue(invite, "to") ?? "", invite.toTag, extra);
}

function derived(
  invite: SipRequest,
  method: "ACK" | "CANCEL",
  to: string,
  toTag: string,
  extra: readonly Header[] = [],
): SipRequest {
  const via = invite.headers.find((line) => line.key === "via");
  const headers: Header[] = [
    header("Via", "via", via?.value ?? ""),
    header("Max-Forwards", "max-forwards", "70"),
    ...headersOf(invite, "route"),
    header("From", "from", headerValue(invite, "from") ?? ""),
    header("To", "to", to),
    header("Call-ID", "call-id", invite.callId),
    header("CSeq", "cseq", `${invite.cseq.number} ${method}`),
    ...extra,
    contentLength(""),
  ];
  const { uri, callId, fromTag } = invite;
  const cseq = { number: invite.cseq.number, method };
  return {
    kind: "request",
    method,
    uri,
    headers,
    body: "",
    via: invite.via,
    cseq,
    callId,
    fromTag,
    toTag,
    sizeBytes: 0,
  };
}

/** Some number, the same for every copy of a request: for what is answered without a transaction. */
export function spreadOf(text: string): number {
  let spread = 0;
  for (let at = 0; at < text.length; at++) spread = (Math.imul(spread, 31) + text.charCodeAt(at)) >>> 0;
  return spread;
}
