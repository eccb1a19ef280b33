// A dialog as a value: RFC 3261 §12. Plain data: another process can take it up.

import { fail, type Outcome, succeed } from "../../../../kernel/outcome.ts";
import type { Flow } from "../flow.ts";
import {
  type Header,
  hasHeader,
  header,
  headerValue,
  type SipMessage,
  type SipRequest,
  type SipResponse,
} from "../message/message.ts";
import { parseNameAddr } from "../message/name-addr.ts";
import { ownText } from "../message/own-text.ts";
import { splitList } from "../message/parameters.ts";
import { asRequestUri, parseUri, showUri, uriParameter } from "../message/uri.ts";
import { MAGIC_COOKIE } from "../message/via.ts";
import { NO_USAGE, SESSION, type Usages } from "./usages.ts";

export type DialogMethod = "INVITE" | "SUBSCRIBE" | "REFER";

export const makesDialog = (method: string): method is DialogMethod =>
  method === "INVITE" || method === "SUBSCRIBE" || method === "REFER";

const usageOf = ({ method }: SipRequest): DialogMethod => (makesDialog(method) ? method : "INVITE");
const usagesOf = ({ method }: SipRequest): Usages => (method === "INVITE" ? SESSION : NO_USAGE);

export interface Dialog {
  /** `<Call-ID>;from-tag=<tag of whoever sent the first request>`: the application's name for it. */
  readonly id: string;
  readonly role: "uac" | "uas";
  /** The method that made it. */
  readonly usage: DialogMethod;
  /** What it is used for now. */
  readonly usages: Usages;
  readonly phase: "early" | "confirmed" | "terminated";
  readonly callId: string;
  readonly localTag: string;
  readonly remoteTag: string;
  /** From or To of ours, tag included. */
  readonly localParty: string;
  readonly remoteParty: string;
  /** Where requests are addressed: the peer's Contact. */
  readonly remoteTarget: string;
  readonly routeSet: readonly string[];
  readonly localSeq: number;
  /** undefined until the peer has sent a request in this dialog. */
  readonly remoteSeq: number | undefined;
  /** The Contact value we gave. */
  readonly localContact: string;
  /** How the peer was reached, or reached us, last. */
  readonly flow: Flow;
}

export const dialogId = (callId: string, fromTag: string): string => `${callId};from-tag=${fromTag}`;

/** What a message of the peer names: our tag first. */
export const dialogKey = (callId: string, localTag: string, remoteTag: string): string =>
  `${callId}|${localTag}|${remoteTag}`;

export interface DialogMissing {
  readonly code: "dialog.no-contact";
}

/** Ours may begin anywhere (§12.2.1.1) as long as no call gets to 2^31 (§8.1.1.5). */
const LOCAL_SEQ_MAX = 2 ** 30;

/** We answer: RFC 3261 §12.1.1. @fails dialog.no-contact */
export function dialogOfUas(
  request: SipRequest,
  ours: { readonly localTag: string; readonly localContact: string; readonly flow: Flow; readonly party: string },
): Outcome<Dialog, DialogMissing> {
  const remoteTarget = targetOf(request);
  if (remoteTarget === undefined) return fail({ code: "dialog.no-contact" });
  return succeed({
    id: ownText(dialogId(request.callId, request.fromTag)),
    role: "uas",
    usage: usageOf(request),
    usages: usagesOf(request),
    phase: "early",
    callId: ownText(request.callId),
    localTag: ours.localTag,
    remoteTag: ownText(request.fromTag),
    localParty: ownText(ours.party),
    remoteParty: ownText(headerValue(request, "from") ?? ""),
    remoteTarget,
    routeSet: listOf(request, "record-route"),
    localSeq: request.cseq.number < LOCAL_SEQ_MAX ? request.cseq.number : 0,
    remoteSeq: request.cseq.number,
    localContact: ours.localContact,
    flow: ours.flow,
  });
}

/**
 * We asked: RFC 3261 §12.1.2. Without a Contact in the response (a provisional may lack it, a 2xx must not)
 * requests go where the first one went: enough to end what cannot be used.
 */
export function dialogOfUac(request: SipRequest, response: SipResponse, flow: Flow): Dialog {
  return {
    id: ownText(dialogId(request.callId, request.fromTag)),
    role: "uac",
    usage: usageOf(request),
    usages: usagesOf(request),
    phase: response.status >= 200 ? "confirmed" : "early",
    callId: ownText(request.callId),
    localTag: ownText(request.fromTag),
    remoteTag: ownText(response.toTag),
    localParty: ownText(headerValue(request, "from") ?? ""),
    remoteParty: ownText(headerValue(response, "to") ?? ""),
    remoteTarget: contactUri(response) ?? ownText(request.uri),
    routeSet: listOf(response, "record-route").reverse(),
    localSeq: request.cseq.number,
    remoteSeq: undefined,
    localContact: ownText(headerValue(request, "contact") ?? ""),
    flow,
  };
}

/**
 * We asked, and a NOTIFY is here before any answer, or from a fork that gave none: it makes the dialog.
 * RFC 6665 §4.1.2.4, §4.4.1.
 */
export function dialogOfNotify(request: SipRequest, notify: SipRequest, flow: Flow): Dialog {
  return {
    id: ownText(dialogId(request.callId, request.fromTag)),
    role: "uac",
    usage: usageOf(request),
    usages: NO_USAGE,
    phase: "confirmed",
    callId: ownText(request.callId),
    localTag: ownText(request.fromTag),
    remoteTag: ownText(notify.fromTag),
    localParty: ownText(headerValue(request, "from") ?? ""),
    remoteParty: ownText(headerValue(notify, "from") ?? ""),
    remoteTarget: contactUri(notify) ?? ownText(request.uri),
    routeSet: listOf(notify, "record-route"),
    localSeq: request.cseq.number,
    remoteSeq: undefined,
    localContact: ownText(headerValue(request, "contact") ?? ""),
    flow,
  };
}

/** The 2xx has the last word on route set and target. §13.2.2.4. */
export function confirmed(dialog: Dialog, response: SipResponse): Dialog {
  if (dialog.role === "uas") return { ...dialog, phase: "confirmed" };
  return {
    ...dialog,
    phase: "confirmed",
    remoteTarget: contactUri(response) ?? dialog.remoteTarget,
    routeSet: dialog.phase === "early" ? listOf(response, "record-route").reverse() : dialog.routeSet,
  };
}

/** INVITE, UPDATE, SUBSCRIBE, NOTIFY and their 2xx may move the peer. §12.2, RFC 3311, RFC 6665. */
export function refreshed(dialog: Dialog, message: SipMessage): Dialog {
  const remoteTarget = contactUri(message);
  return remoteTarget === undefined || remoteTarget === dialog.remoteTarget ? dialog : { ...dialog, remoteTarget };
}

export const refreshesTarget = (method: string): boolean =>
  method === "INVITE" || method === "UPDATE" || method === "SUBSCRIBE" || method === "NOTIFY";

export interface OutOfOrder {
  readonly code: "dialog.out-of-order";
}

/** Takes note of a request of the peer. §12.2.2. @fails dialog.out-of-order: answer 500 */
export function received(dialog: Dialog, request: SipRequest, flow: Flow): Outcome<Dialog, OutOfOrder> {
  const { number } = request.cseq;
  // PRACK and others each have a CSeq of their own; equal is as wrong as lower for a new transaction.
  if (dialog.remoteSeq !== undefined && number <= dialog.remoteSeq) return fail({ code: "dialog.out-of-order" });
  return succeed({ ...dialog, remoteSeq: number, flow });
}

export interface Addressing {
  readonly uri: string;
  readonly route: readonly Header[];
  /** The URI whose host gets the datagram. §8.1.2. */
  readonly nextHop: string;
}

/** Request-URI, Route and next hop of a request of ours in the dialog. §12.2.1.1. */
export function addressing({ remoteTarget, routeSet }: Dialog): Addressing {
  const [first, ...others] = routeSet;
  if (first === undefined) return { uri: remoteTarget, route: [], nextHop: remoteTarget };
  const firstUri = parseNameAddr(first)?.uri ?? first;
  const parsed = parseUri(firstUri);
  if (parsed !== undefined && uriParameter(parsed, "lr") === undefined) {
    // A strict router: it becomes the Request-URI, the target goes to the end.
    const route = [...others, `<${remoteTarget}>`].map((value) => header("Route", "route", value));
    return { uri: showUri(asRequestUri(parsed)), route, nextHop: firstUri };
  }
  return {
    uri: remoteTarget,
    route: routeSet.map((value) => header("Route", "route", value)),
    nextHop: firstUri,
  };
}

/**
 * Where our requests in the dialog that this request opens will be addressed: its Contact (§8.1.1.8). A sender from
 * before RFC 3261, which its branch tells, need not give one: then to who called (RFC 2543 §6.13, RFC 4475 §3.4.1).
 */
export function targetOf(request: SipRequest): string | undefined {
  const contact = contactUri(request);
  if (contact !== undefined || request.via.branch.startsWith(MAGIC_COOKIE) || hasHeader(request, "contact"))
    return contact;
  return parseNameAddr(headerValue(request, "from") ?? "")?.uri;
}

/** The first Contact's URI. */
export function contactUri(message: SipMessage): string | undefined {
  const value = headerValue(message, "contact");
  if (value === undefined || value === "*") return undefined;
  const first = splitList(value)[0];
  const uri = first === undefined ? undefined : parseNameAddr(first)?.uri;
  return uri === undefined ? undefined : ownText(uri); // it outlives the message
}

function listOf(message: SipMessage, key: string): string[] {
  const values: string[] = [];
  for (const line of message.headers) if (line.key === key) values.push(...splitList(line.value).map(ownText));
  return values;
}
