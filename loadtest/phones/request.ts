// The requests of a simulated phone.

import { addressing, type Dialog } from "../../pop/sip-server/core/dialog/dialog.ts";
import { contentLength } from "../../pop/sip-server/core/message/build.ts";
import { type Header, header, type SipRequest } from "../../pop/sip-server/core/message/message.ts";
import { MAGIC_COOKIE, parseVia } from "../../pop/sip-server/core/message/via.ts";

/** Where the phone says it is. */
export interface PhoneAddress {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  /** UDP unless said. */
  readonly transport?: PhoneTransport;
}

export type PhoneTransport = "udp" | "tcp" | "tls";

export const ALLOWED = "INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, UPDATE, REFER, NOTIFY";

export const token = (): string => Math.random().toString(36).slice(2, 12);

/** "sip:alice@127.30.0.1:5060;transport=tcp" */
export const uriOf = ({ user, host, port, transport = "udp" }: PhoneAddress): string =>
  `sip:${user}@${host}:${port}${transport === "udp" ? "" : `;transport=${transport}`}`;

export const contactOf = (at: PhoneAddress): string => `<${uriOf(at)}>`;

interface Parts {
  readonly method: string;
  readonly uri: string;
  readonly from: string;
  readonly fromTag: string;
  readonly to: string;
  readonly toTag: string;
  readonly callId: string;
  readonly sequence: number;
  readonly extra: readonly Header[];
  readonly body: string;
}

function request(at: PhoneAddress, parts: Parts): SipRequest {
  const { method, uri, callId, sequence, body } = parts;
  const viaText = `SIP/2.0/${(at.transport ?? "udp").toUpperCase()} ${at.host}:${at.port};branch=${MAGIC_COOKIE}${token()}${token()};rport`;
  const via = parseVia(viaText);
  if (via === undefined) throw new Error(`not a Via: ${viaText}`);
  const tagged = (party: string, tag: string) => (tag === "" ? party : `${party};tag=${tag}`);
  const headers: Header[] = [
    header("Via", "via", viaText),
    header("Max-Forwards", "max-forwards", "70"),
    header("From", "from", tagged(parts.from, parts.fromTag)),
    header("To", "to", tagged(parts.to, parts.toTag)),
    header("Call-ID", "call-id", callId),
    header("CSeq", "cseq", `${sequence} ${method}`),
    header("Contact", "contact", contactOf(at)),
    ...parts.extra,
    ...(body === "" || hasType(parts.extra) ? [] : [header("Content-Type", "content-type", "application/sdp")]),
    contentLength(body),
  ];
  const { fromTag, toTag } = parts;
  const cseq = { number: sequence, method };
  return { kind: "request", method, uri, headers, body, via, cseq, callId, fromTag, toTag, sizeBytes: 0 };
}

const hasType = (headers: readonly Header[]): boolean => headers.some(({ key }) => key === "content-type");

export interface FirstInvite {
  readonly uri: string;
  readonly callingNumber: string;
  readonly sdp: string;
  readonly extra: readonly Header[];
}

export function firstInvite(at: PhoneAddress, { uri, callingNumber, sdp, extra }: FirstInvite): SipRequest {
  return request(at, {
    method: "INVITE",
    uri,
    from: `<sip:${callingNumber}@${at.host}>`,
    fromTag: token(),
    to: `<${uri}>`,
    toTag: "",
    callId: `${token()}@${at.host}`,
    sequence: 1,
    extra: [header("Allow", "allow", ALLOWED), ...extra],
    body: sdp,
  });
}

/** In a dialog: RFC 3261 §12.2.1.1. An ACK has the number of its INVITE. */
export function within(
  dialog: Dialog,
  at: PhoneAddress,
  method: string,
  sequence: number,
  body = "",
  extra: readonly Header[] = [],
): SipRequest {
  const { uri, route } = addressing(dialog);
  return request(at, {
    method,
    uri,
    from: withoutTag(dialog.localParty),
    fromTag: dialog.localTag,
    to: withoutTag(dialog.remoteParty),
    toTag: dialog.remoteTag,
    callId: dialog.callId,
    sequence,
    extra: [...route, ...extra],
    body,
  });
}

const withoutTag = (party: string): string => party.replace(/;tag=[^;\s]*/i, "");
