// What two sides agree on about session timers: RFC 4028 §5 to §9. From headers to values and back; no state.

import { type Header, header, headerValue, listsToken, type SipRequest, type SipResponse } from "../message/message.ts";

export interface SessionTimerPolicy {
  /** Asked for by ourselves when neither application nor peer does; 0: never. */
  readonly intervalSeconds: number;
  /** Shorter intervals are refused with 422. At least 90 (§4). */
  readonly minSeSeconds: number;
  /** Who refreshes when the peer leaves the choice to us. A peer without session timers cannot be asked to. */
  readonly refresher: "peer" | "us";
}

/** §4: nobody may ask for less. */
export const MIN_SE_SECONDS = 90;
/** Longer than any call; keeps arithmetic with timers sane. */
const INTERVAL_SECONDS_MAX = 7 * 86_400;

export const SESSION_TIMER_POLICY: SessionTimerPolicy = { intervalSeconds: 0, minSeSeconds: 90, refresher: "peer" };

/** A running session timer, as both sides know it. */
export interface SessionTerms {
  readonly intervalSeconds: number;
  readonly weRefresh: boolean;
}

export interface SessionExpires {
  readonly seconds: number;
  readonly refresher: "uac" | "uas" | undefined;
}

type Headers = { readonly headers: readonly Header[] };

/** undefined: no Session-Expires, or one that says nothing. §4. */
export function sessionExpiresOf(message: Headers): SessionExpires | undefined {
  const value = headerValue(message, "session-expires");
  if (value === undefined) return undefined;
  const matched = /^\s*(\d{1,10})\s*(?:;(.*))?$/s.exec(value);
  if (matched === null) return undefined;
  const refresher = /(?:^|;)\s*refresher\s*=\s*"?(uac|uas)"?\s*(?:;|$)/i.exec(matched[2] ?? "")?.[1]?.toLowerCase();
  const seconds = Math.min(Number(matched[1]), INTERVAL_SECONDS_MAX);
  return { seconds, refresher: refresher === "uac" || refresher === "uas" ? refresher : undefined };
}

/** §5. 90 when there is none. */
export function minSeOf(message: Headers): number {
  const value = /^\s*(\d{1,10})/.exec(headerValue(message, "min-se") ?? "")?.[1];
  return Math.min(Math.max(value === undefined ? 0 : Number(value), MIN_SE_SECONDS), INTERVAL_SECONDS_MAX);
}

const supportsTimer = (message: Headers): boolean =>
  listsToken(message, "supported", "timer") || listsToken(message, "require", "timer");

export const minSeHeader = (seconds: number): Header => header("Min-SE", "min-se", String(seconds));
const expiresHeader = (seconds: number, refresher: "uac" | "uas" | undefined): Header =>
  header(
    "Session-Expires",
    "session-expires",
    refresher === undefined ? String(seconds) : `${seconds};refresher=${refresher}`,
  );
const SUPPORTED_TIMER = header("Supported", "supported", "timer");
const REQUIRE_TIMER = header("Require", "require", "timer");

/** §9: the request asks for too little, and its sender will understand a 422. */
export function isTooShort(request: SipRequest, policy: SessionTimerPolicy): boolean {
  const asked = sessionExpiresOf(request);
  return asked !== undefined && asked.seconds < policy.minSeSeconds && supportsTimer(request);
}

/**
 * Our 2xx to an INVITE or UPDATE. §9, table 2.
 *
 * @param wanted what the application wrote into its answer
 * @param running the terms so far: a refresh that asks for nothing does not end them
 * @returns the headers to add, and the terms from now on; undefined: no session timer
 */
export function answered(
  request: SipRequest,
  wanted: SessionExpires | undefined,
  running: SessionTerms | undefined,
  policy: SessionTimerPolicy,
): { readonly headers: readonly Header[]; readonly terms: SessionTerms } | undefined {
  const asked = sessionExpiresOf(request);
  const ours = wanted?.seconds || running?.intervalSeconds || policy.intervalSeconds;
  if (asked === undefined && ours === 0) return undefined;
  const peerKnows = supportsTimer(request);
  const least = Math.max(minSeOf(request), policy.minSeSeconds);
  let seconds = Math.max(ours, least);
  if (asked !== undefined) {
    // Never above what was asked for; below it only as far as everybody on the way can bear.
    const shorter = wanted?.seconds || policy.intervalSeconds || asked.seconds;
    seconds = Math.max(Math.min(Math.max(shorter, least), asked.seconds), MIN_SE_SECONDS);
  }
  const choice = running === undefined ? policy.refresher : running.weRefresh ? "us" : "peer";
  const refresher = !peerKnows ? "uas" : (asked?.refresher ?? wanted?.refresher ?? (choice === "us" ? "uas" : "uac"));
  const headers = [expiresHeader(seconds, refresher)];
  if (peerKnows) headers.push(REQUIRE_TIMER);
  return { headers, terms: { intervalSeconds: seconds, weRefresh: refresher === "uas" } };
}

/**
 * What an INVITE or UPDATE of ours says: §7.1, §7.4, §8.
 *
 * @param draft what the application wrote: its Session-Expires and Min-SE stand
 */
export function asked(
  draft: Headers,
  running: SessionTerms | undefined,
  policy: SessionTimerPolicy,
  minSeSeconds = MIN_SE_SECONDS,
): readonly Header[] {
  const headers: Header[] = [];
  if (!listsToken(draft, "supported", "timer")) headers.push(SUPPORTED_TIMER);
  if (headerValue(draft, "session-expires") !== undefined) return headers;
  const least = Math.max(minSeOf(draft), minSeSeconds);
  if (running !== undefined)
    headers.push(expiresHeader(Math.max(running.intervalSeconds, least), running.weRefresh ? "uac" : "uas"));
  else if (policy.intervalSeconds > 0) headers.push(expiresHeader(Math.max(policy.intervalSeconds, least), undefined));
  else return headers;
  if (least > MIN_SE_SECONDS && headerValue(draft, "min-se") === undefined) headers.push(minSeHeader(least));
  return headers;
}

/** The 2xx to an INVITE or UPDATE of ours. undefined: no session timer. §7.2. */
export function agreed(response: SipResponse): SessionTerms | undefined {
  const answer = sessionExpiresOf(response);
  if (answer === undefined || answer.seconds === 0) return undefined;
  // Without the parameter, which the RFC does not allow, both could wait for the other: we do it.
  return { intervalSeconds: Math.max(answer.seconds, MIN_SE_SECONDS), weRefresh: answer.refresher !== "uas" };
}

/** The same request with the interval a 422 asks for; undefined when it asks for nothing new. §7.3. */
export function raised(headers: readonly Header[], refusal: SipResponse): readonly Header[] | undefined {
  const least = minSeOf(refusal);
  const before = sessionExpiresOf({ headers });
  if (headerValue(refusal, "min-se") === undefined || before === undefined || least <= before.seconds) return undefined;
  const changed = headers
    .filter(({ key }) => key !== "min-se")
    .map((line) => (line.key === "session-expires" ? expiresHeader(least, before.refresher) : line));
  const at = changed.findIndex(({ key }) => key === "session-expires");
  return changed.toSpliced(at + 1, 0, minSeHeader(least));
}
