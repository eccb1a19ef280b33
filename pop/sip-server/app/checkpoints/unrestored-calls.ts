// Calls of an owner before us that have not been taken up yet: their texts, by Call-ID. A call is taken up when something
// names it, and the others in the background, a few milliseconds at a time, so that the sockets can open at once. First those
// in which somebody waits for us; what has only finished transactions, which answer copies, comes last.

import type { Clock } from "../../../../kernel/time.ts";
import type { TimerOwner, TimerWheel } from "../shell/timer-wheel.ts";

/** Of the event loop, before others have their turn. */
const SLICE_MS = 8;
const SLICE_CALLS_MAX = 64;

export interface Restorer {
  restore(callId: string, text: string): void;
  /** After one call, or a slice of them. */
  restored(): void;
}

export class UnrestoredCalls implements TimerOwner {
  /** With a dialog, or a request that has no answer. */
  readonly #live = new Map<string, string>();
  readonly #finished = new Map<string, string>();
  readonly #wheel: TimerWheel;
  readonly #clock: Clock;
  readonly #restorer: Restorer;

  constructor(wheel: TimerWheel, clock: Clock, restorer: Restorer) {
    this.#wheel = wheel;
    this.#clock = clock;
    this.#restorer = restorer;
  }

  get size(): number {
    return this.#live.size + this.#finished.size;
  }

  get liveSize(): number {
    return this.#live.size;
  }

  has(callId: string): boolean {
    return this.#live.has(callId) || this.#finished.has(callId);
  }

  put(callId: string, text: string): void {
    (isFinished(text) ? this.#finished : this.#live).set(callId, text);
  }

  begin(): void {
    if (this.size > 0) this.#wheel.start(this, "restore", 0);
  }

  /** Something is about to look at this call. */
  need(callId: string): void {
    if (this.size > 0 && this.#restore(callId)) this.#restorer.restored();
  }

  /** Something is about to look at every dialog, or at a request whose Call-ID it does not know. */
  needLive(): void {
    if (this.#live.size === 0) return;
    for (const callId of [...this.#live.keys()]) this.#restore(callId);
    this.#restorer.restored();
  }

  needAll(): void {
    if (this.size === 0) return;
    for (const callId of [...this.#live.keys(), ...this.#finished.keys()]) this.#restore(callId);
    this.#restorer.restored();
  }

  onTimer(): void {
    const untilMs = this.#clock.nowMs() + SLICE_MS;
    for (let count = 0; count < SLICE_CALLS_MAX; count++) {
      const [callId] = this.#live.size > 0 ? this.#live.keys() : this.#finished.keys();
      if (callId === undefined) break;
      this.#restore(callId);
      if (this.#clock.nowMs() >= untilMs) break;
    }
    this.#restorer.restored();
    this.begin();
  }

  #restore(callId: string): boolean {
    const text = this.#live.get(callId) ?? this.#finished.get(callId);
    if (text === undefined) return false;
    this.#live.delete(callId);
    this.#finished.delete(callId);
    this.#restorer.restore(callId, text);
    return true;
  }
}

/** As such a record is written; anything else counts as live. A quote inside a JSON string is escaped: these are none. */
const isFinished = (text: string): boolean =>
  text.includes(',"dialogs":[],') && text.endsWith(',"pending":[]}') && !text.includes('"user":{');
