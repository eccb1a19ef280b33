// Requests from the network, and the applications' answers to them. RFC 3261 §8.2, §9.2, §12.2.2, §13.3, §15.1.2.

import type { ApplicationLink } from "../../boundary/application-link.ts";
import * as acceptedInvite from "../../core/dialog/accepted-invite.ts";
import {
  confirmed,
  dialogId,
  dialogOfUas,
  makesDialog,
  received,
  refreshed,
  refreshesTarget,
  targetOf,
} from "../../core/dialog/dialog.ts";
import { expiresOf, withoutSubscription } from "../../core/dialog/subscription-values.ts";
import type { Command } from "../../core/drachtio/command.ts";
import * as report from "../../core/drachtio/report.ts";
import type { Flow, ListenPoint } from "../../core/flow.ts";
import { responseTo } from "../../core/message/build.ts";
import {
  type Header,
  header,
  headerValue,
  isSdp,
  listsToken,
  type SipRequest,
  type SipResponse,
} from "../../core/message/message.ts";
import { serialise } from "../../core/message/serialise.ts";
import { type AcceptanceRecord, freeze, type PendingRecord, requestFrom, thaw } from "../../core/record/record.ts";
import { retryAfterSeconds } from "../../core/session/glare.ts";
import { answered, isTooShort, minSeHeader, sessionExpiresOf } from "../../core/session/negotiation.ts";
import { answeredIn, described, objection, withdrawn } from "../../core/session/offer-answer.ts";
import { OFF, termsOf } from "../../core/session/session-timer.ts";
import { serverKey } from "../../core/transaction/key.ts";
import { responseHeaders, tagFromDraft } from "../../core/user-agent/outgoing.ts";
import { responseFlow } from "../../core/user-agent/response-flow.ts";
import { syntaxFault } from "../../core/user-agent/syntax-fault.ts";
import type { Owner, Owners } from "../applications/owners.ts";
import type { UserAgentClient } from "../client/user-agent-client.ts";
import { type Acceptance, type DialogEntry, type DialogStore, referenceTo } from "../dialogs/dialog-store.ts";
import { type DialogUsages, isOfSession, type Refusal } from "../dialogs/dialog-usages.ts";
import type { Orphans } from "../dialogs/orphans.ts";
import type { SessionTimers } from "../dialogs/session-timers.ts";
import type { RequestGate } from "../guard/request-gate.ts";
import type { Received } from "../proxy/proxy.ts";
import { methodLabel } from "../shell/counters.ts";
import { Latency } from "../shell/latency.ts";
import type { Shell } from "../shell/shell.ts";
import { NamedTimers, type TimerOwner } from "../shell/timer-wheel.ts";
import {
  type ServerTransaction,
  type ServerUser,
  type TransactionLayer,
  timerRecords,
} from "../transactions/transaction-layer.ts";
import { PendingRequest, type Silence } from "./pending-request.ts";

/** What an application may be given outside a dialog; the rest is answered here. */
const DELIVERED = new Set([
  "INVITE",
  "REGISTER",
  "MESSAGE",
  "OPTIONS",
  "INFO",
  "NOTIFY",
  "SUBSCRIBE",
  "PUBLISH",
  "REFER",
]);
/** They mean something only inside a dialog. */
const NEEDS_DIALOG = new Set(["BYE", "UPDATE", "PRACK"]);
/** §11.2: what we can do, as far as an application does not say it itself. */
const CAPABILITIES: readonly Header[] = [
  header("Allow", "allow", "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, PRACK, UPDATE, NOTIFY, REFER, SUBSCRIBE, MESSAGE"),
  header("Accept", "accept", "application/sdp"),
];

export interface UserAgentServerParts {
  readonly shell: Shell;
  readonly transactions: TransactionLayer;
  readonly dialogs: DialogStore;
  readonly takers: RequestTakers;
  readonly owners: Owners;
  readonly orphans: Orphans;
  readonly client: UserAgentClient;
  readonly sessions: SessionTimers;
  readonly usages: DialogUsages;
  readonly gate: RequestGate;
}

/** Who answers new requests. */
export interface RequestTakers {
  /** undefined: nobody wants it. */
  pick(request: SipRequest, from: Flow): ApplicationLink | undefined;
  /** Whether somebody would, now. */
  takes(verb: string): boolean;
  /** The request that was picked for has its name. */
  opened(link: ApplicationLink, transactionId: string): void;
}

export class UserAgentServer {
  /** From a request's delivery to the application's first answer to it. */
  readonly answering = new Latency();
  readonly #shell: Shell;
  readonly #transactions: TransactionLayer;
  readonly #dialogs: DialogStore;
  readonly #takers: RequestTakers;
  readonly #owners: Owners;
  readonly #orphans: Orphans;
  readonly #client: UserAgentClient;
  readonly #sessions: SessionTimers;
  readonly #usages: DialogUsages;
  readonly #gate: RequestGate;
  readonly #pending = new Map<string, PendingRequest>();
  /** Those that belong to a dialog. */
  readonly #byEntry = new Map<DialogEntry, PendingRequest[]>();
  /** INVITEs under way, by their transaction: CANCEL looks here. */
  readonly #invites = new Map<ServerTransaction, PendingRequest>();

  constructor(parts: UserAgentServerParts) {
    this.#shell = parts.shell;
    this.#transactions = parts.transactions;
    this.#dialogs = parts.dialogs;
    this.#takers = parts.takers;
    this.#owners = parts.owners;
    this.#orphans = parts.orphans;
    this.#client = parts.client;
    this.#sessions = parts.sessions;
    this.#usages = parts.usages;
    this.#gate = parts.gate;
  }

  /** A CANCEL of an INVITE that is not, or no longer, the user agent's. */
  onForeignCancel: (invite: ServerTransaction, cancel: SipRequest) => void = () => {};

  get pendingCount(): number {
    return this.#pending.size;
  }

  /** A request no transaction knows. */
  onRequest(request: SipRequest, from: Flow, point: ListenPoint): void {
    if (request.method === "ACK") this.#onAck(request, from);
    else if (request.method === "CANCEL") this.#onCancel(request, from);
    else if (this.#isOverloaded(request)) this.#refuse(request, from, 503);
    else if (request.toTag !== "") this.#inDialog(request, from, point);
    else this.#outOfDialog(request, from, point);
  }

  #isOverloaded(request: SipRequest): boolean {
    // Requests inside a dialog go on: they end calls more often than they make work.
    if (request.toTag !== "") return this.#transactions.full;
    return this.#transactions.full || this.#pending.size >= this.#shell.limits.pendingMax || this.#dialogs.full;
  }

  #outOfDialog(request: SipRequest, from: Flow, point: ListenPoint): void {
    const { method } = request;
    if (!DELIVERED.has(method)) {
      this.#refuse(request, from, NEEDS_DIALOG.has(method) ? 481 : 501);
      return;
    }
    if (!/^(?:sips?|tel):/i.test(request.uri)) {
      this.#refuse(request, from, 416); // §8.2.2.1
      return;
    }
    const fault = syntaxFault(request);
    if (fault !== undefined) {
      this.#refuse(request, from, 400, fault);
      return;
    }
    // §8.2.2.2; and a second call under the name of a living one could not be told from it.
    const isTaken = this.#dialogs.byId(dialogId(request.callId, request.fromTag)) !== undefined;
    if (this.#transactions.isMerged(request) || isTaken) {
      this.#refuse(request, from, 482);
      return;
    }
    // §8.1.1.8: without it there would be nowhere to send the BYE.
    if (makesDialog(method) && targetOf(request) === undefined) {
      this.#refuse(request, from, 400, "Missing Contact");
      return;
    }
    const unusable = this.#usages.refusalOfNew(request);
    if (unusable !== undefined) return this.#refuseAs(request, from, unusable);
    const admission = this.#gate.admit(request, point);
    if (admission.kind === "refused") return this.#refuseAs(request, from, admission);
    if (method === "INVITE" && isTooShort(request, this.#shell.sessionTimer))
      return this.#refuseInterval(request, from);
    const link = admission.owner ?? this.#takers.pick(request, from);
    if (link === undefined) {
      if (method === "INVITE") this.#shell.records?.attempt("network", request);
      // §11.2: an OPTIONS is answered as an INVITE would be. Carriers keep a trunk up by it: 200 while somebody takes
      // calls, 503 when nobody does, so that they go elsewhere. Overload has been looked at before. An application that
      // wants OPTIONS for itself asks for them.
      if (method === "OPTIONS" && this.#takers.takes("invite"))
        this.#refuse(request, from, 200, undefined, CAPABILITIES);
      else this.#refuse(request, from, 503);
      return;
    }
    const pending = this.#open(request, from, point, admission.owner ?? this.#owners.of(link), undefined);
    const meta = this.#networkMeta(request, from);
    const { transactionId } = pending.facts;
    this.#takers.opened(link, transactionId);
    const text = this.#shell.textOf(request);
    link.send(report.newRequest(this.#shell.ids.uuid(), meta, transactionId, point, text));
    if (method === "INVITE") this.#shell.records?.attempt("network", request); // after the frame it belongs to
  }

  #inDialog(request: SipRequest, from: Flow, point: ListenPoint): void {
    const known = this.#dialogs.byKey(request.callId, request.toTag, request.fromTag);
    const entry = known ?? this.#usages.entryOfNotify(request, from);
    if (entry === undefined) {
      this.#refuse(request, from, 481);
      return;
    }
    const taken = received(entry.dialog, request, from);
    if (!taken.ok) {
      this.#refuse(request, from, 500); // §12.2.2
      return;
    }
    entry.dialog = taken.value;
    const { method } = request;
    // RFC 5407 §3.2: our BYE is out. The peer's is answered as if ours had not been; nothing else begins.
    if (entry.ending && isOfSession(method)) return this.#refuse(request, from, method === "BYE" ? 200 : 481);
    const refusal = this.#usages.refusalOf(entry, request) ?? this.#gate.refusalInDialog(request, point);
    if (refusal !== undefined) return this.#refuseAs(request, from, refusal);
    if (method === "INVITE") {
      if (entry.invitingIn) return this.#refuse(request, from, 500, undefined, this.#retryAfter()); // §14.2
      const isUnacknowledged = entry.acceptance?.state === "waiting";
      if (entry.invitingOut || isUnacknowledged) return this.#refuse(request, from, 491); // §14.2, RFC 5407 §3.1.4
    }
    if (method === "INVITE" || method === "UPDATE") {
      if (isTooShort(request, this.#shell.sessionTimer)) return this.#refuseInterval(request, from);
      // RFC 3311 §5.2: one UPDATE at a time, and no offer while another is open.
      const isSecond = method === "UPDATE" && this.#pendingOf(entry, "UPDATE") !== undefined;
      const status = isSecond ? 500 : isSdp(request) ? objection(entry.exchange) : undefined;
      if (status !== undefined)
        return this.#refuse(request, from, status, undefined, status === 500 ? this.#retryAfter() : []);
    }
    if (method === "PRACK" && !this.#takePrack(entry, request)) return this.#refuse(request, from, 481); // RFC 3262 §3
    if (method === "BYE") this.#endInvites(entry);
    if (method === "INVITE") entry.invitingIn = true;
    if (isSdp(request) && CARRIES_OFFERS.has(method))
      entry.exchange = described(entry.exchange, "peer", method, request.cseq.number);
    // An application that is away finds it when it is back in time.
    const pending = this.#open(request, from, point, entry.owner, entry);
    this.#usages.inTurn(entry, request, (isWanted) => {
      if (!isWanted) this.#finish(pending, this.#answer(pending, 481));
      else this.#deliver(entry.owner, request, from, pending.facts.transactionId, entry.dialog.id);
    });
    if (method === "BYE") this.#shell.records?.stopped("network", request, "normal-release");
    if (method === "PRACK") this.#sendHeld(entry);
  }

  /** RFC 3261 §14.2, RFC 3311 §5.2: a random 0 … 10 s. */
  #retryAfter(): readonly Header[] {
    return [header("Retry-After", "retry-after", String(retryAfterSeconds(this.#shell.ids.chance())))];
  }

  /** RFC 4028 §9: without asking the application. */
  #refuseInterval(request: SipRequest, from: Flow): void {
    this.#refuse(request, from, 422, undefined, [minSeHeader(this.#shell.sessionTimer.minSeSeconds)]);
  }

  #pendingOf(entry: DialogEntry, method: string): PendingRequest | undefined {
    return this.#byEntry.get(entry)?.find(({ facts }) => facts.request.method === method);
  }

  #attach(entry: DialogEntry, pending: PendingRequest): void {
    const others = this.#byEntry.get(entry);
    if (others === undefined) this.#byEntry.set(entry, [pending]);
    else others.push(pending);
  }

  #detach(entry: DialogEntry, pending: PendingRequest): void {
    const left = this.#byEntry.get(entry)?.filter((other) => other !== pending) ?? [];
    if (left.length === 0) this.#byEntry.delete(entry);
    else this.#byEntry.set(entry, left);
  }

  /** §15.1.2: a BYE also ends what was still being asked in the dialog. */
  #endInvites(entry: DialogEntry): void {
    entry.acceptance?.over();
    entry.acceptance = undefined;
    release(entry); // the application's own BYE waited for an ACK that will not come
    for (const pending of [...(this.#byEntry.get(entry) ?? [])])
      if (pending.isInvite) this.#finish(pending, this.#answer(pending, 487));
  }

  /** The PRACK that a 2xx waited for is here. */
  #sendHeld(entry: DialogEntry): void {
    for (const pending of this.#byEntry.get(entry) ?? []) {
      const { held } = pending;
      if (held === undefined || pending.owesPrackOfDescription) continue;
      pending.held = undefined;
      const { link, transactionId } = pending.facts;
      this.respond(link, { kind: "send-response", id: held.commandId, transactionId, draft: held.draft });
      return;
    }
  }

  #takePrack(entry: DialogEntry, prack: SipRequest): boolean {
    const [rseq, cseq] = (headerValue(prack, "rack") ?? "").trim().split(/\s+/);
    for (const pending of this.#byEntry.get(entry) ?? []) {
      if (!pending.isInvite) continue;
      if (pending.facts.request.cseq.number !== Number(cseq) || !pending.isAwaiting(Number(rseq))) continue;
      pending.handleReliable({ kind: "prack", rseq: Number(rseq) });
      return true;
    }
    return false;
  }

  /** An ACK to a 2xx: it belongs to the dialog, not to a transaction. §13.3.1.4. */
  #onAck(ack: SipRequest, from: Flow): void {
    const entry = this.#dialogs.byKey(ack.callId, ack.toTag, ack.fromTag);
    const acceptance = entry?.acceptance;
    if (entry === undefined || acceptance === undefined) return; // nothing may be answered to an ACK
    if (acceptance.state !== "waiting" || acceptance.cseq !== ack.cseq.number) return;
    if (isSdp(ack)) entry.exchange = described(entry.exchange, "peer", "INVITE", ack.cseq.number);
    entry.exchange = withdrawn(entry.exchange, "INVITE", ack.cseq.number);
    // Told first: a held BYE may follow at once.
    this.#deliver(entry.owner, ack, from, acceptance.transactionId, entry.dialog.id);
    acceptance.acknowledge();
  }

  #onCancel(cancel: SipRequest, from: Flow): void {
    const invite = this.#transactions.inviteOf(cancel);
    if (invite === undefined) {
      this.#refuse(cancel, from, 481);
      return;
    }
    const pending = this.#invites.get(invite);
    const toTag = pending === undefined ? invite.request.toTag || this.#shell.ids.tag() : this.#tagOf(pending);
    this.#refuse(cancel, from, 200, undefined, [], toTag); // §9.2; the same To tag as the INVITE's answer
    if (pending === undefined) {
      this.onForeignCancel(invite, cancel); // answered already: then it has no effect
      return;
    }
    const isKnown = pending.entry !== undefined;
    const { link, transactionId } = pending.facts;
    this.#finish(pending, this.#answer(pending, 487));
    const dialogId = isKnown ? (pending.entry?.dialog.id ?? "") : "";
    this.#deliver(link, cancel, from, transactionId, dialogId);
    if (pending.startsDialog) this.#shell.records?.stopped("network", cancel, "call-canceled");
  }

  /** An application answers. */
  respond(link: Owner, command: Extract<Command, { kind: "send-response" }>): void {
    const pending = this.#pending.get(command.transactionId);
    if (pending === undefined || !pending.facts.link.isSpokenForBy(link)) {
      this.#nok(link, command.id, UNKNOWN_TRANSACTION);
      return;
    }
    const waitedMs = pending.firstAnswerAfterMs(this.#shell.clock.nowMs());
    if (waitedMs !== undefined) this.answering.observe(waitedMs);
    const { draft } = command;
    const { request, point } = pending.facts;
    const { status } = draft;
    if (status === 401 || status === 403 || status === 407) this.#shell.credentialsRefused(request, pending.facts.from);
    const isReliable = pending.isInvite && status > 100 && status < 200 && listsToken(draft, "require", "100rel");
    if (isReliable && !listsToken(request, "supported", "100rel") && !listsToken(request, "require", "100rel")) {
      this.#nok(link, command.id, "Remote endpoint does not support 100rel");
      return;
    }
    const made = responseHeaders(draft, request, point, {
      reliable: isReliable,
      contact: pending.entry?.dialog.localContact ?? "",
    });
    if (!made.ok) return this.#nok(link, command.id, made.failure.reason);
    const extra = made.value;
    const isHeld = pending.isInvite && status >= 200 && status < 300 && pending.owesPrackOfDescription;
    const { held } = pending;
    pending.held = isHeld ? { commandId: command.id, draft } : undefined;
    if (held !== undefined) this.#nok(link, held.commandId, "Response not sent: another one was sent instead");
    if (isHeld) return;
    if (pending.localTag === "" && status > 100) pending.localTag = tagFromDraft(draft) ?? this.#shell.ids.tag();
    const { method } = request;
    const isSuccess = status >= 200 && status < 300;
    const session =
      isSuccess && (method === "INVITE" || method === "UPDATE")
        ? answered(request, sessionExpiresOf(draft), termsOf(pending.entry?.session ?? OFF), this.#shell.sessionTimer)
        : undefined;
    if (session !== undefined) {
      const theirs = extra.findIndex(({ key }) => key === "session-expires");
      if (theirs !== -1) extra.splice(theirs, 1);
      extra.push(...session.headers);
    }
    const expires = this.#usages.expiresFor(request, draft);
    if (expires !== undefined) extra.push(expires);
    if (isReliable) extra.push(header("RSeq", "rseq", String(pending.nextRseq)));
    const response = responseTo(request, {
      status,
      reason: draft.reason,
      toTag: pending.localTag,
      headers: extra,
      body: draft.body,
    });
    if (status > 100 && status < 300 && !this.#keepDialog(pending, response)) {
      this.#nok(link, command.id, "Server error: no dialog can be made of this request");
      return;
    }
    const entry = pending.entry;
    // drachtio: no dialog id when the dialog is gone, or could not be; a call has its name also when it is refused.
    const isBye = request.method === "BYE";
    const named = pending.isInvite && status > 100 ? dialogId(request.callId, request.fromTag) : "";
    if (entry !== undefined && (isReliable || isSuccess) && isSdp(response) && CARRIES_OFFERS.has(method)) {
      entry.localSdp = response.body;
      entry.exchange =
        method === "INVITE"
          ? described(entry.exchange, "us", method, request.cseq.number)
          : answeredIn(entry.exchange, "us");
    }
    const dialog = isBye ? "" : (entry?.dialog.id ?? named);
    if (status >= 200) {
      this.#finish(pending, response);
      if (entry !== undefined && isSuccess && (method === "INVITE" || method === "UPDATE"))
        this.#sessions.agreed(entry, session?.terms);
    } else {
      pending.rings(response);
      if (isReliable) pending.handleReliable({ kind: "send", response });
      else pending.transaction?.respond(response);
    }
    const text = this.#shell.textOf(response);
    const flow = pending.transaction?.flow ?? pending.facts.from;
    const meta: report.Meta = {
      source: "application",
      bytes: text.length,
      protocol: flow.transport,
      address: flow.address,
      port: flow.port,
      time: this.#shell.timeOfDay(),
    };
    const { transactionId } = command;
    link.send(report.responseSent(this.#shell.ids.uuid(), command.id, meta, transactionId, dialog, text), "soon");
    if (link.isUnproven && pending.facts.entry !== undefined) this.#judge(link, status);
  }

  /** An application that is back, as it seems: does it know the dialogs it is said to own? */
  #judge(owner: Owner, status: number): void {
    if (status >= 200 && status < 300) owner.isUnproven = false;
    if (status !== 404 && status !== 481) return;
    // Another one, at the address of the one that is gone: nobody will end these calls but us.
    owner.isUnproven = false;
    this.#shell.counters.add("applications_without_memory");
    this.#orphans.giveUp(owner);
  }

  /** The application has lost its connection, or is back: what it has not answered waits for it, for a while. */
  onOwnerMoved(owner: Owner): void {
    for (const pending of this.#pending.values()) if (pending.facts.link === owner) pending.attend();
  }

  records(unixMs: number, isWanted: (request: SipRequest) => boolean): PendingRecord[] {
    const records: PendingRecord[] = [];
    for (const pending of this.#pending.values()) {
      if (!isWanted(pending.facts.request)) continue;
      const record = pending.record(unixMs, pending.entry === undefined ? undefined : referenceTo(pending.entry));
      if (record !== undefined) records.push(record);
    }
    return records;
  }

  /** What a server transaction that is taken up from a record talks to. */
  userFor(from: Flow): ServerUser {
    return this.#userOf(from);
  }

  /** Takes a pending request up from its record. */
  resumePending(
    record: PendingRecord,
    transaction: ServerTransaction,
    entry: DialogEntry | undefined,
    unixMs: number,
  ): void {
    const { transactionId, from, pointId, startsDialog } = record;
    const { request } = transaction;
    const link = this.#owners.restored(record.owner);
    const facts = {
      transactionId,
      request,
      from,
      point: this.#shell.point(pointId),
      link,
      entry: startsDialog ? undefined : entry,
    };
    const pending = new PendingRequest(this.#shell, facts, (silent, because) => this.#onSilence(silent, because));
    pending.entry = entry;
    pending.transaction = transaction;
    pending.resume(record, unixMs);
    this.#pending.set(transactionId, pending);
    if (pending.isInvite) this.#invites.set(transaction, pending);
    if (entry !== undefined) this.#attach(entry, pending);
  }

  /** Takes our 2xx up that has no ACK yet. @param transaction undefined when it has ended: the 2xx goes out by itself then */
  resumeAcceptance(
    entry: DialogEntry,
    record: AcceptanceRecord,
    transaction: ServerTransaction | undefined,
    unixMs: number,
  ): void {
    const { transactionId, cseq, flow } = record;
    const request = transaction?.request ?? requestFrom(record.invite);
    const respond = transaction ?? {
      request,
      flow,
      respond: (response: SipResponse) => this.#shell.send(response, flow, true, () => {}),
    };
    const acceptance = this.#acceptanceOf(entry, respond, { transactionId, cseq });
    entry.acceptance = acceptance;
    acceptance.resume(record, unixMs);
  }

  isOwing(owner: Owner): boolean {
    for (const pending of this.#pending.values()) if (pending.facts.link === owner) return true;
    return false;
  }

  isPending(transactionId: string): boolean {
    return this.#pending.has(transactionId);
  }

  /** Another application gets it. False: it has its answer already. */
  reassign(transactionId: string, link: Owner): boolean {
    const pending = this.#pending.get(transactionId);
    if (pending === undefined) return false;
    pending.facts = { ...pending.facts, link };
    return true;
  }

  /** Answered without an application. False: it has its answer already. */
  refuse(transactionId: string, status: number, reason?: string, headers: readonly Header[] = []): boolean {
    const pending = this.#pending.get(transactionId);
    if (pending === undefined) return false;
    const toTag = this.#tagOf(pending);
    const how = { status, toTag, headers, ...(reason === undefined ? {} : { reason }) };
    this.#finish(pending, responseTo(pending.facts.request, how));
    return true;
  }

  /** The user agent has no more to do with it. Not for a request in a dialog, nor one that has made one. */
  take(transactionId: string, link?: Owner): Received | undefined {
    const pending = this.#pending.get(transactionId);
    if (pending === undefined || pending.entry !== undefined || pending.transaction === undefined) return undefined;
    if (link !== undefined && !pending.facts.link.isSpokenForBy(link)) return undefined;
    const { request, from, point } = pending.facts;
    const { transaction } = pending;
    pending.end();
    this.#pending.delete(transactionId);
    this.#invites.delete(transaction);
    return { request, from, point, transaction };
  }

  #open(
    request: SipRequest,
    from: Flow,
    point: ListenPoint,
    link: Owner,
    entry: DialogEntry | undefined,
  ): PendingRequest {
    const transactionId = this.#shell.ids.uuid();
    const facts = { transactionId, request, from, point, link, entry };
    const pending = new PendingRequest(this.#shell, facts, (silent, because) => this.#onSilence(silent, because));
    this.#pending.set(transactionId, pending);
    const transaction = this.#transactions.startServer(
      request,
      responseFlow(request, from),
      this.#userOf(from, pending),
    );
    pending.transaction = transaction;
    if (pending.isInvite) {
      this.#invites.set(transaction, pending);
      const seconds = expiresOf(request);
      if (seconds !== undefined && entry === undefined) pending.expireAfter(seconds);
    }
    if (entry !== undefined) this.#attach(entry, pending);
    return pending;
  }

  #userOf(from: Flow, pending?: PendingRequest): ServerUser {
    return {
      onAck: (ack) => this.#onAck(ack, from),
      onFailed: (because) => {
        this.#shell.counters.add("server_transactions_failed", `because="${because}"`);
        if (pending !== undefined && this.#pending.has(pending.facts.transactionId)) this.#onPeerGone(pending);
      },
    };
  }

  /** RFC 3261 §17.2.1: it rings for a caller who can not be reached any more, and could not even say CANCEL. */
  #onPeerGone(pending: PendingRequest): void {
    if (!pending.isInvite) return;
    this.#finish(pending, this.#answer(pending, 487)); // its transaction has ended: nothing is sent
    if (pending.startsDialog) this.#tellCancelled(pending);
  }

  /** drachtio-srf keeps a request until it hears of it again: a CANCEL is the word it knows. */
  #tellCancelled({ facts }: PendingRequest): void {
    const cancel: SipRequest = { ...facts.request, method: "CANCEL", body: "" };
    this.#deliver(facts.link, cancel, facts.from, facts.transactionId, "");
  }

  /** Neither the application nor a PRACK came: say so while the peer still listens. */
  #onSilence(pending: PendingRequest, because: Silence): void {
    if (because !== "expired" && !pending.facts.link.open) return this.#onAbsence(pending);
    const counter = because === "expired" ? "expired_requests" : "unanswered_requests";
    this.#shell.counters.add(counter, `method="${methodLabel(pending.facts.request.method)}"`);
    // RFC 3261 §13.3.1: 487; RFC 3262 §3: a 5xx. A re-INVITE that nobody answers does not end the call; a BYE does.
    const status = because === "expired" ? 487 : because === "no-prack" ? 504 : pending.isInvite ? 408 : 500;
    this.#finish(pending, this.#answer(pending, status));
    if (pending.isInvite && pending.startsDialog) this.#tellCancelled(pending);
  }

  /** The application has not come back in time. A new request may succeed elsewhere, one in a dialog a little later; a BYE is a BYE. */
  #onAbsence(pending: PendingRequest): void {
    const { request, link } = pending.facts;
    const { entry } = pending;
    this.#shell.counters.add("requests_without_application", `method="${methodLabel(request.method)}"`);
    if (entry === undefined || pending.startsDialog) this.#finish(pending, this.#answer(pending, 503));
    else if (request.method === "BYE") {
      const { id } = entry.dialog;
      this.#finish(pending, this.#answer(pending, 200));
      const text = this.#shell.textOf(request);
      const meta: report.Meta = { ...report.nowhere(this.#shell.timeOfDay()), source: "application" };
      link.keep(report.unsolicited(this.#shell.ids.uuid(), meta, id, text), this.#shell.limits.orphanGraceMs);
    } else this.#finish(pending, this.#answer(pending, 500, this.#retryAfter()));
  }

  #answer(pending: PendingRequest, status: number, headers: readonly Header[] = []): SipResponse {
    return responseTo(pending.facts.request, { status, toTag: this.#tagOf(pending), headers });
  }

  #tagOf(pending: PendingRequest): string {
    if (pending.localTag === "") pending.localTag = this.#shell.ids.tag();
    return pending.localTag;
  }

  /** Makes or moves the dialog that this 1xx or 2xx belongs to; false when it needs one and none can be. */
  #keepDialog(pending: PendingRequest, response: SipResponse): boolean {
    const { request, from, link } = pending.facts;
    const isDialogMaking = makesDialog(request.method);
    const isSuccess = response.status >= 200;
    if (pending.entry === undefined) {
      if (!isDialogMaking || (request.method !== "INVITE" && !isSuccess)) return true;
      if (request.method === "REFER" && withoutSubscription(response)) return true; // RFC 4488 §4
      const localContact = headerValue(response, "contact") ?? "";
      const party = headerValue(response, "to") ?? "";
      const made = dialogOfUas(request, { localTag: pending.localTag, localContact, flow: from, party });
      if (!made.ok) return false;
      pending.entry = this.#dialogs.add(made.value, link);
      this.#attach(pending.entry, pending);
      if (request.method === "INVITE") {
        pending.entry.invitingIn = true;
        pending.entry.peerUpdates = listsToken(request, "allow", "update");
        if (isSdp(request)) pending.entry.exchange = described(undefined, "peer", "INVITE", request.cseq.number);
      }
    }
    const { entry } = pending;
    if (!isSuccess) return true;
    if (isDialogMaking && pending.startsDialog) entry.dialog = confirmed(entry.dialog, response);
    if (refreshesTarget(request.method)) entry.dialog = refreshed(entry.dialog, request);
    const localContact = headerValue(response, "contact");
    if (localContact !== undefined) entry.dialog = { ...entry.dialog, localContact };
    return true;
  }

  /** A final response: the request is no longer pending. */
  #finish(pending: PendingRequest, response: SipResponse): void {
    const { request, transactionId } = pending.facts;
    const { entry, transaction } = pending;
    pending.handleReliable({ kind: "over" });
    pending.end();
    const { held } = pending;
    if (held !== undefined) this.#nok(pending.facts.link, held.commandId, UNKNOWN_TRANSACTION);
    this.#pending.delete(transactionId);
    if (transaction !== undefined) this.#invites.delete(transaction);
    transaction?.respond(response);
    if (pending.isInvite && pending.startsDialog) this.#record(response);
    if (entry === undefined) return;
    this.#detach(entry, pending);
    const open = entry.exchange;
    if (open?.by === "peer" || response.status >= 300)
      entry.exchange = withdrawn(open, request.method, request.cseq.number);
    if (pending.isInvite) {
      entry.invitingIn = false;
      if (response.status < 300) this.#awaitAck(entry, pending, response);
      else if (pending.startsDialog) this.#dialogs.remove(entry);
    } else this.#usages.finished(entry, "peer", request, response);
  }

  #record(response: SipResponse): void {
    const { records } = this.#shell;
    if (records === undefined || response.status === 487) return; // a CANCEL has had its own
    if (response.status < 300) records.started("application", response, "uas");
    else records.stopped("application", response, "call-rejected");
  }

  #awaitAck(entry: DialogEntry, pending: PendingRequest, response: SipResponse): void {
    const { transaction } = pending;
    if (transaction === undefined) return;
    const { transactionId, request } = pending.facts;
    const acceptance = this.#acceptanceOf(entry, transaction, { transactionId, cseq: request.cseq.number });
    entry.acceptance = acceptance;
    acceptance.begin(response);
  }

  #acceptanceOf(entry: DialogEntry, transaction: Responder, invite: InviteName): AcceptanceDriver {
    return new AcceptanceDriver(this.#shell, transaction, invite, {
      acknowledged: () => {
        entry.acceptance = undefined; // an idle dialog keeps no 2xx
        release(entry);
      },
      gaveUp: () => {
        entry.acceptance = undefined;
        this.#shell.counters.add("ack_timeouts");
        // The application asked for a BYE already: that one goes.
        if (entry.heldBye !== undefined) release(entry);
        else this.#client.inDialogs.sendBye(entry, "ACK timeout");
      },
    });
  }

  #refuseAs(request: SipRequest, from: Flow, { status, reason, headers }: Refusal): void {
    this.#refuse(request, from, status, reason, headers);
  }

  /** A response that no application gave. */
  #refuse(
    request: SipRequest,
    from: Flow,
    status: number,
    reason?: string,
    headers: readonly Header[] = [],
    toTag = this.#shell.ids.tag(),
  ): void {
    if (status === 401 || status === 407) this.#shell.credentialsRefused(request, from);
    const response = responseTo(request, {
      status,
      toTag,
      headers,
      ...(reason === undefined ? {} : { reason }),
    });
    if (this.#transactions.full) {
      // Stateless then: a copy of the request gets a copy of the answer.
      this.#shell.send(response, responseFlow(request, from), false, () => {});
      return;
    }
    this.#transactions.startServer(request, responseFlow(request, from), this.#userOf(from)).respond(response);
  }

  #deliver(link: Owner, request: SipRequest, from: Flow, transactionId: string, dialogId: string): void {
    const meta = this.#networkMeta(request, from);
    const text = this.#shell.textOf(request);
    const urgency = request.method === "ACK" ? "soon" : "now";
    link.send(report.message(this.#shell.ids.uuid(), meta, transactionId, dialogId, text), urgency);
  }

  #networkMeta(request: SipRequest, from: Flow): report.Meta {
    return {
      source: "network",
      bytes: request.sizeBytes,
      protocol: from.transport,
      address: from.address,
      port: from.port,
      time: this.#shell.timeOfDay(),
    };
  }

  #nok(link: Owner, commandId: string, reason: string): void {
    link.send(report.refused(this.#shell.ids.uuid(), commandId, "NOK", reason));
  }
}

function release(entry: DialogEntry): void {
  const { heldBye } = entry;
  entry.heldBye = undefined;
  heldBye?.release();
}

/** RFC 3264 by way of RFC 3261, 3262, 3311. */
const CARRIES_OFFERS = new Set(["INVITE", "UPDATE", "PRACK"]);
const UNKNOWN_TRANSACTION = "Response not sent due to unknown transaction";

/** How the application, and the ACK, name the INVITE. */
interface InviteName {
  readonly transactionId: string;
  readonly cseq: number;
}

type Responder = Pick<ServerTransaction, "request" | "flow" | "respond">;

interface AcceptanceUser {
  acknowledged(): void;
  gaveUp(): void;
}

/** Drives core/dialog/accepted-invite.ts. */
class AcceptanceDriver implements Acceptance, TimerOwner {
  readonly transactionId: string;
  readonly cseq: number;
  readonly #shell: Shell;
  readonly #transaction: Responder;
  readonly #user: AcceptanceUser;
  readonly #timers: NamedTimers;
  #state: acceptedInvite.AcceptedInviteState = { name: "moot" };

  constructor(shell: Shell, transaction: Responder, invite: InviteName, user: AcceptanceUser) {
    this.#shell = shell;
    this.#transaction = transaction;
    this.#user = user;
    this.transactionId = invite.transactionId;
    this.cseq = invite.cseq;
    this.#timers = new NamedTimers(shell.wheel, this);
  }

  get state(): acceptedInvite.AcceptedInviteState["name"] {
    return this.#state.name;
  }

  begin(response: SipResponse): void {
    const { state, effects } = acceptedInvite.start(this.#shell.timing, response);
    this.#state = state;
    this.#perform(effects);
  }

  resume(record: AcceptanceRecord, unixMs: number): void {
    this.#state = thaw(record.state);
    for (const { name, dueUnixMs } of record.timers) this.#timers.start(name, Math.max(0, dueUnixMs - unixMs));
  }

  record(unixMs: number): AcceptanceRecord {
    const { request, flow } = this.#transaction;
    return {
      transactionId: this.transactionId,
      cseq: this.cseq,
      transaction: serverKey(request),
      invite: serialise(request),
      flow,
      state: freeze(this.#state),
      timers: timerRecords(this.#timers, unixMs),
    };
  }

  acknowledge(): void {
    this.#handle({ kind: "ack" });
  }

  over(): void {
    this.#handle({ kind: "over" });
  }

  onTimer(name: string): void {
    this.#handle({ kind: "timer", timer: name as acceptedInvite.AcceptedInviteTimer });
  }

  #handle(input: acceptedInvite.AcceptedInviteInput): void {
    const { state, effects } = acceptedInvite.step(this.#shell.timing, this.#state, input);
    this.#state = state;
    this.#perform(effects);
  }

  #perform(effects: readonly acceptedInvite.AcceptedInviteEffect[]): void {
    for (const effect of effects) {
      switch (effect.kind) {
        case "send-2xx":
          this.#transaction.respond(effect.response);
          break;
        case "start-timer":
          this.#timers.start(effect.timer, effect.afterMs);
          break;
        case "stop-timer":
          this.#timers.stop(effect.timer);
          break;
        case "acknowledged":
          this.#user.acknowledged();
          break;
        case "give-up":
          this.#user.gaveUp();
          break;
      }
    }
  }
}
