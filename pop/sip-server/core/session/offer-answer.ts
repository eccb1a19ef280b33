// Whose turn it is: offer and answer in one dialog, RFC 3264 as SIP uses it (RFC 3261 §13.2.1, RFC 3262 §5, RFC 3311 §5).
// Descriptions themselves are not looked at.

/** An offer without its answer yet. */
export interface OpenOffer {
  readonly by: "us" | "peer";
  /** Of the request that carries the offer, or whose response does. */
  readonly method: string;
  readonly cseq: number;
}

/** Between offers; undefined so that it costs nothing. */
export type Exchange = OpenOffer | undefined;

/** Requests that carry offers or answers: RFC 3261 §13.2.1, RFC 3262 §5, RFC 3311 §5. */
export const CARRIES_OFFERS: ReadonlySet<string> = new Set(["INVITE", "UPDATE", "PRACK"]);

/** A description in a message that counts: any request, a 2xx, a reliable 1xx. */
export function described(exchange: Exchange, by: "us" | "peer", method: string, cseq: number): Exchange {
  if (exchange === undefined) return { by, method, cseq };
  return exchange.by === by ? exchange : undefined;
}

/** The same in a response to anything but an INVITE: it can only be an answer. */
export const answeredIn = (exchange: Exchange, by: "us" | "peer"): Exchange =>
  exchange !== undefined && exchange.by !== by ? undefined : exchange;

/** A request failed: what it offered is off the table. */
export const withdrawn = (exchange: Exchange, method: string, cseq: number): Exchange =>
  exchange?.method === method && exchange.cseq === cseq ? undefined : exchange;

/**
 * May the peer offer now? RFC 3311 §5.2: 491 while ours waits for its answer; 500 with Retry-After while we still owe one.
 */
export function objection(exchange: Exchange): 491 | 500 | undefined {
  if (exchange === undefined) return undefined;
  return exchange.by === "us" ? 491 : 500;
}
