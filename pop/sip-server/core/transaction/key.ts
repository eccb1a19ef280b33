// How a message finds its transaction: RFC 3261 §17.1.3, §17.2.3.

import { headerValue, type SipMessage, type SipRequest } from "../message/message.ts";
import { MAGIC_COOKIE } from "../message/via.ts";

/** An ACK belongs to its INVITE; everything else to itself. */
const owner = (method: string): string => (method === "ACK" ? "INVITE" : method);

/** For a request we received. Without the magic cookie the RFC 2543 rules apply (§17.2.3). */
export function serverKey(request: SipRequest, method = owner(request.method)): string {
  const { via } = request;
  if (via.branch.length > MAGIC_COOKIE.length && via.branch.startsWith(MAGIC_COOKIE))
    return `${via.branch}|${via.host.toLowerCase()}:${via.port ?? ""}|${method}`;
  // An ACK to a non-2xx carries the To tag of the response, its INVITE did not: the tag is left out of the key.
  const top = headerValue(request, "via") ?? "";
  return `2543|${request.callId}|${request.fromTag}|${request.cseq.number}|${request.uri}|${top}|${method}`;
}

/** For a request we sent and the responses to it: our branches are unique. */
export const clientKey = (message: SipMessage): string => `${message.via.branch}|${message.cseq.method}`;

/** Same for every copy of one request that reached us by different ways: §8.2.2.2. */
export const mergeKey = (request: SipRequest): string =>
  `${request.callId}|${request.fromTag}|${request.cseq.number}|${request.method}`;
