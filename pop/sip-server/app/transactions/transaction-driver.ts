// Drives one transaction's machine: one input, one step, every effect performed, then the next input. RFC 3261 §17.

import type { Step } from "../../../../kernel/step.ts";
import type { Flow } from "../../core/flow.ts";
import type { SipMessage, SipRequest, SipResponse } from "../../core/message/message.ts";
import { freeze, requestText, type TimerRecord } from "../../core/record/record.ts";
import type { Timing } from "../../core/transaction/timing.ts";
import { NamedTimers, type TimerOwner, type TimerWheel } from "../shell/timer-wheel.ts";

export type Failed = "timeout" | "transport";

export interface TransactionShell {
  readonly timing: Timing;
  readonly wheel: TimerWheel;
  readonly transactionsMax: number;
  /** `failed` is called at most once, later, when the transport could not deliver. */
  send(message: SipMessage, flow: Flow, again: boolean, failed: () => void): void;
  /** Another way for a response that could not be delivered; `failed` as above. */
  elsewhere(response: SipResponse, tried: Flow, failed: () => void): void;
}

export abstract class TransactionDriver<State extends { readonly name: string }, Input, Effect> implements TimerOwner {
  request: SipRequest;
  readonly flow: Flow;
  protected readonly shell: TransactionShell;
  protected readonly timers: NamedTimers;
  readonly #forget: () => void;
  #current: State | undefined;
  #busy = false;
  /** Inputs that came while one was worked off: rare, so there is no list until then. */
  #waiting: Input[] | undefined;

  constructor(shell: TransactionShell, request: SipRequest, flow: Flow, forget: () => void) {
    this.shell = shell;
    this.request = request;
    this.flow = flow;
    this.#forget = forget;
    this.timers = new NamedTimers(shell.wheel, this);
  }

  protected abstract next(state: State, input: Input): Step<State, Effect>;
  protected abstract perform(effect: Effect): void;
  abstract onTimer(name: string): void;

  get state(): string {
    return this.#current?.name ?? "new";
  }

  begin({ state, effects }: Step<State, Effect>): void {
    this.#current = state;
    this.#busy = true;
    try {
      for (const effect of effects) this.perform(effect);
    } finally {
      this.#busy = false;
    }
    this.#drain();
  }

  record(unixMs: number) {
    return {
      request: requestText(this.request),
      flow: this.flow,
      state: freeze(this.#current, this.request),
      timers: timerRecords(this.timers, unixMs),
    };
  }

  resume(state: State, timers: readonly TimerRecord[], unixMs: number): void {
    this.#current = state;
    for (const { name, dueUnixMs } of timers) this.timers.start(name, Math.max(0, dueUnixMs - unixMs));
  }

  /** A timer beside those of the record. */
  expect(timer: string, afterMs: number): void {
    this.timers.start(timer, afterMs);
  }

  /** Ends it without a word. */
  abandon(): void {
    this.dispose();
  }

  /** One input, one step, every effect performed: only then the next input. */
  handle(input: Input): void {
    if (this.#current === undefined || this.#current.name === "terminated") return;
    if (this.#busy) {
      this.#waiting ??= [];
      this.#waiting.push(input);
      return;
    }
    this.#busy = true;
    let isLiving = false;
    try {
      isLiving = this.#work(input);
    } finally {
      this.#busy = false; // a bug of our user's is no reason to hear nothing more
    }
    if (isLiving) this.#drain();
  }

  protected end(): void {
    this.timers.stopAll();
    this.#forget();
  }

  /** False: it has ended. */
  #work(input: Input): boolean {
    if (this.#current === undefined) return false;
    const { state, effects } = this.next(this.#current, input);
    this.#current = state;
    try {
      for (const effect of effects) this.perform(effect);
    } finally {
      if (state.name === "terminated") this.end();
    }
    return state.name !== "terminated";
  }

  #drain(): void {
    if (this.#waiting === undefined) return;
    const waiting = this.#waiting;
    this.#busy = true;
    try {
      for (let input = waiting.shift(); input !== undefined; input = waiting.shift()) if (!this.#work(input)) break;
    } finally {
      this.#busy = false;
      this.#waiting = undefined;
    }
  }

  protected dispose(): void {
    this.#current = undefined;
    this.#waiting = undefined;
    this.end();
  }
}

export const timerRecords = (timers: NamedTimers, unixMs: number): TimerRecord[] =>
  timers.remaining().map(({ name, afterMs }) => ({ name, dueUnixMs: unixMs + afterMs }));
