// Our own addresses: which one to send from, and which destinations are ourselves. RFC 3261 §18.1.1.

import type { ListenPoint, TransportName } from "../flow.ts";
import { bareHost } from "../message/uri.ts";

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
