// Requests from the network, and the applications' answers to them. RFC 3261 §8.2, §9.2, §12.2.2, §13.3, §15.1.2.

import type { ApplicationLink } from "../boundary/application-link.ts";
import * as acceptedInvite from "../core/dialog/accepted-invite.ts";
import {
  confirmed,
  dialogId,
  dialogOfUas,
  received,
  refreshed,
  refreshesTarget,
  targetOf,
} from "../core/dialog/dialog.ts";
import type { Command } from "../core/drachtio/command.ts";
import * as report from "../core/drachtio/report.ts";
import type { Flow, ListenPoint } from "../core/flow.ts";
import { responseTo } from "../core/message/build.ts";
import {
  type Header,
  header,
  headerValue,
  listsToken,
  type SipRequest,
  type SipResponse,
} from "../core/message/message.ts";
import { parameter } from "../core/message/parameters.ts";
import { responseHeaders, tagFromDraft } from "../core/user-agent/outgoing.ts";
import { syntaxFault } from "../core/user-agent/syntax-fault.ts";
import type { Applications } from "./applications.ts";
import { methodLabel } from "./counters.ts";
import type { Acceptance, DialogEntry, DialogStore } from "./dialog-store.ts";
import { Latency } from "./latency.ts";
import { PendingRequest } from "./pending-request.ts";
import type { Shell } from "./shell.ts";
import { NamedTimers, type TimerOwner } from "./timer-wheel.ts";
import type { ServerTransaction, ServerUser, TransactionLayer } from "./transaction-layer.ts";
import type { UserAgentClient } from "./user-agent-client.ts";

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
/** RFC 3261 §14.2: a random 0 … 10 s; chance is not worth it for one header. */
const RETRY_AFTER: readonly Header[] = [header("Retry-After", "retry-after", "5")];

export interface UserAgentServerParts {
  readonly shell: Shell;
  readonly transactions: TransactionLayer;
  readonly dialogs: DialogStore;
  readonly applications: Applications;
  readonly client: UserAgentClient;
}

export class UserAgentServer {
  /** From a request's delivery to the application's first answer to it. */
  readonly answering = new Latency();
  readonly #shell: Shell;
  readonly #transactions: TransactionLayer;
  readonly #dialogs: DialogStore;
  readonly #applications: Applications;
  readonly #client: UserAgentClient;
  readonly #pending = new Map<string, PendingRequest>();
  /** INVITEs under way, by their transaction: CANCEL looks here. */
  readonly #invites = new Map<ServerTransaction, PendingRequest>();

  constructor(parts: UserAgentServerParts) {
    this.#shell = parts.shell;
    this.#transactions = parts.transactions;
    this.#dialogs = parts.dialogs;
    this.#applications = parts.applications;
    this.#client = parts.client;
  }

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
    if ((method === "INVITE" || method === "SUBSCRIBE") && targetOf(request) === undefined) {
      this.#refuse(request, from, 400, "Missing Contact");
      return;
    }
    const link = this.#applications.pick(method.toLowerCase());
    if (link === undefined) {
      this.#refuse(request, from, 503);
      return;
    }
    const pending = this.#open(request, from, point, link, undefined);
    const meta = this.#networkMeta(request, from);
    const { transactionId } = pending.facts;
    const text = this.#shell.textOf(request);
    link.send(report.newRequest(this.#shell.ids.uuid(), meta, transactionId, point, text));
  }

  #inDialog(request: SipRequest, from: Flow, point: ListenPoint): void {
    const entry = this.#dialogs.byKey(request.callId, request.toTag, request.fromTag);
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
    if (method === "INVITE") {
      if (entry.invitingIn) return this.#refuse(request, from, 500, undefined, RETRY_AFTER); // §14.2
      const isUnacknowledged = entry.acceptance?.state === "waiting";
      if (entry.invitingOut || isUnacknowledged) return this.#refuse(request, from, 491); // §14.2, RFC 5407 §3.1.4
    }
    if (method === "PRACK" && !this.#takePrack(entry, request)) return this.#refuse(request, from, 481); // RFC 3262 §3
    if (method === "BYE") this.#endInvites(entry);
    if (!entry.owner.open) {
      this.#refuse(request, from, 481);
      if (method === "BYE") this.#dialogs.remove(entry);
      return;
    }
    if (method === "INVITE") entry.invitingIn = true;
    const pending = this.#open(request, from, point, entry.owner, entry);
    this.#deliver(entry.owner, request, from, pending.facts.transactionId, entry.dialog.id);
  }

  /** §15.1.2: a BYE also ends what was still being asked in the dialog. */
  #endInvites(entry: DialogEntry): void {
    entry.acceptance?.over();
    release(entry); // the application's own BYE waited for an ACK that will not come
    for (const pending of [...this.#pending.values()])
      if (pending.entry === entry && pending.isInvite) this.#finish(pending, this.#answer(pending, 487));
  }

  #takePrack(entry: DialogEntry, prack: SipRequest): boolean {
    const [rseq, cseq] = (headerValue(prack, "rack") ?? "").trim().split(/\s+/);
    for (const pending of this.#pending.values()) {
      if (pending.entry !== entry || !pending.isInvite) continue;
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
    if (pending === undefined) return; // answered already: a CANCEL has no effect
    const isKnown = pending.entry !== undefined;
    const { link, transactionId } = pending.facts;
    this.#finish(pending, this.#answer(pending, 487));
    const dialogId = isKnown ? (pending.entry?.dialog.id ?? "") : "";
    this.#deliver(link, cancel, from, transactionId, dialogId);
  }

  /** An application answers. */
  respond(link: ApplicationLink, command: Extract<Command, { kind: "send-response" }>): void {
    const pending = this.#pending.get(command.transactionId);
    if (pending === undefined || pending.facts.link !== link) {
      this.#nok(link, command.id, "Response not sent due to unknown transaction");
      return;
    }
    const waitedMs = pending.firstAnswerAfterMs(this.#shell.clock.nowMs());
    if (waitedMs !== undefined) this.answering.observe(waitedMs);
    const { draft } = command;
    const { request, point } = pending.facts;
    const { status } = draft;
    const isReliable = pending.isInvite && status > 100 && status < 200 && listsToken(draft, "require", "100rel");
    if (isReliable && !listsToken(request, "supported", "100rel") && !listsToken(request, "require", "100rel")) {
      this.#nok(link, command.id, "Remote endpoint does not support 100rel");
      return;
    }
    if (pending.localTag === "" && status > 100) pending.localTag = tagFromDraft(draft) ?? this.#shell.ids.tag();
    const extra = responseHeaders(draft, request, point, {
      reliable: isReliable,
      contact: pending.entry?.dialog.localContact ?? "",
    });
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
    // drachtio: no dialog id when the dialog is gone, or never was.
    const isBye = request.method === "BYE";
    const dialogId = isBye ? "" : (entry?.dialog.id ?? "");
    if (status >= 200) this.#finish(pending, response);
    else {
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
    link.send(report.responseSent(this.#shell.ids.uuid(), command.id, meta, transactionId, dialogId, text));
  }

  /** The application has gone: what it had not answered is refused, so that the caller can try elsewhere. */
  onLinkClosed(link: ApplicationLink): void {
    for (const pending of [...this.#pending.values()])
      if (pending.facts.link === link) this.#finish(pending, this.#answer(pending, pending.startsDialog ? 503 : 481));
  }

  #open(
    request: SipRequest,
    from: Flow,
    point: ListenPoint,
    link: ApplicationLink,
    entry: DialogEntry | undefined,
  ): PendingRequest {
    const transactionId = this.#shell.ids.uuid();
    const facts = { transactionId, request, from, point, link, entry };
    const pending = new PendingRequest(this.#shell, facts, (silent) => this.#onSilence(silent));
    this.#pending.set(transactionId, pending);
    const transaction = this.#transactions.startServer(request, responseFlow(request, from), this.#userOf(from));
    pending.transaction = transaction;
    if (pending.isInvite) this.#invites.set(transaction, pending);
    return pending;
  }

  #userOf(from: Flow): ServerUser {
    return {
      onAck: (ack) => this.#onAck(ack, from),
      onFailed: (because) => this.#shell.counters.add("server_transactions_failed", `because="${because}"`),
    };
  }

  /** Neither the application nor a PRACK came: say so while the peer still listens. */
  #onSilence(pending: PendingRequest): void {
    this.#shell.counters.add("unanswered_requests", `method="${methodLabel(pending.facts.request.method)}"`);
    const { link, from } = pending.facts;
    const { entry } = pending;
    this.#finish(pending, this.#answer(pending, pending.isInvite ? 408 : 500));
    // A re-INVITE that nobody answers does not end the call; a BYE does.
    if (pending.facts.request.method === "BYE" && entry !== undefined) this.#dialogs.remove(entry);
    // drachtio-srf keeps the request until it hears of it again: a CANCEL is the word it knows.
    if (pending.isInvite && pending.startsDialog) {
      const cancel: SipRequest = { ...pending.facts.request, method: "CANCEL", body: "" };
      this.#deliver(link, cancel, from, pending.facts.transactionId, "");
    }
  }

  #answer(pending: PendingRequest, status: number): SipResponse {
    return responseTo(pending.facts.request, { status, toTag: this.#tagOf(pending) });
  }

  #tagOf(pending: PendingRequest): string {
    if (pending.localTag === "") pending.localTag = this.#shell.ids.tag();
    return pending.localTag;
  }

  /** Makes or moves the dialog that this 1xx or 2xx belongs to; false when it needs one and none can be. */
  #keepDialog(pending: PendingRequest, response: SipResponse): boolean {
    const { request, from, link } = pending.facts;
    const isDialogMaking = request.method === "INVITE" || request.method === "SUBSCRIBE";
    const isSuccess = response.status >= 200;
    if (pending.entry === undefined) {
      if (!isDialogMaking || (request.method === "SUBSCRIBE" && !isSuccess)) return true;
      const localContact = headerValue(response, "contact") ?? "";
      const party = headerValue(response, "to") ?? "";
      const made = dialogOfUas(request, { localTag: pending.localTag, localContact, flow: from, party });
      if (!made.ok) return false;
      pending.entry = this.#dialogs.add(made.value, link);
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
    this.#pending.delete(transactionId);
    if (transaction !== undefined) this.#invites.delete(transaction);
    transaction?.respond(response);
    if (entry === undefined) return;
    if (pending.isInvite) {
      entry.invitingIn = false;
      if (response.status < 300) this.#awaitAck(entry, pending, response);
      else if (pending.startsDialog) this.#dialogs.remove(entry);
    } else if (request.method === "BYE") {
      if (response.status !== 401 && response.status !== 407) this.#dialogs.remove(entry);
    } else if (endsSubscription(request, entry)) this.#dialogs.remove(entry);
  }

  #awaitAck(entry: DialogEntry, pending: PendingRequest, response: SipResponse): void {
    const { transaction } = pending;
    if (transaction === undefined) return;
    const acceptance = new AcceptanceDriver(this.#shell, transaction, pending, {
      acknowledged: () => release(entry),
      gaveUp: () => {
        this.#shell.counters.add("ack_timeouts");
        // The application asked for a BYE already: that one goes.
        if (entry.heldByes.length > 0) release(entry);
        else this.#client.sendBye(entry, "ACK timeout");
      },
    });
    entry.acceptance = acceptance;
    acceptance.begin(response);
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

  #deliver(link: ApplicationLink, request: SipRequest, from: Flow, transactionId: string, dialogId: string): void {
    const meta = this.#networkMeta(request, from);
    const text = this.#shell.textOf(request);
    link.send(report.message(this.#shell.ids.uuid(), meta, transactionId, dialogId, text));
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

  #nok(link: ApplicationLink, commandId: string, reason: string): void {
    link.send(report.refused(this.#shell.ids.uuid(), commandId, "NOK", reason));
  }
}

function release(entry: DialogEntry): void {
  for (const bye of entry.heldByes.splice(0)) bye();
}

const endsSubscription = (request: SipRequest, entry: DialogEntry): boolean =>
  request.method === "NOTIFY" &&
  entry.dialog.usage === "SUBSCRIBE" &&
  /^terminated/i.test(headerValue(request, "subscription-state") ?? "");

/** RFC 3261 §18.2.2, RFC 3581 §4. The Via has been stamped with where the request came from. */
export function responseFlow(request: SipRequest, from: Flow): Flow {
  const { via } = request;
  if (from.transport !== "udp") return { ...from, port: via.port ?? 5060 }; // the connection first, this when it has gone
  const hasRport = parameter(via.params, "rport") !== undefined;
  return { ...from, port: hasRport ? from.port : (via.port ?? 5060) };
}

interface AcceptanceUser {
  acknowledged(): void;
  gaveUp(): void;
}

/** Drives core/dialog/accepted-invite.ts. */
class AcceptanceDriver implements Acceptance, TimerOwner {
  readonly transactionId: string;
  readonly cseq: number;
  readonly #shell: Shell;
  readonly #transaction: ServerTransaction;
  readonly #user: AcceptanceUser;
  readonly #timers: NamedTimers;
  #state: acceptedInvite.AcceptedInviteState = { name: "moot" };

  constructor(shell: Shell, transaction: ServerTransaction, pending: PendingRequest, user: AcceptanceUser) {
    this.#shell = shell;
    this.#transaction = transaction;
    this.#user = user;
    this.transactionId = pending.facts.transactionId;
    this.cseq = pending.facts.request.cseq.number;
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
