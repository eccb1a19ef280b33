// A request of the network that an application has yet to answer.

import * as reliable from "../../core/dialog/reliable-provisional.ts";
import type { ResponseDraft } from "../../core/drachtio/command.ts";
import type { Flow, ListenPoint } from "../../core/flow.ts";
import type { SipRequest, SipResponse } from "../../core/message/message.ts";
import { type DialogReference, freeze, type PendingRecord, thaw } from "../../core/record/record.ts";
import { serverKey } from "../../core/transaction/key.ts";
import type { Owner } from "../applications/owners.ts";
import type { DialogEntry } from "../dialogs/dialog-store.ts";
import type { Shell } from "../shell/shell.ts";
import { NamedTimers, type TimerOwner } from "../shell/timer-wheel.ts";
import type { ServerTransaction } from "../transactions/server-transaction.ts";
import { timerRecords } from "../transactions/transaction-driver.ts";

export interface PendingFacts {
  readonly transactionId: string;
  readonly request: SipRequest;
  readonly from: Flow;
  readonly point: ListenPoint;
  readonly link: Owner;
  /** In a dialog: its entry. Otherwise undefined until a tagged provisional makes one. */
  readonly entry: DialogEntry | undefined;
}

/** A 2xx of the application that may not leave yet. */
export interface HeldResponse {
  readonly commandId: string;
  readonly draft: ResponseDraft;
}

/** Who did not react: the application, or the peer to a reliable provisional; or nobody within the INVITE's Expires. */
export type Silence = "no-answer" | "no-prack" | "expired";

const RSEQ_FIRST_MAX = 2_147_483_647;
/** RFC 3261 §13.3.1.1: a proxy gives up after three minutes without a provisional. */
const REMIND_MS = 60_000;

export class PendingRequest implements TimerOwner {
  facts: PendingFacts;
  readonly timers: NamedTimers;
  readonly #shell: Shell;
  readonly #onSilence: (pending: PendingRequest, because: Silence) => void;
  entry: DialogEntry | undefined;
  /** Set right after construction: the transaction's user needs us first. */
  transaction: ServerTransaction | undefined;
  /** Ours, in To; the application may choose it with its first response. */
  localTag: string;
  /** The dialog was made by this very request. */
  readonly startsDialog: boolean;
  /** RFC 3262 §3: it waits for the PRACK of a 1xx that carries a description. */
  held: HeldResponse | undefined;
  #reliable: reliable.ReliableState;
  #provisional: SipResponse | undefined;
  readonly #openedMs: number;
  #isAnswered = false;
  #ownTag: string | undefined;

  constructor(shell: Shell, facts: PendingFacts, onSilence: (pending: PendingRequest, because: Silence) => void) {
    this.#shell = shell;
    this.facts = facts;
    this.#onSilence = onSilence;
    this.entry = facts.entry;
    this.localTag = facts.request.toTag;
    this.startsDialog = facts.entry === undefined;
    this.timers = new NamedTimers(shell.wheel, this);
    this.#openedMs = shell.clock.nowMs();
    this.#reliable = reliable.start(0);
    this.attend();
  }

  /** How long an answer may take from now on: an application that is away is waited for only a while. */
  attend(): void {
    if (this.held !== undefined) return this.timers.stop("silence"); // it has answered; the PRACK has a timer of its own
    const { unansweredInviteT1s, unansweredT1s, ringingMs, returnWaitMs } = this.#shell.limits;
    const t1s = this.isInvite ? unansweredInviteT1s : unansweredT1s;
    const patienceMs = this.#provisional === undefined ? t1s * this.#shell.timing.t1Ms : ringingMs;
    this.timers.start("silence", this.facts.link.open ? patienceMs : Math.min(returnWaitMs, patienceMs));
  }

  /** The caller's own patience. RFC 3261 §13.3.1. */
  expireAfter(seconds: number): void {
    this.timers.start("expires", seconds * 1_000);
  }

  /** What To gets from us unless the application chooses. */
  get ownTag(): string {
    this.#ownTag ??= this.#shell.ids.tag();
    return this.#ownTag;
  }

  get isInvite(): boolean {
    return this.facts.request.method === "INVITE";
  }

  /** How long the application took; undefined when this is not its first answer. */
  firstAnswerAfterMs(nowMs: number): number | undefined {
    if (this.#isAnswered) return undefined;
    this.#isAnswered = true;
    return nowMs - this.#openedMs;
  }

  /** The application has reacted: from now on it may ring for as long as ringing may last. */
  rings(provisional: SipResponse): void {
    this.#provisional = provisional;
    this.attend();
    if (this.isInvite) this.timers.start("remind", REMIND_MS);
  }

  /** RFC 3262 §3: the first is any number from 1 to 2^31 - 1, and nobody can guess it. */
  get nextRseq(): number {
    if (this.#reliable.name === "idle" && this.#reliable.rseq === 0)
      this.#reliable = reliable.start(Math.floor(this.#shell.ids.chance() * RSEQ_FIRST_MAX));
    return reliable.nextRseq(this.#reliable);
  }

  handleReliable(input: reliable.ReliableInput): void {
    const { state, effects } = reliable.step(this.#shell.timing, this.#reliable, input);
    this.#reliable = state;
    for (const effect of effects) {
      switch (effect.kind) {
        case "send":
          this.transaction?.respond(effect.response);
          break;
        case "start-timer":
          this.timers.start(effect.timer, effect.afterMs);
          break;
        case "stop-timer":
          this.timers.stop(effect.timer);
          break;
        case "give-up":
          this.#onSilence(this, "no-prack");
          break;
      }
    }
  }

  /** Whether this PRACK answers the provisional that is out: RFC 3262 §3. */
  isAwaiting(rseq: number): boolean {
    return this.#reliable.name === "waiting" && this.#reliable.rseq === rseq;
  }

  /** A reliable 1xx with a description is out, or waits to go, and has no PRACK: no 2xx may pass it. RFC 3262 §3. */
  get owesPrackOfDescription(): boolean {
    const state = this.#reliable;
    return state.name === "waiting" && [state.response, ...state.queued].some(({ body }) => body !== "");
  }

  onTimer(name: string): void {
    if (name === "silence") this.#onSilence(this, "no-answer");
    else if (name === "expires") this.#onSilence(this, "expired");
    else if (name === "remind" && this.#provisional !== undefined) {
      this.transaction?.respond(this.#provisional);
      this.timers.start("remind", REMIND_MS);
    } else if (name === "repeat-1xx" || name === "await-prack") this.handleReliable({ kind: "timer", timer: name });
  }

  record(unixMs: number, dialog: DialogReference | undefined): PendingRecord {
    const { transactionId, request, from, point, link } = this.facts;
    return {
      transactionId,
      transaction: serverKey(request),
      from,
      pointId: point.id,
      owner: link.record,
      dialog,
      startsDialog: this.startsDialog,
      // Already now, so that whoever goes on with it answers as we would have.
      localTag: this.localTag === "" ? this.ownTag : this.localTag,
      held: this.held,
      reliable: freeze(this.#reliable),
      provisional: freeze(this.#provisional),
      timers: timerRecords(this.timers, unixMs),
    };
  }

  /** Takes over what a record says, except for how long the application may take. */
  resume(record: PendingRecord, unixMs: number): void {
    this.localTag = record.localTag;
    this.held = record.held;
    this.#reliable = thaw(record.reliable);
    this.#provisional = thaw(record.provisional);
    for (const { name, dueUnixMs } of record.timers) this.timers.start(name, Math.max(0, dueUnixMs - unixMs));
    if (this.held !== undefined) this.attend();
  }

  end(): void {
    this.timers.stopAll();
  }
}
