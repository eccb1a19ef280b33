// Tens of thousands of timers, one setTimeout. A hashed wheel of 4,096 slots of 8 ms (a turn is 32.8 s): starting and
// stopping a timer costs the same however many run. A timer fires on the first tick at or after its deadline, never before.

import type { Clock } from "../../../../kernel/time.ts";

export interface TimerOwner {
  onTimer(name: string): void;
}

/** For what has a moment of its own and no names to tell apart. */
export class OneShot implements TimerOwner {
  timer: WheelTimer | undefined;
  readonly #due: () => void;

  constructor(due: () => void) {
    this.#due = due;
  }

  onTimer(): void {
    this.#due();
  }
}

/** Sets the one alarm; the next call replaces it. */
export interface Alarm {
  set(afterMs: number, ring: () => void): void;
  clear(): void;
}

export interface WheelTimer {
  readonly owner: TimerOwner;
  readonly name: string;
  readonly dueTick: number;
  previous: WheelTimer | undefined;
  next: WheelTimer | undefined;
  running: boolean;
}

const TICK_MS = 8;
const SLOTS = 4_096;

export class TimerWheel {
  readonly #clock: Clock;
  readonly #alarm: Alarm;
  readonly #failed: (error: unknown) => void;
  readonly #slots: (WheelTimer | undefined)[] = new Array<WheelTimer | undefined>(SLOTS).fill(undefined);
  /** A bit per slot that holds anything. */
  readonly #used = new Uint32Array(SLOTS / 32);
  /** Every slot up to and including this tick has been emptied. */
  #doneTick: number;
  #alarmTick = Number.POSITIVE_INFINITY;
  #size = 0;
  #ringing = false;
  #stopped = false;

  /** @param failed told when an owner throws: its bug must not keep other timers from firing */
  constructor(clock: Clock, alarm: Alarm, failed: (error: unknown) => void) {
    this.#clock = clock;
    this.#alarm = alarm;
    this.#failed = failed;
    this.#doneTick = Math.floor(clock.nowMs() / TICK_MS);
  }

  get size(): number {
    return this.#size;
  }

  start(owner: TimerOwner, name: string, afterMs: number): WheelTimer {
    const dueTick = Math.max(this.#doneTick + 1, Math.ceil((this.#clock.nowMs() + afterMs) / TICK_MS));
    if (this.#stopped) return { owner, name, dueTick, previous: undefined, next: undefined, running: false };
    const slot = dueTick % SLOTS;
    const head = this.#slots[slot];
    const timer: WheelTimer = { owner, name, dueTick, previous: undefined, next: head, running: true };
    if (head !== undefined) head.previous = timer;
    this.#slots[slot] = timer;
    this.#mark(slot);
    this.#size++;
    if (dueTick < this.#alarmTick && !this.#ringing) this.#setAlarm(dueTick);
    return timer;
  }

  /** Safe to repeat, and safe for a timer that has fired. */
  stop(timer: WheelTimer): void {
    if (!timer.running) return;
    timer.running = false;
    this.#size--;
    const { previous, next, dueTick } = timer;
    if (next !== undefined) next.previous = previous;
    if (previous !== undefined) previous.next = next;
    else {
      const slot = dueTick % SLOTS;
      this.#slots[slot] = next;
      if (next === undefined) this.#unmark(slot);
    }
  }

  /** How long it still runs; a tick more at most. */
  remainingMs(timer: WheelTimer): number {
    return Math.max(0, timer.dueTick * TICK_MS - this.#clock.nowMs());
  }

  /** Fires what is due. The alarm calls it; a simulation may too. */
  ring(): void {
    const nowTick = Math.floor(this.#clock.nowMs() / TICK_MS);
    this.#alarmTick = Number.POSITIVE_INFINITY;
    this.#ringing = true;
    // After a pause longer than a turn every slot is looked at once.
    const lastTick = Math.min(nowTick, this.#doneTick + SLOTS);
    for (let tick = this.#doneTick + 1; tick <= lastTick; tick++) {
      const slot = tick % SLOTS;
      let timer = this.#slots[slot];
      while (timer !== undefined) {
        if (timer.dueTick > nowTick) {
          timer = timer.next;
          continue;
        }
        this.stop(timer);
        try {
          timer.owner.onTimer(timer.name);
        } catch (error) {
          this.#failed(error);
        }
        timer = this.#slots[slot]; // firing may have changed the list: look again from its head
      }
    }
    this.#doneTick = nowTick;
    this.#ringing = false;
    if (this.#stopped) return;
    const next = this.#nextTick();
    if (next !== undefined) this.#setAlarm(next);
  }

  /** For good: what is started after this never fires, so that nothing keeps a process that stops. */
  stopAll(): void {
    this.#stopped = true;
    this.#slots.fill(undefined);
    this.#used.fill(0);
    this.#size = 0;
    this.#alarm.clear();
  }

  #setAlarm(tick: number): void {
    this.#alarmTick = tick;
    this.#alarm.set(Math.max(0, tick * TICK_MS - this.#clock.nowMs()), () => this.ring());
  }

  /** The next slot that holds anything; its timers may be due only in a later turn. */
  #nextTick(): number | undefined {
    if (this.#size === 0) return undefined;
    const from = this.#doneTick + 1;
    for (let ahead = 0; ahead < SLOTS; ) {
      const slot = (from + ahead) % SLOTS;
      const word = (this.#used[slot >> 5] ?? 0) >>> (slot & 31);
      if (word === 0) ahead += 32 - (slot & 31);
      else return from + ahead + (31 - Math.clz32(word & -word));
    }
    return undefined;
  }

  #mark(slot: number): void {
    this.#used[slot >> 5] = (this.#used[slot >> 5] ?? 0) | (1 << (slot & 31));
  }

  #unmark(slot: number): void {
    this.#used[slot >> 5] = (this.#used[slot >> 5] ?? 0) & ~(1 << (slot & 31));
  }
}

/** An alarm that rings nobody before it is opened: what is due by then rings at once. */
export function heldAlarm(alarm: Alarm, clock: Clock): Alarm & { open(): void } {
  let isOpen = false;
  let waiting: { readonly dueAtMs: number; readonly ring: () => void } | undefined;
  return {
    set(afterMs, ring) {
      if (isOpen) alarm.set(afterMs, ring);
      else waiting = { dueAtMs: clock.nowMs() + afterMs, ring };
    },
    clear() {
      waiting = undefined;
      alarm.clear();
    },
    open() {
      isOpen = true;
      if (waiting !== undefined) alarm.set(Math.max(0, waiting.dueAtMs - clock.nowMs()), waiting.ring);
      waiting = undefined;
    },
  };
}

export function systemAlarm(): Alarm {
  let pending: NodeJS.Timeout | undefined;
  return {
    set(afterMs, ring) {
      if (pending !== undefined) clearTimeout(pending);
      pending = setTimeout(ring, afterMs);
    },
    clear() {
      if (pending !== undefined) clearTimeout(pending);
    },
  };
}

/** The few timers of one owner, by name: starting one again replaces it. */
export class NamedTimers {
  readonly #wheel: TimerWheel;
  readonly #owner: TimerOwner;
  readonly #running: WheelTimer[] = [];

  constructor(wheel: TimerWheel, owner: TimerOwner) {
    this.#wheel = wheel;
    this.#owner = owner;
  }

  start(name: string, afterMs: number): void {
    this.stop(name);
    this.#running.push(this.#wheel.start(this.#owner, name, afterMs));
  }

  stop(name: string): void {
    for (let at = this.#running.length - 1; at >= 0; at--) {
      const timer = this.#running[at];
      if (timer === undefined || (timer.running && timer.name !== name)) continue;
      this.#wheel.stop(timer);
      this.#running.splice(at, 1);
    }
  }

  stopAll(): void {
    for (const timer of this.#running) this.#wheel.stop(timer);
    this.#running.length = 0;
  }

  /** Those that run, with the time they have left. */
  remaining(): { readonly name: string; readonly afterMs: number }[] {
    return this.#running
      .filter(({ running }) => running)
      .map((timer) => ({ name: timer.name, afterMs: this.#wheel.remainingMs(timer) }));
  }
}
