// Dialogs and transactions as JSON: what another process needs to go on with them. No timers but their deadlines, no
// links but their owners' names, messages as their text.
//
// `version` is that of the format. A reader refuses a version it does not know; a field may be added within one.

import type { Dialog } from "../dialog/dialog.ts";
import type { ResponseDraft } from "../drachtio/command.ts";
import type { Flow } from "../flow.ts";
import type { SipMessage, SipRequest, SipResponse } from "../message/message.ts";
import { PARSE_LIMITS, type ParseLimits, parseMessage } from "../message/parse.ts";
import { serialise } from "../message/serialise.ts";
import type { Exchange } from "../session/offer-answer.ts";
import type { SessionState } from "../session/session-timer.ts";

/**
 * Numbers that may have been used after the record was written: whoever takes a dialog up goes on so much higher. RFC 3261
 * §12.2.1.1, §12.2.2: gaps are no fault.
 */
export const CSEQ_RESERVE = 256;

export type Plain =
  | undefined
  | null
  | boolean
  | number
  | string
  | readonly Plain[]
  | { readonly [name: string]: Plain };

/** A named timer and when it is due, wall-clock milliseconds. */
export interface TimerRecord {
  readonly name: string;
  readonly dueUnixMs: number;
}

/** The application: how it is called, and what a connection must show to speak for it. */
export interface OwnerRecord {
  readonly name: string;
  readonly key: string;
}

/** A dialog by its key (Call-ID, local tag, remote tag), or, when it has ended, the dialog itself. */
export type DialogReference = string | Dialog;

export interface TransactionRecord {
  readonly side: "client" | "server";
  readonly request: string;
  /** Where it goes, or where its responses go. */
  readonly flow: Flow;
  /** Of the machine in core/transaction; messages as text. */
  readonly state: Plain;
  readonly timers: readonly TimerRecord[];
  /** Who waits for the answer, client side only; nobody: undefined. */
  readonly user?: ClientUserRecord | undefined;
}

export type ClientUserRecord = CallRecord | RefreshRecord;

/** A request that an application sent. */
export interface CallRecord {
  readonly kind: "call";
  /** The application's name for it. */
  readonly transactionId: string;
  readonly owner: OwnerRecord;
  readonly request: string;
  readonly flow: Flow;
  readonly inside: DialogReference | undefined;
  readonly forks: readonly { readonly tag: string; readonly dialog: DialogReference }[];
  readonly chosen: DialogReference | undefined;
  readonly cancellation: Plain;
  readonly answered: boolean;
  /** The last provisional status above 100. */
  readonly provisional?: number;
  readonly holdsInviting: boolean;
  /** A 422 has been followed. */
  readonly raised: boolean;
  /** Challenges answered so far. */
  readonly nonces: readonly string[];
  readonly acks: readonly AckRecord[];
  readonly timers: readonly TimerRecord[];
}

/** Our ACK, for copies of the 2xx it belongs to. */
export interface AckRecord {
  readonly dialog: DialogReference;
  readonly ack: string;
  readonly flow: Flow;
}

/** A refresh of ours, invisible to the application. */
export interface RefreshRecord {
  readonly kind: "refresh";
  readonly owner: OwnerRecord;
  readonly dialog: DialogReference;
  readonly flow: Flow;
  readonly isOver: boolean;
  readonly ack: AckRecord | undefined;
}

/** A request of the network that an application has yet to answer. */
export interface PendingRecord {
  readonly transactionId: string;
  /** Key of its server transaction. */
  readonly transaction: string;
  readonly from: Flow;
  readonly pointId: string;
  readonly owner: OwnerRecord;
  readonly dialog: DialogReference | undefined;
  readonly startsDialog: boolean;
  readonly localTag: string;
  readonly held: { readonly commandId: string; readonly draft: ResponseDraft } | undefined;
  readonly reliable: Plain;
  readonly provisional: Plain;
  readonly timers: readonly TimerRecord[];
}

/** Our 2xx until its ACK. */
export interface AcceptanceRecord {
  readonly transactionId: string;
  readonly cseq: number;
  /** Key of its server transaction; it may have ended. */
  readonly transaction: string;
  readonly invite: string;
  readonly flow: Flow;
  readonly state: Plain;
  readonly timers: readonly TimerRecord[];
}

export interface DialogRecord {
  readonly version: number;
  readonly dialog: Dialog;
  readonly owner: OwnerRecord;
  readonly localSdp: string;
  readonly exchange: Exchange;
  readonly peerUpdates: boolean;
  readonly session: SessionState;
  readonly minSeSeconds: number;
  readonly rseq: number;
  readonly invitingIn: boolean;
  readonly invitingOut: boolean;
  readonly ending: boolean;
  readonly acceptance: AcceptanceRecord | undefined;
  /** The INVITE whose 2xx has no ACK, and why the call is to end with that. */
  readonly unacknowledged:
    | {
        readonly invite: string;
        readonly endBecause: string | undefined;
        /** The 2xx, for an application that comes back without it. */
        readonly answer?: { readonly sip: string; readonly transactionId: string } | undefined;
      }
    | undefined;
  /** The application's BYE that waits for the ACK, or the reason of our own. */
  readonly heldBye: CallRecord | string | undefined;
}

/** A whole server, or one call of it. */
export interface EndpointRecord {
  readonly version: number;
  readonly takenUnixMs: number;
  readonly dialogs: readonly DialogRecord[];
  readonly transactions: readonly TransactionRecord[];
  readonly pending: readonly PendingRecord[];
}

export interface RecordUnusable {
  readonly code: "record.unusable";
  readonly reason: string;
}

/** Own messages may be longer than what we take from strangers. */
const LIMITS: ParseLimits = {
  ...PARSE_LIMITS,
  messageBytesMax: 16_777_216,
  headerBytesMax: 1_048_576,
  headersMax: 4_096,
};

const isMessage = (value: object): value is SipMessage =>
  "kind" in value && (value.kind === "request" || value.kind === "response") && "via" in value;

/** Requests outlive many records of them. */
const texts = new WeakMap<SipRequest, string>();

/** As it is written: made once for as long as the request lives. */
export function requestText(request: SipRequest): string {
  const known = texts.get(request);
  if (known !== undefined) return known;
  const made = serialise(request);
  texts.set(request, made);
  return made;
}

/** A state of one of the machines, with its messages as text. `request` itself is not written twice. */
export function freeze(value: unknown, request?: SipRequest): Plain {
  if (typeof value !== "object" || value === null) return value as Plain;
  if (value === request) return { sip: "" };
  if (Array.isArray(value)) return value.map((item) => freeze(item, request));
  if (isMessage(value)) return { sip: serialise(value) };
  const plain: Record<string, Plain> = {};
  for (const [name, field] of Object.entries(value)) plain[name] = freeze(field, request);
  return plain;
}

/** @throws RecordFault: the text of a message that is none. Caught where a record is read. */
export function thaw<State>(value: Plain, request?: SipRequest): State {
  return thawed(value, request) as State;
}

function thawed(value: Plain, request: SipRequest | undefined): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map((item: Plain) => thawed(item, request));
  const fields = Object.entries(value as { readonly [name: string]: Plain });
  const [first] = fields;
  if (fields.length === 1 && first?.[0] === "sip" && typeof first[1] === "string")
    return first[1] === "" ? request : messageFrom(first[1]);
  return Object.fromEntries(fields.map(([name, field]) => [name, thawed(field, request)]));
}

export class RecordFault extends Error {}

/** @throws RecordFault */
export function requestFrom(text: string): SipRequest {
  const message = messageFrom(text);
  if (message.kind !== "request") throw new RecordFault("not a request");
  return message;
}

/** @throws RecordFault */
export function responseFrom(text: string): SipResponse {
  const message = messageFrom(text);
  if (message.kind !== "response") throw new RecordFault("not a response");
  return message;
}

/** A record names a message several times, and is looked at before it is taken up. */
const RECENT_MAX = 32;
const recent = new Map<string, SipMessage>();

function messageFrom(text: string): SipMessage {
  const known = recent.get(text);
  if (known !== undefined) return known;
  const parsed = parseMessage(text, LIMITS);
  if (!parsed.ok) throw new RecordFault(`a message that is none: ${parsed.failure.fault}`);
  if (recent.size >= RECENT_MAX) recent.clear();
  recent.set(text, parsed.value);
  return parsed.value;
}

/**
 * Everything that is restored by parts, however deep: every message is one, every listen point is known.
 * @throws RecordFault
 */
export function inspect(value: unknown, points: ReadonlySet<string>): void {
  if (typeof value !== "object" || value === null) return;
  if (Array.isArray(value)) {
    for (const item of value) inspect(item, points);
    return;
  }
  for (const [name, field] of Object.entries(value))
    if (typeof field !== "string") inspect(field, points);
    else if (name === "pointId" && !points.has(field)) throw new RecordFault(`no such listen point here: ${field}`);
    else if (name === "request" || name === "invite" || name === "ack") requestFrom(field);
    else if (name === "sip" && field !== "") messageFrom(field);
}

/** Without the connections that flows prefer: they were those of another process, and their names may be taken here. */
export function disconnected<Value>(value: Value): Value {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(disconnected) as Value;
  const copy: Record<string, unknown> = {};
  for (const [name, field] of Object.entries(value))
    copy[name] = name === "connection" ? undefined : disconnected(field);
  return copy as Value;
}
