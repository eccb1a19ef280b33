// Which fields go out together, and who waits for them. Knows no store: what is to be written is handed to a writer,
// which says what became of it.
//
// Invariants:
//   (a) at most one group is on its way; the next has the newest of each field only;
//   (b) a field that was removed leaves the store, however long that was away;
//   (c) nobody waits longer than `waitMsMax`, and nobody at all while the store is away or owes an answer for longer than that.

import type { Alarm, SetAlarm } from "../../../kernel/alarm.ts";
import { type Buckets, Latency } from "../../../kernel/latency.ts";
import type { Clock } from "../../../kernel/time.ts";

/** Fields and bytes in one group: written and answered well within a store's time to answer. */
export const GROUP_LIMITS = { fieldsMax: 500, bytesMax: 2 * 1_024 * 1_024 } as const;
/** Messages held back at one time; more than that leave at once. */
export const WAITING_MAX = 10_000;

export interface Group {
  /** Field, text, field, text … */
  readonly texts: readonly string[];
  readonly gone: readonly string[];
}

export type GroupFate = "written" | "lost" | "superseded";

export interface GroupCommitOptions {
  readonly clock: Clock;
  readonly setAlarm: SetAlarm;
  /** Soon, but not inside of what is just going on: a state that is being changed is no state to save. */
  readonly soon: (run: () => void) => void;
  /** Between the beginnings of two groups, at least; and from a change that nobody waits for to its group, at most. */
  readonly commitWindowMs: number;
  readonly waitMsMax: number;
  /** Tells the fate exactly once. */
  readonly write: (group: Group, done: (fate: GroupFate) => void) => void;
  /** A field whose text cannot be made: it is left out of the group. */
  readonly onFault: (field: string, error: unknown) => void;
  /** Who was let go has thrown: the others have their turn all the same. */
  readonly onWaiterFault: (error: unknown) => void;
}

const URGENCY = { removed: 0, changed: 1, waited: 2 } as const;
/** So many windows pass before a group goes out for deletions alone. */
const REMOVAL_WINDOWS = 20;

type Why = GroupFate | "late";

/** Since the beginning: what was written, how often somebody waited, and how often in vain. */
export interface CheckpointCounts {
  readonly groups: number;
  readonly fields: number;
  readonly characters: number;
  readonly waits: number;
  readonly late: number;
}

export interface CheckpointTimes {
  /** Of who waited for a commit. */
  readonly waiting: Buckets;
  /** From a group's beginning to the store's answer. */
  readonly writing: Buckets;
}

interface Waiter {
  dueAtMs: number;
  isDone: boolean;
  readonly then: (why: Why) => void;
}

export class GroupCommit {
  readonly #options: GroupCommitOptions;
  /** How to make the newest text of every field that lives. */
  readonly #alive = new Map<string, (field: string) => string>();
  /** Fields that differ in the store: living ones to be written, others to be deleted. */
  readonly #dirty = new Set<string>();
  /** Fields of which something may stand in the store. */
  readonly #written = new Set<string>();
  /** Who waits for the next group with this field. */
  #waiting = new Map<string, Waiter[]>();
  /** The group on its way, and who waits for it. */
  #underWay: Map<string, Waiter[]> | undefined;
  /** In order of their deadlines. */
  readonly #deadlines: Waiter[] = [];
  #state: "up" | "away" | "over" = "away";
  #isLate = false;
  /** The next group; `alarm` undefined: at once. */
  #due: { readonly alarm: Alarm | undefined; readonly urgency: number } | undefined;
  #isWatching = false;
  #beganAtMs = Number.NEGATIVE_INFINITY;
  readonly #times = { waiting: new Latency(), writing: new Latency() };
  readonly #counts = { groups: 0, fields: 0, characters: 0, waits: 0, late: 0 };

  constructor(options: GroupCommitOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#alive.size;
  }

  get counts(): CheckpointCounts {
    return this.#counts;
  }

  get times(): CheckpointTimes {
    return this.#times;
  }

  save(field: string, text: (field: string) => string): void {
    this.#alive.set(field, text);
    this.#dirty.add(field);
    this.#soon();
  }

  remove(field: string): void {
    this.#alive.delete(field);
    // Never written: nothing to delete. So deletions waiting for the store are never more than the fields it may hold.
    if (this.#written.has(field)) this.#dirty.add(field);
    else {
      this.#dirty.delete(field);
      this.#release(this.#takeWaiting(field), "written");
    }
    this.#soon();
  }

  /** These stand in the store, whoever wrote them: removing one of them must reach it. */
  standing(fields: Iterable<string>): void {
    for (const field of fields) this.#written.add(field);
  }

  committed(field: string, then: () => void): void {
    if (this.#state === "over") return;
    const isWaited = this.#dirty.has(field) || this.#underWay?.has(field) === true;
    if (!isWaited || this.#state === "away" || this.#isLate || this.#deadlines.length >= WAITING_MAX) return then();
    const sinceMs = this.#options.clock.nowMs();
    const waiter = this.#waitFor(field, sinceMs + this.#options.waitMsMax, (why) => {
      this.#times.waiting.observe(this.#options.clock.nowMs() - sinceMs);
      if (why !== "superseded") then();
    });
    this.#counts.waits++;
    this.#deadlines.push(waiter);
    this.#watch();
    this.#soon();
  }

  /** Calls back when all that was asked before has met its fate. */
  settled(then: () => void): void {
    const asked = new Set([...this.#dirty, ...(this.#underWay?.keys() ?? [])]);
    if (asked.size === 0 || this.#state !== "up") return then();
    let left = asked.size;
    for (const field of asked)
      this.#waitFor(field, Number.POSITIVE_INFINITY, () => {
        if (--left === 0) then();
      });
    this.#soon();
  }

  /** The store is there, perhaps empty: every living field is told again. */
  up(): void {
    if (this.#state === "over") return;
    this.#state = "up";
    for (const field of this.#alive.keys()) this.#dirty.add(field);
    this.#soon();
  }

  away(): void {
    if (this.#state !== "up") return;
    this.#state = "away";
    this.#releaseAll("lost");
  }

  /** Nothing is written any more, and nobody who waits is let go. */
  over(): void {
    this.#state = "over";
    this.#releaseAll("superseded");
  }

  #waitFor(field: string, dueAtMs: number, then: (why: Why) => void): Waiter {
    const waiter: Waiter = { dueAtMs, isDone: false, then };
    // What is dirty again is not yet what is on its way.
    const waiters = this.#dirty.has(field) ? this.#waiting : (this.#underWay ?? this.#waiting);
    const others = waiters.get(field);
    if (others === undefined) waiters.set(field, [waiter]);
    else others.push(waiter);
    return waiter;
  }

  #takeWaiting(field: string): Waiter[] {
    const waiters = this.#waiting.get(field);
    if (waiters === undefined) return [];
    this.#waiting.delete(field);
    return waiters;
  }

  #releaseAll(why: Why): void {
    const all = [...this.#waiting.values(), ...(this.#underWay?.values() ?? [])];
    this.#waiting = new Map();
    for (const field of this.#underWay?.keys() ?? []) this.#underWay?.set(field, []);
    for (const waiters of all) this.#release(waiters, why);
  }

  #release(waiters: readonly Waiter[], why: Why): void {
    for (const waiter of waiters) {
      if (waiter.isDone) continue;
      waiter.isDone = true;
      try {
        waiter.then(why);
      } catch (error) {
        this.#options.onWaiterFault(error);
      }
    }
    while (this.#deadlines[0]?.isDone) this.#deadlines.shift();
  }

  /** (c): one alarm for all of them. */
  #watch(): void {
    const first = this.#deadlines[0];
    if (this.#isWatching || first === undefined) return;
    this.#isWatching = true;
    this.#options.setAlarm(Math.max(0, first.dueAtMs - this.#options.clock.nowMs()), () => {
      this.#isWatching = false;
      const nowMs = this.#options.clock.nowMs();
      const { waitMsMax } = this.#options;
      // It was we who were away, stopped say: the store gets its time, or we would let go just before another takes over.
      if (nowMs > first.dueAtMs + waitMsMax) {
        for (const waiter of this.#deadlines) waiter.dueAtMs = Math.max(waiter.dueAtMs, nowMs + waitMsMax);
        return this.#watch();
      }
      const late: Waiter[] = [];
      for (const waiter of this.#deadlines) if (!waiter.isDone && waiter.dueAtMs <= nowMs) late.push(waiter);
      if (late.length > 0) this.#isLate = true;
      this.#counts.late += late.length;
      this.#release(late, "late");
      this.#watch();
    });
  }

  /**
   * What nobody waits for is given a window's time to be joined by more: a call changes several times in a moment. What is
   * only to be deleted costs its next owner nothing: it goes with others.
   */
  #soon(): void {
    if (this.#underWay !== undefined || this.#state !== "up" || this.#dirty.size === 0) return;
    const urgency = this.#urgency();
    if (this.#due !== undefined && this.#due.urgency >= urgency) return;
    this.#due?.alarm?.cancel();
    const { clock, commitWindowMs, setAlarm, soon } = this.#options;
    const begin = () => {
      this.#due = undefined;
      this.#begin();
    };
    const afterMs =
      urgency === URGENCY.waited
        ? this.#beganAtMs + commitWindowMs - clock.nowMs()
        : urgency === URGENCY.changed
          ? commitWindowMs
          : REMOVAL_WINDOWS * commitWindowMs;
    // Before it is set: in a test's time an alarm may ring at once.
    this.#due = { alarm: undefined, urgency };
    if (afterMs <= 0) return soon(begin);
    const alarm = setAlarm(afterMs, begin);
    if (this.#due !== undefined) this.#due = { alarm, urgency };
  }

  #urgency(): number {
    if (this.#waiting.size > 0) return URGENCY.waited;
    for (const field of this.#dirty) if (this.#alive.has(field)) return URGENCY.changed;
    return URGENCY.removed;
  }

  #begin(): void {
    if (this.#underWay !== undefined || this.#state !== "up" || this.#dirty.size === 0) return;
    this.#beganAtMs = this.#options.clock.nowMs();
    const underWay = new Map<string, Waiter[]>();
    const texts: string[] = [];
    const gone: string[] = [];
    let characters = 0;
    for (const field of this.#dirty) {
      if (underWay.size >= GROUP_LIMITS.fieldsMax || characters >= GROUP_LIMITS.bytesMax) break;
      this.#dirty.delete(field);
      const waiters = this.#takeWaiting(field);
      const text = this.#textOf(field);
      if (text === "fault") {
        this.#release(waiters, "late");
        continue;
      }
      underWay.set(field, waiters);
      if (text === undefined) gone.push(field);
      else {
        texts.push(field, text.made);
        characters += field.length + text.made.length;
        this.#written.add(field);
      }
    }
    if (underWay.size === 0) return;
    this.#underWay = underWay;
    this.#counts.groups++;
    this.#counts.fields += underWay.size;
    this.#counts.characters += characters;
    this.#options.write({ texts, gone }, (fate) => this.#end(fate, gone));
  }

  #textOf(field: string): { readonly made: string } | "fault" | undefined {
    const text = this.#alive.get(field);
    if (text === undefined) return undefined;
    try {
      return { made: text(field) };
    } catch (error) {
      this.#options.onFault(field, error);
      return "fault";
    }
  }

  #end(fate: GroupFate, gone: readonly string[]): void {
    const group = this.#underWay;
    this.#underWay = undefined;
    if (group === undefined) return;
    this.#times.writing.observe(this.#options.clock.nowMs() - this.#beganAtMs);
    if (fate === "written") {
      this.#isLate = false;
      for (const field of gone) if (!this.#alive.has(field)) this.#written.delete(field);
    } else for (const field of group.keys()) this.#dirty.add(field);
    for (const waiters of group.values()) this.#release(waiters, fate);
    this.#soon();
  }
}
