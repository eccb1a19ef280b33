// What becomes of a request that an application was given: its answer, or one in its stead when it is away or silent.
// RFC 3261 §8.2.6, §13.3, RFC 3262 §3, RFC 3311 §5.2.

import { Latency } from "../../../../kernel/latency.ts";
import { confirmed, dialogId, dialogOfUas, makesDialog, refreshed, refreshesTarget } from "../../core/dialog/dialog.ts";
import { withoutSubscription } from "../../core/dialog/subscription-values.ts";
import type { Command } from "../../core/drachtio/command.ts";
import * as report from "../../core/drachtio/report.ts";
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
import { retryAfterSeconds } from "../../core/session/glare.ts";
import { answered, sessionExpiresOf } from "../../core/session/negotiation.ts";
import { answeredIn, CARRIES_OFFERS, described, withdrawn } from "../../core/session/offer-answer.ts";
import { OFF, termsOf } from "../../core/session/session-timer.ts";
import { responseHeaders, tagFromDraft } from "../../core/user-agent/outgoing.ts";
import type { Owner } from "../applications/owners.ts";
import type { DialogRequests } from "../client/dialog-requests.ts";
import type { DialogEntry, DialogStore } from "../dialogs/dialog-store.ts";
import type { DialogUsages } from "../dialogs/dialog-usages.ts";
import type { Orphans } from "../dialogs/orphans.ts";
import type { SessionTimers } from "../dialogs/session-timers.ts";
import type { Received } from "../proxy/proxied-request.ts";
import { methodLabel } from "../shell/counters.ts";
import { sendArrived, sendNok } from "../shell/frames.ts";
import type { Shell } from "../shell/shell.ts";
import { AcceptanceDriver, type InviteName, type Responder, releaseHeldBye } from "./acceptance.ts";
import { type PendingFacts, PendingRequest, type Silence } from "./pending-request.ts";
import type { PendingRequests } from "./pending-requests.ts";

const UNKNOWN_TRANSACTION = "Response not sent due to unknown transaction";

/** Nobody takes new requests here: elsewhere at once, here again in a while. RFC 3261 §21.5.4: without it a 503 is as good as a 500. */
export const ELSEWHERE: readonly Header[] = [header("Retry-After", "retry-after", "5")];

/** RFC 3261 §14.2, RFC 3311 §5.2: a random 0 … 10 s. */
export function retryAfter(shell: Shell): readonly Header[] {
  return [header("Retry-After", "retry-after", String(retryAfterSeconds(shell.ids.chance())))];
}

export interface AnswersParts {
  readonly shell: Shell;
  readonly dialogs: DialogStore;
  readonly orphans: Orphans;
  readonly inDialogs: DialogRequests;
  readonly sessions: SessionTimers;
  readonly usages: DialogUsages;
  readonly pending: PendingRequests;
}

export class Answers {
  /** From a request's delivery to the application's first answer to it. */
  readonly latency = new Latency();
  readonly #shell: Shell;
  readonly #dialogs: DialogStore;
  readonly #orphans: Orphans;
  readonly #inDialogs: DialogRequests;
  readonly #sessions: SessionTimers;
  readonly #usages: DialogUsages;
  readonly #pending: PendingRequests;

  constructor(parts: AnswersParts) {
    this.#shell = parts.shell;
    this.#dialogs = parts.dialogs;
    this.#orphans = parts.orphans;
    this.#inDialogs = parts.inDialogs;
    this.#sessions = parts.sessions;
    this.#usages = parts.usages;
    this.#pending = parts.pending;
  }

  /** From now on an answer is owed to it. */
  expect(facts: PendingFacts): PendingRequest {
    return new PendingRequest(this.#shell, facts, this.#onSilence);
  }

  /** An application answers. */
  respond(link: Owner, command: Extract<Command, { kind: "send-response" }>): void {
    const pending = this.#pending.get(command.transactionId);
    if (pending === undefined || !pending.facts.link.isSpokenForBy(link)) {
      sendNok(this.#shell, link, command.id, UNKNOWN_TRANSACTION);
      return;
    }
    const waitedMs = pending.firstAnswerAfterMs(this.#shell.clock.nowMs());
    if (waitedMs !== undefined) this.latency.observe(waitedMs);
    const { draft } = command;
    const { request, point } = pending.facts;
    const { status } = draft;
    if (status === 401 || status === 403 || status === 407) this.#shell.credentialsRefused(request, pending.facts.from);
    const isReliable = pending.isInvite && status > 100 && status < 200 && listsToken(draft, "require", "100rel");
    if (isReliable && !listsToken(request, "supported", "100rel") && !listsToken(request, "require", "100rel")) {
      sendNok(this.#shell, link, command.id, "Remote endpoint does not support 100rel");
      return;
    }
    const made = responseHeaders(draft, request, point, {
      reliable: isReliable,
      contact: pending.entry?.dialog.localContact ?? "",
    });
    if (!made.ok) return sendNok(this.#shell, link, command.id, made.failure.reason);
    const extra = made.value;
    const isHeld = pending.isInvite && status >= 200 && status < 300 && pending.owesPrackOfDescription;
    const { held } = pending;
    pending.held = isHeld ? { commandId: command.id, draft } : undefined;
    if (held !== undefined)
      sendNok(this.#shell, link, held.commandId, "Response not sent: another one was sent instead");
    if (isHeld) {
      this.#shell.changed(request.callId);
      return pending.attend();
    }
    if (pending.localTag === "" && status > 100) pending.localTag = tagFromDraft(draft) ?? pending.ownTag;
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
      sendNok(this.#shell, link, command.id, "Server error: no dialog can be made of this request");
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
      this.finish(pending, response);
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

  isOwing(owner: Owner): boolean {
    for (const pending of this.#pending.values()) if (pending.facts.link === owner) return true;
    return false;
  }

  /** What it has yet to answer, in the order in which it came. */
  owedBy(owner: Owner): readonly PendingRequest[] {
    return [...this.#pending.values()].filter(({ facts, held }) => facts.link === owner && held === undefined);
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
    const toTag = this.tagOf(pending);
    const how = { status, toTag, headers, ...(reason === undefined ? {} : { reason }) };
    this.finish(pending, responseTo(pending.facts.request, how));
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
    this.#pending.remove(pending);
    return { request, from, point, transaction };
  }

  /** §15.1.2: a BYE also ends what was still being asked in the dialog. */
  endInvites(entry: DialogEntry): void {
    entry.acceptance?.over();
    entry.acceptance = undefined;
    releaseHeldBye(entry); // the application's own BYE waited for an ACK that will not come
    for (const pending of [...this.#pending.inDialog(entry)])
      if (pending.isInvite) this.finish(pending, this.answer(pending, 487));
  }

  /** The PRACK that a 2xx waited for is here. */
  sendHeld(entry: DialogEntry): void {
    for (const pending of this.#pending.inDialog(entry)) {
      const { held } = pending;
      if (held === undefined || pending.owesPrackOfDescription) continue;
      pending.held = undefined;
      const { link, transactionId } = pending.facts;
      this.respond(link, { kind: "send-response", id: held.commandId, transactionId, draft: held.draft });
      return;
    }
  }

  takePrack(entry: DialogEntry, prack: SipRequest): boolean {
    const [rseq, cseq] = (headerValue(prack, "rack") ?? "").trim().split(/\s+/);
    for (const pending of this.#pending.inDialog(entry)) {
      if (!pending.isInvite) continue;
      if (pending.facts.request.cseq.number !== Number(cseq) || !pending.isAwaiting(Number(rseq))) continue;
      pending.handleReliable({ kind: "prack", rseq: Number(rseq) });
      return true;
    }
    return false;
  }

  /** RFC 3261 §17.2.1: it rings for a caller who can not be reached any more, and could not even say CANCEL. */
  peerGone(pending: PendingRequest): void {
    if (!pending.isInvite) return;
    this.finish(pending, this.answer(pending, 487)); // its transaction has ended: nothing is sent
    if (pending.startsDialog) this.#tellCancelled(pending);
  }

  /** drachtio-srf keeps a request until it hears of it again: a CANCEL is the word it knows. */
  #tellCancelled({ facts }: PendingRequest): void {
    const cancel: SipRequest = { ...facts.request, method: "CANCEL", body: "" };
    sendArrived(this.#shell, facts.link, cancel, facts.from, facts.transactionId, "");
  }

  /** Neither the application nor a PRACK came: say so while the peer still listens. */
  readonly #onSilence = (pending: PendingRequest, because: Silence): void => {
    if (because !== "expired" && !pending.facts.link.open && pending.held === undefined) return this.absent(pending);
    const counter = because === "expired" ? "expired_requests" : "unanswered_requests";
    this.#shell.counters.add(counter, `method="${methodLabel(pending.facts.request.method)}"`);
    // RFC 3261 §13.3.1: 487; RFC 3262 §3: a 5xx. A re-INVITE that nobody answers does not end the call; a BYE does.
    const status = because === "expired" ? 487 : because === "no-prack" ? 504 : pending.isInvite ? 408 : 500;
    this.finish(pending, this.answer(pending, status));
    if (pending.isInvite && pending.startsDialog) this.#tellCancelled(pending);
  };

  /** The application has not come back in time. A new request may succeed elsewhere, one in a dialog a little later; a BYE is a BYE. */
  absent(pending: PendingRequest): void {
    const { request, link } = pending.facts;
    const { entry } = pending;
    this.#shell.counters.add("requests_without_application", `method="${methodLabel(request.method)}"`);
    if (entry === undefined || pending.startsDialog) this.finish(pending, this.answer(pending, 503, ELSEWHERE));
    else if (request.method === "BYE") {
      const { id } = entry.dialog;
      this.finish(pending, this.answer(pending, 200));
      const text = this.#shell.textOf(request);
      const meta: report.Meta = { ...report.nowhere(this.#shell.timeOfDay()), source: "application" };
      link.keep(report.unsolicited(this.#shell.ids.uuid(), meta, id, text), this.#shell.limits.orphanGraceMs);
    } else this.finish(pending, this.answer(pending, 500, retryAfter(this.#shell)));
  }

  answer(pending: PendingRequest, status: number, headers: readonly Header[] = []): SipResponse {
    return responseTo(pending.facts.request, { status, toTag: this.tagOf(pending), headers });
  }

  tagOf(pending: PendingRequest): string {
    if (pending.localTag === "") pending.localTag = pending.ownTag;
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
      this.#pending.attach(pending.entry, pending);
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
  finish(pending: PendingRequest, response: SipResponse): void {
    const { request } = pending.facts;
    const { entry, transaction } = pending;
    pending.handleReliable({ kind: "over" });
    pending.end();
    const { held } = pending;
    if (held !== undefined) sendNok(this.#shell, pending.facts.link, held.commandId, UNKNOWN_TRANSACTION);
    this.#pending.remove(pending);
    transaction?.respond(response);
    if (pending.isInvite && pending.startsDialog) this.#record(response);
    if (entry === undefined) return;
    this.#pending.detach(entry, pending);
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
    const acceptance = this.acceptanceOf(entry, transaction, { transactionId, cseq: request.cseq.number });
    entry.acceptance = acceptance;
    acceptance.begin(response);
  }

  acceptanceOf(entry: DialogEntry, transaction: Responder, invite: InviteName): AcceptanceDriver {
    return new AcceptanceDriver(this.#shell, transaction, invite, {
      acknowledged: () => {
        entry.acceptance = undefined; // an idle dialog keeps no 2xx
        releaseHeldBye(entry);
      },
      gaveUp: () => {
        entry.acceptance = undefined;
        this.#shell.counters.add("ack_timeouts");
        // The application asked for a BYE already: that one goes.
        if (entry.heldBye !== undefined) releaseHeldBye(entry);
        else if (entry.dialog.phase !== "terminated") this.#inDialogs.sendBye(entry, "ACK timeout");
      },
    });
  }
}
