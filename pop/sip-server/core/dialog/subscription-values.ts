// What SUBSCRIBE, NOTIFY and REFER say about a subscription. RFC 6665 §8.2, RFC 3515 §2.4, RFC 4488 §4.

import { headersOf, headerValue, type SipMessage, type SipRequest } from "../message/message.ts";
import { parameter, splitList } from "../message/parameters.ts";

/** Compared byte by byte: RFC 6665 §8.2.1. */
export interface EventName {
  readonly event: string;
  /** Empty when there is none. */
  readonly id: string;
}

/** undefined without an Event header, or with one that names nothing. */
export function eventOf(message: SipMessage): EventName | undefined {
  const value = headerValue(message, "event");
  if (value === undefined) return undefined;
  const semicolon = value.indexOf(";");
  const event = (semicolon === -1 ? value : value.slice(0, semicolon)).trim();
  if (event === "" || event.length > 128) return undefined;
  return { event, id: semicolon === -1 ? "" : (parameter(value.slice(semicolon), "id") ?? "").slice(0, 128) };
}

/** The subscription a REFER stands for: it is called after the REFER's CSeq. RFC 3515 §2.4.6. */
export const eventOfRefer = (refer: SipRequest): EventName => ({ event: "refer", id: String(refer.cseq.number) });

/** The name of the subscription a SUBSCRIBE, NOTIFY or REFER is about. */
export const subscriptionOf = (request: SipRequest): EventName | undefined =>
  request.method === "REFER" ? eventOfRefer(request) : eventOf(request);

export interface SubscriptionState {
  readonly terminated: boolean;
  readonly expiresSeconds: number | undefined;
}

/** A NOTIFY without the header says "active": RFC 6665 wants it there, phones forget it. */
export function stateOf(notify: SipRequest): SubscriptionState {
  const value = headerValue(notify, "subscription-state") ?? "active";
  const semicolon = value.indexOf(";");
  const name = (semicolon === -1 ? value : value.slice(0, semicolon)).trim().toLowerCase();
  const expires = semicolon === -1 ? undefined : deltaSeconds(parameter(value.slice(semicolon), "expires"));
  return { terminated: name === "terminated", expiresSeconds: expires };
}

/** delta-seconds; undefined when it is none. Beyond 2^32 - 1 it is that (RFC 3261 §20.19). */
export function deltaSeconds(value: string | undefined): number | undefined {
  if (value === undefined || !/^\d{1,12}$/.test(value)) return undefined;
  return Math.min(Number(value), 0xffff_ffff);
}

export const expiresOf = (message: SipMessage): number | undefined =>
  deltaSeconds(headerValue(message, "expires")?.trim());

/** RFC 4488 §4.1: the referee agrees that nobody subscribes. */
export const withoutSubscription = (response: SipMessage): boolean =>
  /^false\b/i.test(headerValue(response, "refer-sub") ?? "");

/** RFC 3515 §2.4.1: a REFER names exactly one target. */
export function isOneReferTo(refer: SipRequest): boolean {
  const lines = [...headersOf(refer, "refer-to")];
  const [only] = lines;
  return only !== undefined && lines.length === 1 && only.value !== "" && splitList(only.value).length === 1;
}
