// The promise of a takeover, judged on the wire: between the fault and the first thing a party says, a call's two dialogs carry
// nothing from us. Pure.

import { headerValue, type SipMessage } from "../../../pop/sip-server/core/message/message.ts";
import type { WireMessage } from "./sip-on-wire.ts";

export interface CallOnWire {
  readonly id: string;
  readonly className: string;
  /** SIP Call-IDs of all its legs. */
  readonly sipCallIds: readonly string[];
  /** When the first of its parties said or was to say something after the fault, on purpose; undefined: never. */
  readonly touchedAtMs: number | undefined;
}

export interface UnaskedMessage {
  readonly callId: string;
  readonly className: string;
  readonly afterMs: number;
  /** "INVITE (in dialog)", "200 OK (INVITE)" */
  readonly summary: string;
  readonly to: string;
}

export interface Unasked {
  /** From us, caused by nobody: must be none. */
  readonly messages: readonly UnaskedMessage[];
  /** re-INVITEs of ours with a session in them: legs that were anchored anew. */
  readonly reanchored: readonly UnaskedMessage[];
  /** Ours, to dialogs of no call of the mix. */
  readonly strange: number;
}

export const summaryOf = (message: SipMessage): string => {
  if (message.kind === "response") return `${message.status} ${message.reason} (${message.cseq.method})`;
  const reason = headerValue(message, "reason");
  return `${message.method}${message.toTag === "" ? "" : " (in dialog)"}${reason === undefined ? "" : ` [${reason}]`}`;
};

const isReanchor = (message: SipMessage): boolean =>
  message.kind === "request" && message.method === "INVITE" && message.toTag !== "" && message.body !== "";

/**
 * @param ours addresses that the service speaks from
 * @param faultAtMs Unix time
 * @param untilMs when the exercises began: what comes later is caused
 */
export function unaskedMessages(
  messages: readonly WireMessage[],
  calls: readonly CallOnWire[],
  ours: ReadonlySet<string>,
  faultAtMs: number,
  untilMs: number,
): Unasked {
  const byCallId = new Map(calls.flatMap((call) => call.sipCallIds.map((id) => [id, call] as const)));
  const unasked: UnaskedMessage[] = [];
  const reanchored: UnaskedMessage[] = [];
  /** Transactions of an anchoring: its ACK is part of it. */
  const anchoring = new Set<string>();
  let strange = 0;
  for (const { atMs, from, to, message } of messages) {
    if (atMs < faultAtMs || atMs > untilMs || !ours.has(from.host)) continue;
    const call = byCallId.get(message.callId);
    if (call === undefined) {
      strange++;
      continue;
    }
    if (call.touchedAtMs !== undefined && atMs >= call.touchedAtMs) continue;
    const seen: UnaskedMessage = {
      callId: call.id,
      className: call.className,
      afterMs: Math.round(atMs - faultAtMs),
      summary: summaryOf(message),
      to: `${to.host}:${to.port}`,
    };
    const transaction = `${message.callId}/${message.cseq.number}`;
    if (isReanchor(message)) {
      anchoring.add(transaction);
      reanchored.push(seen);
    } else if (message.kind === "request" && message.method === "ACK" && anchoring.has(transaction)) continue;
    else unasked.push(seen);
  }
  return { messages: unasked, reanchored, strange };
}
