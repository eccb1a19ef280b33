// Requests from the network: which are refused, and which an application gets. RFC 3261 §8.2, §9.2, §12.2.2, §13.3, §15.1.2.

import type { ApplicationLink } from "../../boundary/application-link.ts";
import { dialogId, makesDialog, received, targetOf } from "../../core/dialog/dialog.ts";
import { expiresOf } from "../../core/dialog/subscription-values.ts";
import * as report from "../../core/drachtio/report.ts";
import type { Flow, ListenPoint } from "../../core/flow.ts";
import { responseTo, spreadOf } from "../../core/message/build.ts";
import { type Header, header, isSdp, type SipRequest } from "../../core/message/message.ts";
import { isTooShort, minSeHeader } from "../../core/session/negotiation.ts";
import { CARRIES_OFFERS, described, objection, withdrawn } from "../../core/session/offer-answer.ts";
import { responseFlow } from "../../core/user-agent/response-flow.ts";
import { syntaxFault } from "../../core/user-agent/syntax-fault.ts";
import { Owner, type Owners } from "../applications/owners.ts";
import type { UserAgentClient } from "../client/user-agent-client.ts";
import type { DialogEntry, DialogStore } from "../dialogs/dialog-store.ts";
import { type DialogUsages, isOfSession, type Refusal } from "../dialogs/dialog-usages.ts";
import type { Orphans } from "../dialogs/orphans.ts";
import type { RequestGate } from "../guard/request-gate.ts";
import { metaOfArrived, sendArrived } from "../shell/frames.ts";
import type { Shell } from "../shell/shell.ts";
import type { ServerTransaction, ServerUser } from "../transactions/server-transaction.ts";
import type { TransactionLayer } from "../transactions/transaction-layer.ts";
import { Answers, ELSEWHERE, retryAfter } from "./answers.ts";
import type { PendingRequest } from "./pending-request.ts";
import { PendingRequests } from "./pending-requests.ts";
import { RestoredAnswers } from "./restored-answers.ts";

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
  readonly #shell: Shell;
  readonly #transactions: TransactionLayer;
  readonly #dialogs: DialogStore;
  readonly #takers: RequestTakers;
  readonly #owners: Owners;
  readonly #usages: DialogUsages;
  readonly #gate: RequestGate;
  /** What applications have yet to answer. */
  readonly pending = new PendingRequests();
  readonly answers: Answers;
  readonly restored: RestoredAnswers;

  constructor(parts: UserAgentServerParts) {
    this.#shell = parts.shell;
    this.#transactions = parts.transactions;
    this.#dialogs = parts.dialogs;
    this.#takers = parts.takers;
    this.#owners = parts.owners;
    this.#usages = parts.usages;
    this.#gate = parts.gate;
    const { inDialogs, sessions } = parts.client;
    this.answers = new Answers({ ...parts, inDialogs, sessions, pending: this.pending });
    this.restored = new RestoredAnswers(parts.shell, parts.owners, this.answers, this.pending);
  }

  /** A CANCEL of an INVITE that is not, or no longer, the user agent's. */
  onForeignCancel: (invite: ServerTransaction, cancel: SipRequest) => void = () => {};

  /** A request no transaction knows. */
  onRequest(request: SipRequest, from: Flow, point: ListenPoint): void {
    if (request.method === "ACK") this.#onAck(request, from);
    else if (request.method === "CANCEL") this.#onCancel(request, from);
    else if (this.#isOverloaded(request)) this.#turnAway(request, from, 503);
    else if (request.toTag !== "") this.#inDialog(request, from, point);
    else this.#outOfDialog(request, from, point);
  }

  #isOverloaded(request: SipRequest): boolean {
    // Requests inside a dialog go on: they end calls more often than they make work.
    if (request.toTag !== "") return this.#transactions.full;
    return this.#transactions.full || this.pending.size >= this.#shell.limits.pendingMax || this.#dialogs.full;
  }

  #outOfDialog(request: SipRequest, from: Flow, point: ListenPoint): void {
    const { method } = request;
    if (!DELIVERED.has(method)) {
      this.#turnAway(request, from, NEEDS_DIALOG.has(method) ? 481 : 501);
      return;
    }
    if (!/^(?:sips?|tel):/i.test(request.uri)) {
      this.#turnAway(request, from, 416); // §8.2.2.1
      return;
    }
    const fault = syntaxFault(request);
    if (fault !== undefined) {
      this.#turnAway(request, from, 400, fault);
      return;
    }
    // §8.2.2.2; and a second call under the name of a living one could not be told from it.
    const isTaken = this.#dialogs.byId(dialogId(request.callId, request.fromTag)) !== undefined;
    if (this.#transactions.isMerged(request) || isTaken) {
      this.#turnAway(request, from, 482);
      return;
    }
    // §8.1.1.8: without it there would be nowhere to send the BYE.
    if (makesDialog(method) && targetOf(request) === undefined) {
      this.#turnAway(request, from, 400, "Missing Contact");
      return;
    }
    const unusable = this.#usages.refusalOfNew(request);
    if (unusable !== undefined) return this.#turnAwayAs(request, from, unusable);
    const admission = this.#gate.admit(request, point);
    if (admission.kind === "refused") return this.#refuseNew(request, from, point, admission);
    if (method === "INVITE" && isTooShort(request, this.#shell.sessionTimer))
      return this.#refuseNew(request, from, point, this.#intervalRefusal());
    const verb = method.toLowerCase();
    const link = admission.owner ?? this.#takers.pick(request, from) ?? this.#owners.awaited(verb);
    if (link === undefined) {
      if (method === "INVITE") this.#shell.records?.attempt("network", request);
      // §11.2: an OPTIONS is answered as an INVITE would be. Carriers keep a trunk up by it: 200 while somebody takes
      // calls, 503 when nobody does, so that they go elsewhere. Overload has been looked at before. An application that
      // wants OPTIONS for itself asks for them.
      const isTaken = this.#takers.takes("invite") || this.#owners.awaited("invite") !== undefined;
      if (method === "OPTIONS" && isTaken)
        this.#refuseNew(request, from, point, { status: 200, headers: CAPABILITIES });
      else this.#refuseNew(request, from, point, { status: 503, headers: ELSEWHERE });
      return;
    }
    const owner = link instanceof Owner ? link : this.#owners.of(link);
    const pending = this.#open(request, from, point, owner, undefined);
    const meta = metaOfArrived(this.#shell, request, from);
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
      // Over streams too: a To tag that somebody has made up passes overload control, so it must cost next to nothing.
      this.#answerOnce(request, from, { status: 481 });
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
      if (entry.invitingIn) return this.#refuse(request, from, 500, undefined, retryAfter(this.#shell)); // §14.2
      const isUnacknowledged = entry.acceptance?.state === "waiting";
      if (entry.invitingOut || isUnacknowledged) return this.#refuse(request, from, 491); // §14.2, RFC 5407 §3.1.4
    }
    if (method === "INVITE" || method === "UPDATE") {
      if (isTooShort(request, this.#shell.sessionTimer)) return this.#refuseAs(request, from, this.#intervalRefusal());
      // RFC 3311 §5.2: one UPDATE at a time, and no offer while another is open.
      const isSecond =
        method === "UPDATE" && this.pending.inDialog(entry).some(({ facts }) => facts.request.method === "UPDATE");
      const status = isSecond ? 500 : isSdp(request) ? objection(entry.exchange) : undefined;
      if (status !== undefined)
        return this.#refuse(request, from, status, undefined, status === 500 ? retryAfter(this.#shell) : []);
    }
    if (method === "PRACK" && !this.answers.takePrack(entry, request)) return this.#refuse(request, from, 481); // RFC 3262 §3
    if (method === "BYE") this.answers.endInvites(entry);
    if (method === "INVITE") entry.invitingIn = true;
    if (isSdp(request) && CARRIES_OFFERS.has(method))
      entry.exchange = described(entry.exchange, "peer", method, request.cseq.number);
    // An application that is away finds it when it is back in time.
    const pending = this.#open(request, from, point, entry.owner, entry);
    if (method === "BYE" && !entry.owner.open)
      this.answers.absent(pending); // there is nothing to ask it
    else
      this.#usages.inTurn(entry, request, (isWanted) => {
        if (!isWanted) this.answers.finish(pending, this.answers.answer(pending, 481));
        else sendArrived(this.#shell, entry.owner, request, from, pending.facts.transactionId, entry.dialog.id);
      });
    if (method === "BYE") this.#shell.records?.stopped("network", request, "normal-release");
    if (method === "PRACK") this.answers.sendHeld(entry);
  }

  /** RFC 4028 §9: without asking the application. */
  #intervalRefusal(): Refusal {
    return { status: 422, headers: [minSeHeader(this.#shell.sessionTimer.minSeSeconds)] };
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
    sendArrived(this.#shell, entry.owner, ack, from, acceptance.transactionId, entry.dialog.id, "soon");
    acceptance.acknowledge();
  }

  #onCancel(cancel: SipRequest, from: Flow): void {
    const invite = this.#transactions.inviteOf(cancel);
    if (invite === undefined) {
      this.#turnAway(cancel, from, 481);
      return;
    }
    const pending = this.pending.of(invite);
    const toTag = pending === undefined ? invite.request.toTag || this.#shell.ids.tag() : this.answers.tagOf(pending);
    this.#refuse(cancel, from, 200, undefined, [], toTag); // §9.2; the same To tag as the INVITE's answer
    if (pending === undefined) {
      this.onForeignCancel(invite, cancel); // answered already: then it has no effect
      return;
    }
    const isKnown = pending.entry !== undefined;
    const { link, transactionId } = pending.facts;
    this.answers.finish(pending, this.answers.answer(pending, 487));
    const dialogId = isKnown ? (pending.entry?.dialog.id ?? "") : "";
    sendArrived(this.#shell, link, cancel, from, transactionId, dialogId);
    if (pending.startsDialog) this.#shell.records?.stopped("network", cancel, "call-canceled");
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
    const pending = this.answers.expect(facts);
    const user = this.userFor(from, pending);
    pending.transaction = this.#transactions.startServer(
      request,
      responseFlow(request, from, this.#shell.trusts),
      user,
    );
    this.pending.add(pending);
    const seconds = pending.isInvite && entry === undefined ? expiresOf(request) : undefined;
    if (seconds !== undefined) pending.expireAfter(seconds);
    return pending;
  }

  /** What a server transaction talks to. */
  userFor(from: Flow, pending?: PendingRequest): ServerUser {
    return {
      onAck: (ack) => this.#onAck(ack, from),
      onFailed: (because) => {
        this.#shell.counters.add("server_transactions_failed", `because="${because}"`);
        if (pending !== undefined && this.pending.has(pending.facts.transactionId)) this.answers.peerGone(pending);
      },
    };
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
    if (status === 401 || status === 407 || this.#transactions.full) {
      this.#answerOnce(request, from, { status, ...(reason === undefined ? {} : { reason }), headers });
      return;
    }
    const response = responseTo(request, { status, toTag, headers, ...(reason === undefined ? {} : { reason }) });
    this.#transactions
      .startServer(request, responseFlow(request, from, this.#shell.trusts), this.userFor(from))
      .respond(response);
  }

  /** A request that opens nothing is refused: over UDP, where nobody can tell who sent it, without a transaction. */
  #turnAway(request: SipRequest, from: Flow, status: number, reason?: string): void {
    if (from.transport === "udp")
      this.#answerOnce(request, from, reason === undefined ? { status } : { status, reason });
    else this.#refuse(request, from, status, reason);
  }

  #turnAwayAs(request: SipRequest, from: Flow, refusal: Refusal): void {
    if (from.transport === "udp") this.#answerOnce(request, from, refusal);
    else this.#refuseAs(request, from, refusal);
  }

  /** Who has given a proof did send it, and its copy would be a proof used twice: that one gets its transaction. */
  #refuseNew(request: SipRequest, from: Flow, point: ListenPoint, refusal: Refusal): void {
    if (this.#gate.wantsProof(request, point)) this.#refuseAs(request, from, refusal);
    else this.#turnAwayAs(request, from, refusal);
  }

  /**
   * RFC 3261 §8.2.7: a copy of the request gets a copy of the answer, and the ACK means nothing. Repeated until an ACK
   * comes (Timer G), the answer would multiply what somebody sends in the name of another. For challenges: §26.3.2.4.
   */
  #answerOnce(request: SipRequest, from: Flow, refusal: Refusal): void {
    if (refusal.status === 401 || refusal.status === 407) this.#shell.credentialsRefused(request, from);
    const toTag = `c${spreadOf(request.via.branch + request.callId).toString(36)}`;
    this.#shell.send(
      responseTo(request, { ...refusal, toTag }),
      responseFlow(request, from, this.#shell.trusts),
      false,
      () => {},
    );
  }
}
