// What a request undergoes on its way through us, and a response on its way back: RFC 3261 §16.4, §16.6, §16.7 steps 3 and 8;
// RFC 5658 for the two Record-Routes where two of our addresses are passed; RFC 3327 for Path.

import { fail, type Outcome, succeed } from "../../../../kernel/outcome.ts";
import { contentLength } from "../message/build.ts";
import { headerSpelling } from "../message/header-name.ts";
import {
  type Header,
  header,
  headersOf,
  headerValue,
  listsToken,
  type SipRequest,
  type SipResponse,
} from "../message/message.ts";
import { parseNameAddr } from "../message/name-addr.ts";
import { nextComma, splitList } from "../message/parameters.ts";
import { asRequestUri, parseUri, type SipUri, showUri, uriParameter } from "../message/uri.ts";
import { parseVia } from "../message/via.ts";
import type { Unsendable } from "../user-agent/outgoing.ts";

/** Max-Breadth of a request that says none: RFC 5393 §5.3.2. */
export const BREADTH_DEFAULT = 60;

/** Where a request is to go on, our own Routes taken off: §16.4. */
export interface Passage {
  readonly uri: string;
  /** What is left of the Route headers, one value each. */
  readonly routes: readonly string[];
  /** Ours, in the order they were passed: two when we are on the way with two addresses. */
  readonly passed: readonly SipUri[];
}

/**
 * @param isOurs names one of our addresses
 * @param isRecordRoute is a value we once wrote into Record-Route: as a Request-URI it tells of a strict router before us
 */
export function passageOf(
  request: SipRequest,
  isOurs: (uri: SipUri) => boolean,
  isRecordRoute: (uri: SipUri) => boolean,
): Passage {
  let { uri } = request;
  const routes: string[] = [];
  for (const { key, value } of request.headers) if (key === "route") routes.push(...splitList(value));
  const passed: SipUri[] = [];
  const asked = routes.length === 0 ? undefined : parseUri(uri);
  if (asked !== undefined && isRecordRoute(asked)) {
    uri = uriOf(routes.pop() ?? "");
    passed.push(asked);
  }
  while (passed.length < 2) {
    const first = parseUri(uriOf(routes[0] ?? ""));
    if (first === undefined || !isOurs(first)) break;
    passed.push(first);
    routes.shift();
  }
  return { uri, routes, passed };
}

/** `<sip:a;lr>;x=y` → `sip:a;lr`. */
const uriOf = (value: string): string => parseNameAddr(value)?.uri ?? value;

/** How a request inside a dialog goes on: §16.6 steps 6 and 7. */
export function nextOf({ uri, routes }: Passage): {
  readonly uri: string;
  readonly routes: readonly string[];
  /** The URI that says where to send it. */
  readonly nextHop: string;
} {
  const [first, ...others] = routes;
  if (first === undefined) return { uri, routes, nextHop: uri };
  const nextHop = uriOf(first);
  const parsed = parseUri(nextHop);
  if (parsed === undefined || uriParameter(parsed, "lr") !== undefined) return { uri, routes, nextHop };
  return { uri: showUri(asRequestUri(parsed)), routes: [...others, `<${uri}>`], nextHop }; // a strict router
}

export interface Forwarding {
  readonly uri: string;
  readonly routes: readonly string[];
  /** Whole, ours. */
  readonly via: string;
  /** Ours, topmost first; empty when we do not stay. */
  readonly recordRoutes: readonly string[];
  readonly path: string | undefined;
  /** Of the application: instead of the request's own, or added. */
  readonly headers: readonly Header[];
  /** undefined: as it came. */
  readonly breadth: number | undefined;
}

/** Never an application's to change in a request that is not its own. */
const NOT_THEIRS = new Set([
  ..."via route record-route path max-forwards max-breadth from to call-id cseq contact content-length".split(" "),
  ..."content-type content-encoding rack rseq".split(" "),
]);

/** The copy that goes out: §16.6 steps 1 to 8. @fails request.unsendable: its hops are used up */
export function forwarded(request: SipRequest, how: Forwarding): Outcome<SipRequest, Unsendable> {
  const hops = headerValue(request, "max-forwards");
  const left = hops === undefined ? 70 : Number(hops) - 1;
  if (!(left >= 0)) return fail({ code: "request.unsendable", reason: "too many hops" });
  const via = parseVia(how.via);
  if (via === undefined) throw new Error("our own Via cannot be read");
  const given = how.headers.filter(({ key, value }) => !NOT_THEIRS.has(key) && value !== "");
  const headers: Header[] = [header("Via", "via", how.via)];
  for (const value of how.recordRoutes) headers.push(header("Record-Route", "record-route", value));
  if (how.path !== undefined) headers.push(header("Path", "path", how.path));
  let hasLength = false;
  let hasHops = false;
  const keepsBreadth = how.breadth === undefined;
  for (const line of request.headers) {
    const { key } = line;
    if (key === "route" || given.some((other) => other.key === key)) continue;
    if (key === "max-breadth" && !keepsBreadth) continue;
    if (key === "content-length") hasLength = true;
    if (key === "max-forwards") {
      if (hasHops) continue;
      hasHops = true;
      headers.push(header("Max-Forwards", "max-forwards", String(left)));
    } else headers.push(line);
  }
  if (!hasHops) headers.push(header("Max-Forwards", "max-forwards", String(left)));
  if (how.breadth !== undefined) headers.push(header("Max-Breadth", "max-breadth", String(how.breadth)));
  for (const value of how.routes) headers.push(header("Route", "route", value));
  if (how.path !== undefined && !listsToken(request, "require", "path"))
    headers.push(header("Require", "require", "path"));
  for (const { name, key, value } of given) headers.push(header(headerSpelling(name), key, value));
  if (!hasLength) headers.push(contentLength(request.body));
  return succeed({ ...request, uri: how.uri, headers, via, sizeBytes: 0 });
}

/** Max-Breadth as the request has it. RFC 5393 §5.3. */
export function breadthOf(request: SipRequest): { readonly given: boolean; readonly breadth: number } {
  const text = headerValue(request, "max-breadth")?.trim();
  if (text === undefined || !/^\d{1,9}$/.test(text)) return { given: false, breadth: BREADTH_DEFAULT };
  return { given: true, breadth: Number(text) };
}

/** What a request demands of every proxy and we do not know: §16.3 step 5. */
export const unsupportedDemands = (request: SipRequest): string[] =>
  headersOf(request, "proxy-require").flatMap(({ value }) => splitList(value));

/** The response with our Via off; undefined when there is nobody left to send it to. §16.7 step 3. */
export function withoutOurVia(response: SipResponse): SipResponse | undefined {
  const headers: Header[] = [];
  let isFirst = true;
  let next: string | undefined;
  for (const line of response.headers) {
    if (line.key !== "via") {
      headers.push(line);
      continue;
    }
    if (isFirst) {
      isFirst = false;
      const comma = nextComma(line.value, 0);
      if (comma === line.value.length) continue;
      const value = line.value.slice(comma + 1).trim();
      next ??= value;
      headers.push({ ...line, value });
    } else {
      next ??= line.value;
      headers.push(line);
    }
  }
  const via = next === undefined ? undefined : parseVia(next);
  return via === undefined ? undefined : { ...response, headers, via };
}
