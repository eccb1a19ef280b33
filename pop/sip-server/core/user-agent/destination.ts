// Where a URI leads: transport, host, port. RFC 3261 §18.1.1 and the parts of RFC 3263 that need no name server.

import { fail, type Outcome, succeed } from "../../../../kernel/outcome.ts";
import type { ListenPoint, TransportName } from "../flow.ts";
import { bareHost, parseUri, uriParameter } from "../message/uri.ts";

export interface Destination {
  readonly transport: TransportName;
  /** A name or an address, without brackets. */
  readonly host: string;
  readonly port: number;
}

export interface NoDestination {
  readonly code: "destination.none";
  readonly reason: string;
}

/** @fails destination.none */
export function destinationOf(uriText: string): Outcome<Destination, NoDestination> {
  const uri = parseUri(uriText);
  if (uri === undefined)
    return fail({ code: "destination.none", reason: `invalid request-uri: ${uriText.slice(0, 128)}` });
  const transport = (uriParameter(uri, "transport") ?? "udp").toLowerCase();
  if (uri.scheme === "sips" || (transport !== "udp" && transport !== "tcp"))
    return fail({ code: "destination.none", reason: "requested protocol/transport not available" });
  const host = bareHost(uriParameter(uri, "maddr") || uri.host);
  return succeed({ transport, host, port: uri.port ?? 5060 });
}

/**
 * Which of our addresses to send from: right transport and family first, then `preferredId`, then the longest
 * common beginning with the destination; the first listed wins a tie.
 */
export function choosePoint(
  points: readonly ListenPoint[],
  transport: TransportName,
  address: string,
  preferredId?: string,
): ListenPoint | undefined {
  const isV6 = address.includes(":");
  let best: ListenPoint | undefined;
  let bestScore = -1;
  for (const point of points) {
    if (point.transport !== transport || point.address.includes(":") !== isV6) continue;
    const score = point.id === preferredId ? Number.MAX_SAFE_INTEGER : commonPrefix(point.address, address);
    if (score > bestScore) {
      best = point;
      bestScore = score;
    }
  }
  return best;
}

export const isOneOfUs = (
  points: readonly ListenPoint[],
  transport: TransportName,
  host: string,
  port: number,
): boolean =>
  points.some(
    (point) =>
      point.transport === transport && point.port === port && (point.address === host || bareHost(point.host) === host),
  );

function commonPrefix(a: string, b: string): number {
  let at = 0;
  while (at < a.length && at < b.length && a.charCodeAt(at) === b.charCodeAt(at)) at++;
  return at;
}

/** RFC 1918, RFC 6598: an address nobody outside can answer to. */
export function isPrivate(host: string): boolean {
  return /^(?:10\.|192\.168\.|172\.(?:1[6-9]|2\d|3[01])\.|100\.(?:6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.)/.test(host);
}
