// One request that an application sent. RFC 3261 §8.1, §9.1, §13.2, RFC 3262 §4.

import * as cancellation from "../../core/dialog/cancellation.ts";
import { confirmed, contactUri, dialogId, makesDialog, refreshed, refreshesTarget } from "../../core/dialog/dialog.ts";
import { expiresOf } from "../../core/dialog/subscription-values.ts";
import { UNTRIED } from "../../core/digest/answer.ts";
import * as report from "../../core/drachtio/report.ts";
import type { Flow, ListenPoint } from "../../core/flow.ts";
import { responseTo } from "../../core/message/build.ts";
import { headerValue, isSdp, listsToken, type SipRequest, type SipResponse } from "../../core/message/message.ts";
import { type CallRecord, freeze, requestText, thaw } from "../../core/record/record.ts";
import { agreed } from "../../core/session/negotiation.ts";
import { answeredIn, CARRIES_OFFERS, described, withdrawn } from "../../core/session/offer-answer.ts";
import type { Owner } from "../applications/owners.ts";
import {
  type AckKeeper,
  type DialogEntry,
  type DialogStore,
  type HeldRequest,
  type Resolve,
  referenceTo,
} from "../dialogs/dialog-store.ts";
import type { DialogUsages } from "../dialogs/dialog-usages.ts";
import type { SessionTimers } from "../dialogs/session-timers.ts";
import type { ClientRequest, ClientRequestUser } from "../next-hops/client-request.ts";
import { sendArrived } from "../shell/frames.ts";
import type { Shell } from "../shell/shell.ts";
import { NamedTimers, type TimerOwner } from "../shell/timer-wheel.ts";
import { type Failed, timerRecords } from "../transactions/transaction-driver.ts";
import type { DialogRequests } from "./dialog-requests.ts";
import { Forks } from "./forks.ts";
import type { Retries } from "./retries.ts";

/** Who has it sent, and what it needs of them. */
export interface ClientCallUser {
  readonly usages: DialogUsages;
  readonly sessions: SessionTimers;
  readonly retries: Retries;
  readonly inDialogs: DialogRequests;
  /** It has its final response. */
  ended(call: ClientCall): void;
}

const NOTHING = () => {};

/** One request an application sent, until its final response (and, for an INVITE, the copies and forks of it). */
export class ClientCall implements TimerOwner, ClientRequestUser, AckKeeper, HeldRequest {
  readonly transactionId: string;
  readonly link: Owner;
  #outgoing: ClientRequest;
  /** It has left, or was to: what is refused before that means nothing for the dialog. */
  #isOut = false;
  /** A 422 has been followed once. */
  #raised = false;
  readonly #shell: Shell;
  readonly #user: ClientCallUser;
  readonly #timers: NamedTimers;
  /** The dialog the request is inside of; undefined for one that may make dialogs. */
  readonly #inside: DialogEntry | undefined;
  /** Dialogs this INVITE made. */
  readonly #forks: Forks;
  #cancellation = cancellation.UNASKED;
  #answered = false;
  #provisional = 0;
  #attempts = UNTRIED;
  /** It is the one INVITE of ours that its dialog may have under way. */
  holdsInviting = false;

  constructor(
    shell: Shell,
    dialogs: DialogStore,
    link: Owner,
    outgoing: ClientRequest,
    inside: DialogEntry | undefined,
    user: ClientCallUser,
    transactionId = shell.ids.uuid(),
  ) {
    this.transactionId = transactionId;
    this.#shell = shell;
    this.#forks = new Forks(dialogs, link);
    this.link = link;
    this.#outgoing = outgoing;
    this.#inside = inside;
    this.#user = user;
    this.#timers = new NamedTimers(shell.wheel, this);
  }

  /** As it went to the present target. */
  get request(): SipRequest {
    return this.#outgoing.request;
  }

  get point(): ListenPoint {
    return this.#outgoing.point;
  }

  /** The address it went to. */
  get sentTo(): string {
    return this.#outgoing.flow?.address ?? "";
  }

  /** An INVITE that is to make a call. */
  get isOpening(): boolean {
    return this.#inside === undefined && this.isCancellable;
  }

  /** The last status above 100 that the peer has said; 0: none. */
  get provisional(): number {
    return this.#provisional;
  }

  get isCancellable(): boolean {
    return this.request.method === "INVITE" && !this.#answered;
  }

  start(): void {
    this.#isOut = true;
    if (this.request.method === "INVITE") {
      // RFC 3261 §13.2.1: the caller's patience; and ours, for a peer that says 100 and nothing more.
      const seconds = this.#inside === undefined ? expiresOf(this.request) : undefined;
      const { ringingMs } = this.#shell.limits;
      this.#timers.start("expires", seconds === undefined ? ringingMs : Math.min(seconds * 1_000, ringingMs));
    }
    this.#outgoing.start(this);
  }

  record(unixMs: number): CallRecord {
    const { flow } = this.#outgoing;
    return {
      kind: "call",
      transactionId: this.transactionId,
      owner: this.link.record,
      request: requestText(this.request),
      flow: flow ?? {
        pointId: this.point.id,
        transport: this.point.transport,
        address: "",
        port: 0,
        connection: undefined,
      },
      inside: this.#inside && referenceTo(this.#inside),
      ...this.#forks.record(),
      cancellation: freeze(this.#cancellation),
      answered: this.#answered,
      provisional: this.#provisional,
      holdsInviting: this.holdsInviting,
      raised: this.#raised,
      nonces: this.#attempts.nonces,
      timers: timerRecords(this.#timers, unixMs),
    };
  }

  resume(record: CallRecord, resolve: Resolve, unixMs: number): void {
    this.#forks.resume(record, resolve);
    this.#cancellation = thaw(record.cancellation);
    this.#answered = record.answered;
    this.#provisional = record.provisional ?? 0;
    this.#isOut = true;
    this.holdsInviting = record.holdsInviting;
    this.#raised = record.raised;
    this.#attempts = { nonces: record.nonces };
    for (const { name, dueUnixMs } of record.timers) this.#timers.start(name, Math.max(0, dueUnixMs - unixMs));
  }

  /** A BYE that was held. */
  release(): void {
    const inside = this.#inside;
    if (inside !== undefined) {
      inside.ending = true;
      const { dialog } = inside;
      // Another request has left since: §12.2.1.1, numbers rise in the order of sending.
      if (dialog.localSeq > this.request.cseq.number) {
        const cseq = dialog.localSeq + 1;
        this.#outgoing.renumber(cseq);
        inside.dialog = { ...dialog, localSeq: cseq };
      }
    }
    this.start();
  }

  keepAck(entry: DialogEntry, ack: SipRequest, flow: Flow): void {
    this.#forks.keepAck(entry, ack, flow);
    this.#timers.stop("absence");
  }

  #repeatAck(entry: DialogEntry): boolean {
    const sent = this.#forks.ackTo(entry);
    if (sent !== undefined) this.#shell.send(sent.ack, sent.flow, true, NOTHING);
    return sent !== undefined;
  }

  /** The application is away: what waits for its word waits for a while. */
  expectOwner(): void {
    this.#timers.start("absence", this.#shell.limits.returnWaitMs);
  }

  /** It has not come back: nobody will say what to do with a phone that rings, or has just been answered. */
  #onAbsence(): void {
    if (this.link.open) return;
    if (this.isCancellable && this.#inside === undefined) this.cancel({ kind: "asked", headers: [] });
    const answered = this.#inside ?? this.#forks.chosen;
    if (answered?.unacknowledged?.keeper !== this) return;
    if (answered === this.#inside) this.#user.inDialogs.acknowledge(answered, this);
    else this.#user.inDialogs.endFork(answered, this);
  }

  cancel(input: cancellation.CancellationInput): void {
    if (input.kind === "asked") {
      this.#outgoing.settle();
      this.#shell.changed(this.request.callId); // it may have to wait for a provisional
    }
    const { state, effects } = cancellation.step(this.#shell.timing, this.#cancellation, input);
    this.#cancellation = state;
    for (const effect of effects) {
      switch (effect.kind) {
        case "send-cancel":
          this.#outgoing.cancel(effect.headers);
          break;
        case "start-timer":
          this.#timers.start("cancel", effect.afterMs);
          break;
        case "stop-timer":
          this.#timers.stop("cancel");
          break;
        case "give-up":
          this.#outgoing.abandon();
          this.answerLocally(487);
          break;
      }
    }
  }

  onTimer(name: string): void {
    if (name === "absence") this.#onAbsence();
    else if (name === "expires") this.cancel({ kind: "asked", headers: [] });
    else this.cancel({ kind: "timer" });
  }

  /** Nobody answered, or could: the application gets a response all the same. §8.1.3.1. */
  answerLocally(status: number): void {
    if (this.#answered) return;
    const response = responseTo(this.request, { status, toTag: "" });
    this.#end(response);
    const text = this.#shell.textOf(response);
    const meta = report.nowhere(this.#shell.timeOfDay());
    this.link.send(report.message(this.#shell.ids.uuid(), meta, this.transactionId, this.#dialogIdFor(), text));
    this.#endIfUnknown(status);
    this.#user.usages.told(this.request, false);
  }

  onFailed(because: Failed): void {
    this.#shell.counters.add("client_transactions_failed", `because="${because}"`);
    this.answerLocally(because === "timeout" ? 408 : 503);
  }

  onResponse(response: SipResponse, from: Flow): void {
    const { method } = this.request;
    if (response.status < 200) this.#onProvisional(response, from);
    else if (method === "INVITE" && response.status < 300) this.#onAccepted(response, from);
    else if (!this.#answered && !this.#retriesLonger(response) && !this.#proves(response)) {
      this.#end(response);
      sendArrived(this.#shell, this.link, response, from, this.transactionId, this.#dialogIdFor());
      this.#user.usages.told(this.request, response.status < 300);
      this.#endIfUnknown(response.status);
    }
  }

  /** RFC 4028 §7.3: our part of the bargain, once; the application hears of the outcome. */
  #retriesLonger(response: SipResponse): boolean {
    if (response.status !== 422 || this.#raised || this.#cancellation.name !== "unasked") return false;
    const again = this.#user.retries.raise(this.#outgoing, response, this.#inside);
    if (again === undefined) return false;
    this.#raised = true;
    this.#outgoing.settle();
    this.#outgoing = again;
    this.#cancellation = cancellation.UNASKED;
    this.#forks.forgetAll();
    again.start(this);
    return true;
  }

  /** §12.2.1.2, RFC 5057 §5.1: the peer knows nothing of the session, or nobody is there any more. */
  #endIfUnknown(status: number): void {
    const { method } = this.request;
    const inside = this.#inside;
    if (inside === undefined || (status !== 481 && status !== 408)) return;
    if ((method !== "INVITE" && method !== "UPDATE") || inside.dialog.phase !== "confirmed" || inside.ending) return;
    this.#user.inDialogs.sendBye(inside, `${method} answered with ${status}`);
  }

  /** A challenge we have a password for: the request goes once more, and the application hears nothing of it. */
  #proves(response: SipResponse): boolean {
    if (this.#cancellation.name !== "unasked") return false;
    const { request } = this;
    const retry = this.#user.retries.prove(this, response, this.#attempts, this.#inside);
    if (retry === undefined) return false;
    this.#attempts = retry.attempts;
    this.#cancellation = cancellation.UNASKED; // what the first try was answered says nothing of this one
    this.#forks.forgetAll();
    this.#user.usages.asking(retry.request, this.link, this.#inside);
    // A REFER's subscription is called after its CSeq: that of the first try is none.
    if (request.method === "REFER" && this.#inside !== undefined)
      this.#user.usages.finished(this.#inside, "us", request, response);
    this.#outgoing.again(retry.request);
    return true;
  }

  #onProvisional(response: SipResponse, from: Flow): void {
    if (this.#answered) return;
    if (this.request.method === "INVITE") this.cancel({ kind: "provisional" });
    if (response.status === 100) return; // hop by hop
    this.#provisional = response.status;
    const entry = this.request.method === "INVITE" ? this.#entryFor(response, from) : this.#inside;
    const rseq = Number(headerValue(response, "rseq") ?? "0");
    if (rseq > 0 && entry !== undefined) {
      // RFC 3262 §4: a copy, or one out of order, is not for the application.
      if (entry.rseq !== 0 && rseq !== entry.rseq + 1) return;
      entry.rseq = rseq;
      if (isSdp(response)) entry.exchange = described(entry.exchange, "peer", "INVITE", response.cseq.number);
    }
    sendArrived(this.#shell, this.link, response, from, this.transactionId, entry?.dialog.id ?? this.#dialogIdFor());
  }

  /** A 2xx to an INVITE: the first one counts, copies are acknowledged again, other forks are ended. §13.2.2.4. */
  #onAccepted(response: SipResponse, from: Flow): void {
    const entry = this.#entryFor(response, from);
    if (entry === undefined) return; // more forks than anybody has: their 2xx go unheard
    if (this.#repeatAck(entry)) return;
    if (this.#answered) {
      if (entry !== this.#forks.chosen && this.#inside === undefined) this.#user.inDialogs.endFork(entry, this);
      return; // a copy, and the application has not acknowledged yet
    }
    if (entry === this.#inside && entry.dialog.phase === "terminated") {
      this.#end(response);
      this.#user.inDialogs.acknowledge(entry, this);
      sendArrived(this.#shell, this.link, response, from, this.transactionId, entry.dialog.id);
      return;
    }
    this.#forks.choose(entry);
    entry.dialog = refreshed(confirmed(entry.dialog, response), response);
    if (isSdp(this.request)) entry.localSdp = this.request.body;
    if (isSdp(response)) entry.exchange = described(entry.exchange, "peer", "INVITE", response.cseq.number);
    if (headerValue(response, "allow") !== undefined) entry.peerUpdates = listsToken(response, "allow", "update");
    this.#end(response);
    this.#user.sessions.agreed(entry, agreed(response));
    if (this.#inside === undefined) this.#shell.records?.started("network", response, "uac");
    entry.unacknowledged = {
      invite: this.request,
      endBecause: this.#whyEnd(response),
      keeper: this,
      ...(this.#inside === undefined ? { answer: { response, transactionId: this.transactionId } } : {}),
    };
    sendArrived(this.#shell, this.link, response, from, this.transactionId, entry.dialog.id);
    if (!this.link.open) this.expectOwner();
  }

  /** A target we had given up answers with 2xx: as another fork would (§13.2.2.4). Inside a dialog it is the same peer, and its answer. */
  onLateAnswer(response: SipResponse, from: Flow): void {
    if (this.#inside !== undefined) {
      this.#outgoing.settle();
      return this.onResponse(response, from);
    }
    const known = this.#forks.byTag(response.toTag);
    if (known !== undefined && this.#repeatAck(known)) return; // a copy of what has been ended already
    const entry = this.#entryFor(response, from);
    if (entry !== undefined) this.#user.inDialogs.endFork(entry, this);
  }

  /** A 2xx that is acknowledged only to be ended. */
  #whyEnd(response: SipResponse): string | undefined {
    if (this.#cancellation.name === "crossed") return "ACK-BYE due to cancel race condition";
    // drachtio-srf gives up such a call, and leaves it to the server to release it.
    return this.#inside === undefined && contactUri(response) === undefined ? "No Contact in 200 OK" : undefined;
  }

  /** undefined when there can be none. */
  #entryFor(response: SipResponse, from: Flow): DialogEntry | undefined {
    return this.#inside ?? this.#forks.entryFor(this.request, response, from, this.#answered);
  }

  /** A final response: what it means for the dialogs. */
  #end(response: SipResponse): void {
    this.#answered = true;
    this.#timers.stop("absence");
    this.#timers.stop("expires");
    const { method } = this.request;
    const { status } = response;
    this.#user.ended(this);
    if (method === "INVITE") {
      // A cancelled one has had its record with the CANCEL.
      if (this.#inside === undefined && status >= 300 && status !== 487)
        this.#shell.records?.stopped("network", response, "call-rejected");
      this.cancel({ kind: "final", success: status < 300 });
      this.#forks.forgetOthers();
    }
    const inside = this.#inside;
    if (inside !== undefined) {
      if (!this.#isOut) return;
      if (this.holdsInviting) inside.invitingOut = false;
      const { number } = this.request.cseq;
      if (status < 300 && method !== "INVITE" && CARRIES_OFFERS.has(method)) {
        if (isSdp(this.request)) inside.localSdp = this.request.body;
        if (isSdp(response)) inside.exchange = answeredIn(inside.exchange, "peer");
        if (method === "UPDATE") this.#user.sessions.agreed(inside, agreed(response));
      }
      if (inside.exchange?.by === "us") inside.exchange = withdrawn(inside.exchange, method, number);
      if (method === "BYE" && (status === 401 || status === 407)) inside.ending = false; // it tries again with credentials
      if (status < 300 && refreshesTarget(method)) inside.dialog = refreshed(inside.dialog, response);
      this.#user.usages.finished(inside, "us", this.request, response);
      return;
    }
    const { flow } = this.#outgoing;
    if (flow !== undefined) this.#user.usages.answered(this.request, response, flow, this.link);
  }

  /** Outside dialogs only what may make one has one to name. */
  #dialogIdFor(): string {
    if (this.#inside !== undefined) return this.#inside.dialog.id;
    const { method, callId, fromTag } = this.request;
    return makesDialog(method) ? dialogId(callId, fromTag) : "";
  }
}
