// Requests that go round: Max-Forwards, loops, and how many copies forking may make. RFC 3261 §16.3, §16.6, RFC 5393.

import { createHash } from "node:crypto";
import { headersOf, headerValue, type SipRequest } from "../message/message.ts";
import { splitList } from "../message/parameters.ts";
import { MAGIC_COOKIE, parseVia } from "../message/via.ts";

export const MAX_FORWARDS = 70;
/** RFC 5393 §5.3.3.1. */
export const MAX_BREADTH = 60;

/** Hops a proxy may still send it: one less than it came with. 483 when there are none (a user agent takes it still). */
export function hopsLeft(request: SipRequest): number | undefined {
  const given = headerValue(request, "max-forwards");
  if (given === undefined) return MAX_FORWARDS;
  const count = /^\d{1,3}$/.test(given) ? Math.min(Number(given), 255) : 0;
  return count === 0 ? undefined : count - 1;
}

/** How many branches may be open for this request at once: RFC 5393 §5.3.3. */
export function breadthOf(request: SipRequest): number {
  const given = headerValue(request, "max-breadth");
  return given !== undefined && /^\d{1,9}$/.test(given) ? Math.min(Number(given), MAX_BREADTH) : MAX_BREADTH;
}

/**
 * Shares the breadth among branches that are tried at once; undefined: too few for all of them, answer 440 or try
 * some later.
 */
export function splitBreadth(breadth: number, branches: number): readonly number[] | undefined {
  if (branches < 1 || breadth < branches) return undefined;
  const each = Math.floor(breadth / branches);
  const more = breadth - each * branches;
  return Array.from({ length: branches }, (_, at) => (at < more ? each + 1 : each));
}

/** What makes two passes of a request the same: RFC 3261 §16.6 item 8, RFC 5393 §4.2. */
function passOf(request: SipRequest): string {
  const parts = [request.uri, request.fromTag, request.toTag, request.callId, String(request.cseq.number)];
  for (const { key, value } of request.headers)
    if (key === "route" || key === "proxy-require" || key === "proxy-authorization") parts.push(key, value);
  return createHash("sha256").update(parts.join("\n"), "latin1").digest("hex").slice(0, 16);
}

/** A branch of a proxy of ours. It tells a loop from a spiral when the request comes back. @param chance unique */
export const proxyBranch = (request: SipRequest, chance: string): string =>
  `${MAGIC_COOKIE}${chance.replace(MAGIC_COOKIE, "")}.p${passOf(request)}`;

/**
 * Whether we have forwarded this very request before: answer 482. A request whose Request-URI or Route has changed since is
 * a spiral and goes on; so does one that our own user agent sent and a proxy brought back. RFC 3261 §16.3 item 4.
 */
export function isLooped(request: SipRequest, isOurs: (host: string, port: number) => boolean): boolean {
  let pass: string | undefined;
  for (const line of headersOf(request, "via")) {
    for (const value of splitList(line.value)) {
      if (!value.includes(".p")) continue;
      const via = parseVia(value);
      if (via === undefined || !isOurs(via.host, via.port ?? 5060)) continue;
      pass ??= `.p${passOf(request)}`;
      if (via.branch.endsWith(pass)) return true;
    }
  }
  return false;
}
