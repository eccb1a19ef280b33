// Which of many refusals goes back to the caller: RFC 3261 §16.7 steps 6 and 7, RFC 4320 §4.

import { headersOf, type SipResponse } from "../message/message.ts";

/** What came of a branch: a response, or our word for none. */
export type Collected =
  | { readonly kind: "received"; readonly response: SipResponse }
  | { readonly kind: "made"; readonly status: number };

/** They tell the caller how to ask again. */
const TELLING = new Set([401, 407, 415, 420, 484]);

/** Never a 503 (§16.7: it would speak for us), and never a 408 to anything but INVITE (RFC 4320 §4.2). */
export function chooseBest(
  collected: readonly Collected[],
  { cancelled, isInvite }: { readonly cancelled: boolean; readonly isInvite: boolean },
): Collected {
  let best: Collected | undefined;
  for (const one of collected) if (best === undefined || rank(one, cancelled) < rank(best, cancelled)) best = one;
  const status = best === undefined ? 408 : statusOf(best);
  if (best?.kind !== "received") {
    if (status === 408) return { kind: "made", status: cancelled ? 487 : isInvite ? 408 : 504 };
    return { kind: "made", status: status === 503 ? 500 : status };
  }
  const { response } = best;
  if (status === 503)
    return { kind: "received", response: { ...response, status: 500, reason: "Server Internal Error" } };
  if (status === 408 && !isInvite) return { kind: "made", status: 504 };
  if (status === 401 || status === 407) return { kind: "received", response: withAllChallenges(response, collected) };
  return best;
}

/** Lower is better: 6xx, then the lowest class; in a class what tells most, what was really said, what came first. */
function rank(one: Collected, cancelled: boolean): number {
  const status = statusOf(one);
  const ofClass = status >= 600 ? 0 : Math.floor(status / 100);
  const isWanted = cancelled ? status === 487 : TELLING.has(status);
  const inClass = isWanted ? 0 : one.kind === "made" || status === 408 || status === 503 ? 2 : 1;
  return ofClass * 10 + inClass;
}

const statusOf = (one: Collected): number => (one.kind === "received" ? one.response.status : one.status);

/** §16.7 step 7: the caller answers every challenge at once, so it must see them all. */
function withAllChallenges(best: SipResponse, collected: readonly Collected[]): SipResponse {
  const others = collected.flatMap((one) =>
    one.kind === "received" && one.response !== best && (one.response.status === 401 || one.response.status === 407)
      ? [...headersOf(one.response, "www-authenticate"), ...headersOf(one.response, "proxy-authenticate")]
      : [],
  );
  if (others.length === 0) return best;
  const last = best.headers.findLastIndex(({ key }) => key === "www-authenticate" || key === "proxy-authenticate");
  return { ...best, headers: best.headers.toSpliced(last + 1, 0, ...others) };
}
