// Which extensions a request may insist on. RFC 3261 §8.2.2.3, §16.3 item 5, §19.2.

import { type Header, header, type SipRequest } from "../message/message.ts";

/**
 * What the server does itself, or lets through in a way that keeps its promise: reliable provisionals (RFC 3262), session
 * timers (RFC 4028), Replaces (RFC 3891), REFER without subscription (RFC 4488).
 */
export const SERVER_OPTION_TAGS: readonly string[] = ["100rel", "timer", "replaces", "norefersub"];

/** Tags that name nothing but noise are cut off. */
const UNSUPPORTED_MAX = 16;
const TOKEN = /^[A-Za-z0-9\-.!%*_+`'~]{1,64}$/;

/**
 * The tags nobody here understands, as an Unsupported header for the 420; undefined when there are none.
 *
 * @param key "require" for a user agent; "proxy-require" for a proxy
 * @param supported in lower case
 */
export function unsupported(
  request: SipRequest,
  key: "require" | "proxy-require",
  supported: ReadonlySet<string>,
): Header | undefined {
  let unknown: string[] | undefined;
  for (const line of request.headers) {
    if (line.key !== key) continue;
    for (const part of line.value.split(",")) {
      const tag = part.trim();
      if (tag === "" || supported.has(tag.toLowerCase())) continue;
      unknown ??= [];
      if (unknown.length < UNSUPPORTED_MAX && TOKEN.test(tag)) unknown.push(tag);
    }
  }
  return unknown === undefined ? undefined : header("Unsupported", "unsupported", unknown.join(", "));
}
