// From what an application wrote to what goes on the wire: the parts it may say, the parts that are ours. RFC 3261 §8.1.1, §12.2.1.1.

import { fail, type Outcome, succeed } from "../../../../kernel/outcome.ts";
import { type Addressing, addressing, type Dialog } from "../dialog/dialog.ts";
import type { Draft, RequestDraft, ResponseDraft } from "../drachtio/command.ts";
import { isSecure, isWebSocket, type ListenPoint } from "../flow.ts";
import { contentLength } from "../message/build.ts";
import { headerSpelling, mayBeEmpty } from "../message/header-name.ts";
import { type Header, header, headerValue, type SipRequest } from "../message/message.ts";
import { parseNameAddr, showNameAddr, tagOf, withTag } from "../message/name-addr.ts";
import { parseCSeq } from "../message/parse.ts";
import { asRequestUri, hasBadEscape, parseUri, showUri } from "../message/uri.ts";
import { parseVia } from "../message/via.ts";
import { markedLike } from "../proxy/loop.ts";
import { type ContactUse, contactOf } from "./own-contact.ts";

/** Never taken from an application: they are the transaction's or the dialog's. */
const OURS = new Set(["via", "route", "record-route", "rseq", "content-length", "content-type", "max-forwards"]);
const OURS_IN_REQUEST = new Set([...OURS, "from", "to", "call-id", "cseq", "contact"]);
const OURS_IN_RESPONSE = new Set([...OURS, "from", "to", "call-id", "cseq", "contact"]);
/** In a CANCEL only what explains it. */
const OURS_IN_CANCEL = new Set([...OURS_IN_REQUEST, "p-asserted-identity", "require", "proxy-require"]);

export interface Unsendable {
  readonly code: "request.unsendable";
  /** As drachtio words it: applications match on some of these. */
  readonly reason: string;
}

export interface Fresh {
  readonly point: ListenPoint;
  readonly branch: string;
  readonly callId: string;
  readonly fromTag: string;
  readonly cseq: number;
}

/** A request that starts something: §8.1.1. @fails request.unsendable */
export function newRequest(draft: RequestDraft, fresh: Fresh): Outcome<SipRequest, Unsendable> {
  const { point } = fresh;
  const requestUri = requestUriOf(draft.uri);
  if (requestUri === undefined) return unsendable(`invalid request-uri: ${draft.uri.slice(0, 128)}`);
  const contentType = contentTypeOf(draft);
  if (contentType === undefined) return unsendable("missing content-type");

  const from = party(draft, "from", contactUriOf(point), point);
  const to = party(draft, "to", requestUri, point);
  if (from === undefined || to === undefined) return unsendable("invalid from or to header");
  const fromTag = tagOf(from) || fresh.fromTag;
  const asked = parseCSeq(headerValue(draft, "cseq") ?? "");
  const number = asked?.number ?? fresh.cseq;
  const callId = headerValue(draft, "call-id") ?? fresh.callId;
  if (callId.length > 255 || /[|\s,;]/.test(callId)) return unsendable("invalid call-id");

  const headers: Header[] = [
    header("Via", "via", ourVia(point, fresh.branch)),
    header("Max-Forwards", "max-forwards", maxForwards(draft)),
    header("From", "from", showNameAddr(withTag(from, fromTag))),
    header("To", "to", showNameAddr(to)),
    header("Call-ID", "call-id", callId),
    header("CSeq", "cseq", `${number} ${draft.method}`),
  ];
  const contact = contactFor(draft, point, draft.method, isSips(requestUri));
  if (contact === undefined) return unsendable(INVALID_CONTACT);
  if (contact !== "") headers.push(header("Contact", "contact", contact));
  pushGiven(headers, draft, OURS_IN_REQUEST, point);
  pushBody(headers, draft, contentType);
  return succeed(
    request(draft.method, requestUri, headers, draft.body, { callId, fromTag, toTag: tagOf(to), cseq: number }),
  );
}

/** The same request as another transaction, by way of another of our addresses: only the first Via changes. RFC 3263 §4.3, RFC 3261 §18.1.1. */
export function sentFrom(request: SipRequest, point: ListenPoint, branch: string): SipRequest {
  const value = ourVia(point, markedLike(branch, request.via.branch));
  const via = parseVia(value);
  if (via === undefined) throw new Error("our own Via cannot be read");
  const at = request.headers.findIndex(({ key }) => key === "via");
  return { ...request, via, headers: request.headers.with(at, header("Via", "via", value)) };
}

/** The same request under another number. */
export function renumbered(request: SipRequest, number: number): SipRequest {
  const cseq = { number, method: request.method };
  const headers = request.headers.map((line) =>
    line.key === "cseq" ? { ...line, value: `${number} ${request.method}` } : line,
  );
  return { ...request, cseq, headers };
}

/** A request inside a dialog: §12.2.1.1. The Request-URI of the application is a placeholder. @fails request.unsendable */
export function requestInDialog(
  dialog: Dialog,
  draft: RequestDraft,
  fresh: { readonly point: ListenPoint; readonly branch: string; readonly cseq: number },
): Outcome<SipRequest, Unsendable> {
  const { point, branch, cseq } = fresh;
  const contentType = contentTypeOf(draft);
  if (contentType === undefined) return unsendable("missing content-type");
  const { uri, route }: Addressing = addressing(dialog);
  const headers: Header[] = [
    header("Via", "via", ourVia(point, branch)),
    header("Max-Forwards", "max-forwards", maxForwards(draft)),
    ...route,
    header("From", "from", dialog.localParty),
    header("To", "to", dialog.remoteParty),
    header("Call-ID", "call-id", dialog.callId),
    header("CSeq", "cseq", `${cseq} ${draft.method}`),
  ];
  if (NAMES_A_TARGET.has(draft.method)) {
    const contact = contactInDialog(draft, point, dialog.localContact, "own-target");
    if (contact === undefined) return unsendable(INVALID_CONTACT);
    headers.push(header("Contact", "contact", contact));
  }
  pushGiven(headers, draft, OURS_IN_REQUEST, point);
  pushBody(headers, draft, contentType);
  const { callId, localTag, remoteTag } = dialog;
  return succeed(
    request(draft.method, uri, headers, draft.body, { callId, fromTag: localTag, toTag: remoteTag, cseq }),
  );
}

/**
 * What an application adds to a response; Contact is ours when it gave none and the response needs one.
 *
 * @param contact the dialog's so far; empty when there is no dialog yet
 * @fails request.unsendable: its Contact cannot be read, or names no single SIP URI where a dialog needs one
 */
export function responseHeaders(
  draft: ResponseDraft,
  to: SipRequest,
  point: ListenPoint,
  { reliable, contact }: { readonly reliable: boolean; readonly contact: string },
): Outcome<Header[], Unsendable> {
  const headers: Header[] = [];
  const { status } = draft;
  const isTarget = NEEDS_CONTACT_IN_ANSWER.has(to.method) && (reliable || (status > 100 && status < 300));
  const given = headerValue(draft, "contact");
  const shown = isTarget
    ? contactInDialog(draft, point, contact, "target", asksForSips(to))
    : given === undefined || given === ""
      ? ""
      : contactOf(given, point, "list");
  if (shown === undefined) return unsendable(INVALID_CONTACT);
  if (shown !== "") headers.push(header("Contact", "contact", shown));
  pushGiven(headers, draft, OURS_IN_RESPONSE, point);
  const contentType = contentTypeOf(draft) ?? "application/octet-stream";
  if (draft.body !== "") headers.push(header("Content-Type", "content-type", contentType));
  return succeed(headers);
}

/** The local tag an application chose by writing it into To. */
export function tagFromDraft(draft: ResponseDraft): string | undefined {
  const to = headerValue(draft, "to");
  const address = to === undefined ? undefined : parseNameAddr(to);
  const tag = address === undefined ? "" : tagOf(address);
  return /^[A-Za-z0-9\-.!%*_+`'~]{1,128}$/.test(tag) ? tag : undefined;
}

export const cancelHeaders = (draft: Draft): Header[] =>
  draft.headers
    .filter(({ key }) => !OURS_IN_CANCEL.has(key))
    .map(({ name, key, value }) => header(headerSpelling(name), key, value));

/**
 * `sip:127.0.0.1:5060;transport=tcp`: us, as a peer should address us. RFC 3261 §8.1.1.8.
 *
 * @param sips in the company of a SIPS URI: then ours is one too, if TLS leads to us
 */
export function contactUriOf({ host, port, transport }: ListenPoint, sips = false): string {
  const isSips = sips && isSecure(transport);
  // RFC 7118 §5.2.2 knows "ws" alone; sips says that it is secure.
  const named = isWebSocket(transport) ? "ws" : isSips ? "" : transport;
  return `${isSips ? "sips" : "sip"}:${host}:${port}${named === "" || named === "udp" ? "" : `;transport=${named}`}`;
}

/** Over TLS we take requests back over the connection that our own went by: RFC 5923 §5. */
export const ourVia = ({ transport, host, port }: ListenPoint, branch: string): string =>
  `SIP/2.0/${transport.toUpperCase()} ${host}:${port};rport;branch=${branch}${transport === "tls" ? ";alias" : ""}`;

const isSips = (uri: string): boolean => uri.slice(0, 5).toLowerCase() === "sips:";

/** §12.1.1: a SIPS URI in the request, its first Record-Route, or its Contact when there is none, asks for one in the answer. */
function asksForSips(request: SipRequest): boolean {
  const via = headerValue(request, "record-route") ?? headerValue(request, "contact");
  return isSips(request.uri) || (via !== undefined && /^[^<]{0,256}<sips:|^sips:/i.test(via));
}

/** The methods whose Contact says where the dialog's next request goes. */
const NAMES_A_TARGET = new Set(["INVITE", "UPDATE", "SUBSCRIBE", "NOTIFY", "REFER"]);
/** RFC 3261 §20.10, RFC 3515 §2.2, RFC 6665 §4.2.1. */
const NEEDS_CONTACT_IN_ANSWER = new Set(["INVITE", "SUBSCRIBE", "REFER", "UPDATE"]);
const NEEDS_CONTACT = new Set(["INVITE", "SUBSCRIBE", "REFER", "UPDATE", "NOTIFY"]);

const INVALID_CONTACT = "invalid contact";

/** "" when there is to be none; undefined when the application's cannot be sent. */
function contactFor(draft: Draft, point: ListenPoint, method: string, sips: boolean): string | undefined {
  const given = headerValue(draft, "contact") ?? "";
  if (given !== "") return contactOf(given, point, method === "REGISTER" ? "list" : "own-target");
  return NEEDS_CONTACT.has(method) ? `<${contactUriOf(point, sips)}>` : "";
}

/** What the dialog has been called by so far stays its name, unless the application says otherwise. */
function contactInDialog(
  draft: Draft,
  point: ListenPoint,
  known: string,
  use: ContactUse,
  sips = false,
): string | undefined {
  const given = headerValue(draft, "contact") ?? "";
  if (given !== "") return contactOf(given, point, use);
  return known === "" ? `<${contactUriOf(point, sips)}>` : known;
}

/** `@localhost` stands for whichever address of ours is used, with or without a port. */
function ourAddress(value: string, { host, port }: ListenPoint): string {
  if (!value.includes("@localhost")) return value;
  return value.replace(/@localhost(?::\d{1,5})?(?![\w.:-])/g, `@${host}:${port}`);
}

/** §8.1.1.1: usually a SIP URI; any other (`tel:`, RFC 3966) where the application says which hop knows what to do with it. */
function requestUriOf(text: string): string | undefined {
  if (hasBadEscape(text)) return undefined;
  const uri = parseUri(text);
  if (uri !== undefined) return showUri(asRequestUri(uri));
  return /^(?!sips?:)[A-Za-z][A-Za-z0-9+.-]*:[^\s<>"]+$/i.test(text) ? text : undefined;
}

function party(draft: Draft, key: "from" | "to", otherwise: string, point: ListenPoint) {
  const given = headerValue(draft, key);
  return given === undefined ? { display: "", uri: otherwise, params: "" } : parseNameAddr(ourAddress(given, point));
}

function maxForwards(draft: Draft): string {
  const given = headerValue(draft, "max-forwards");
  return given !== undefined && /^\d{1,3}$/.test(given) && Number(given) < 256 ? given : "70";
}

/** "" when there is no body; undefined when there is one of unknown type. */
function contentTypeOf(draft: Draft): string | undefined {
  if (draft.body === "") return "";
  return headerValue(draft, "content-type") ?? (draft.body.startsWith("v=0") ? "application/sdp" : undefined);
}

function pushGiven(headers: Header[], draft: Draft, ours: ReadonlySet<string>, point: ListenPoint): void {
  for (const { name, key, value } of draft.headers) {
    if (ours.has(key) || (value === "" && !mayBeEmpty(key))) continue;
    headers.push(header(headerSpelling(name), key, key === "p-asserted-identity" ? ourAddress(value, point) : value));
  }
}

function pushBody(headers: Header[], { body }: Draft, contentType: string): void {
  if (body !== "") headers.push(header("Content-Type", "content-type", contentType));
  headers.push(contentLength(body));
}

function request(
  method: string,
  uri: string,
  headers: readonly Header[],
  body: string,
  ids: { readonly callId: string; readonly fromTag: string; readonly toTag: string; readonly cseq: number },
): SipRequest {
  const via = parseVia(headers[0]?.value ?? "");
  if (via === undefined) throw new Error("our own Via cannot be read");
  const { callId, fromTag, toTag } = ids;
  const cseq = { number: ids.cseq, method };
  return { kind: "request", method, uri, headers, body, via, cseq, callId, fromTag, toTag, sizeBytes: 0 };
}

const unsendable = (reason: string): { readonly ok: false; readonly failure: Unsendable } =>
  fail({ code: "request.unsendable", reason });
