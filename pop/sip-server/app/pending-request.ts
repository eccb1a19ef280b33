// A request of the network that an application has yet to answer.

import type { ApplicationLink } from "../boundary/application-link.ts";
import * as reliable from "../core/dialog/reliable-provisional.ts";
import type { Flow, ListenPoint } from "../core/flow.ts";
import type { SipRequest, SipResponse } from "../core/message/message.ts";
import type { DialogEntry } from "./dialog-store.ts";
import type { Shell } from "./shell.ts";
import { NamedTimers, type TimerOwner } from "./timer-wheel.ts";
import type { ServerTransaction } from "./transaction-layer.ts";

export interface PendingFacts {
  readonly transactionId: string;
  readonly request: SipRequest;
  readonly from: Flow;
  readonly point: ListenPoint;
  readonly link: ApplicationLink;
  /** In a dialog: its entry. Otherwise undefined until a tagged provisional makes one. */
  readonly entry: DialogEntry | undefined;
}

/** RFC 3261 §13.3.1.1: a proxy gives up after three minutes without a provisional. */
const REMIND_MS = 60_000;

export class PendingRequest implements TimerOwner {
  readonly facts: PendingFacts;
  readonly timers: NamedTimers;
  readonly #shell: Shell;
  readonly #onSilence: (pending: PendingRequest) => void;
  entry: DialogEntry | undefined;
  /** Set right after construction: the transaction's user needs us first. */
  transaction: ServerTransaction | undefined;
  /** Ours, in To; the application may choose it with its first response. */
  localTag: string;
  /** The dialog was made by this very request. */
  readonly startsDialog: boolean;
  #reliable: reliable.ReliableState;
  #provisional: SipResponse | undefined;
  readonly #openedMs: number;
  #isAnswered = false;

  constructor(shell: Shell, facts: PendingFacts, onSilence: (pending: PendingRequest) => void) {
    this.#shell = shell;
    this.facts = facts;
    this.#onSilence = onSilence;
    this.entry = facts.entry;
    this.localTag = facts.request.toTag;
    this.startsDialog = facts.entry === undefined;
    this.timers = new NamedTimers(shell.wheel, this);
    this.#openedMs = shell.clock.nowMs();
    // RFC 3262 §3: any number from 1 to 2^31 - 1 may come first.
    this.#reliable = reliable.start(0);
    const { unansweredInviteT1s, unansweredT1s } = shell.limits;
    const t1s = facts.request.method === "INVITE" ? unansweredInviteT1s : unansweredT1s;
    this.timers.start("silence", t1s * shell.timing.t1Ms);
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
    this.timers.start("silence", this.#shell.limits.ringingMs);
    if (this.isInvite) this.timers.start("remind", REMIND_MS);
  }

  get nextRseq(): number {
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
          this.#onSilence(this);
          break;
      }
    }
  }

  /** Whether this PRACK answers the provisional that is out: RFC 3262 §3. */
  isAwaiting(rseq: number): boolean {
    return this.#reliable.name === "waiting" && this.#reliable.rseq === rseq;
  }

  onTimer(name: string): void {
    if (name === "silence") this.#onSilence(this);
    else if (name === "remind" && this.#provisional !== undefined) {
      this.transaction?.respond(this.#provisional);
      this.timers.start("remind", REMIND_MS);
    } else if (name === "repeat-1xx" || name === "await-prack") this.handleReliable({ kind: "timer", timer: name });
  }

  end(): void {
    this.timers.stopAll();
  }
}
