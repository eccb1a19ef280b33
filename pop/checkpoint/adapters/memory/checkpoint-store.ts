import type { SetAlarm } from "../../../../kernel/alarm.ts";
import { fail, type Outcome, succeed } from "../../../../kernel/outcome.ts";
import type { Clock } from "../../../../kernel/time.ts";
import type { CheckpointStore, StoreAway, Superseded } from "../../boundary/checkpoint-store.ts";
import { type Group, GroupCommit, type GroupFate } from "../group-commit.ts";

/** What all owners of a service share: one per book. */
export interface MemoryBook {
  readonly fields: Map<string, string>;
  epoch: number;
}

export const memoryBook = (): MemoryBook => ({ fields: new Map(), epoch: -1 });

export interface MemoryCheckpointStoreOptions {
  readonly book?: MemoryBook;
  readonly epoch?: number;
  readonly onSuperseded?: (superseded: Superseded) => void;
  /** Simulated time: groups then take `answerMs`, and are cut when the store is away. Without it everything is written at once. */
  readonly time?: { readonly clock: Clock; readonly setAlarm: SetAlarm; readonly answerMs: number };
  readonly waitMsMax?: number;
}

/** A CheckpointStore for tests and simulations; away, back and hanging are the test's to say. */
export class MemoryCheckpointStore implements CheckpointStore {
  readonly #book: MemoryBook;
  readonly #epoch: number;
  readonly #options: MemoryCheckpointStoreOptions;
  readonly #groups: GroupCommit;
  #state: "up" | "away" | "superseded" = "up";
  /** On its way, and not written yet. */
  #underWay: Group | undefined;
  /** Groups that were asked of a store that hangs. */
  #hanging: (() => void)[] | undefined;

  constructor(options: MemoryCheckpointStoreOptions = {}) {
    this.#options = options;
    this.#book = options.book ?? memoryBook();
    this.#epoch = options.epoch ?? 0;
    const { clock, setAlarm } = options.time ?? { clock: NO_TIME, setAlarm: AT_ONCE };
    this.#groups = new GroupCommit({
      clock,
      setAlarm,
      soon: (run) => setAlarm(0, run),
      commitWindowMs: options.time === undefined ? 0 : 5,
      waitMsMax: options.waitMsMax ?? 50,
      write: (group, done) => this.#write(group, done),
      onFault: (_, error) => {
        throw error;
      },
      onWaiterFault: (error) => {
        throw error;
      },
    });
    this.#groups.up();
  }

  /** What a next owner would find. */
  get written(): Map<string, string> {
    return this.#book.fields;
  }

  get counts(): GroupCommit["counts"] {
    return this.#groups.counts;
  }

  away(): void {
    if (this.#state !== "up") return;
    this.#state = "away";
    this.#groups.away();
  }

  /** @param empty as if the store had lost everything */
  back(empty = false): void {
    if (empty) {
      this.#book.fields.clear();
      this.#book.epoch = -1;
    }
    if (this.#state !== "away") return;
    this.#state = "up";
    this.#groups.up();
  }

  /** Its owner is dead. @param landed what was on its way was written, and nobody learnt of it */
  cut(landed: boolean): void {
    if (landed && this.#underWay !== undefined && this.#isOwner()) this.#put(this.#underWay);
    this.away();
  }

  /** Answers nothing until `goOn`. */
  hang(): void {
    this.#hanging ??= [];
  }

  goOn(): void {
    const waiting = this.#hanging ?? [];
    this.#hanging = undefined;
    for (const run of waiting) run();
  }

  save(field: string, text: (field: string) => string): void {
    this.#groups.save(field, text);
  }

  remove(field: string): void {
    this.#groups.remove(field);
  }

  committed(field: string, then: () => void): void {
    this.#groups.committed(field, then);
  }

  async load(): Promise<Outcome<ReadonlyMap<string, string>, StoreAway | Superseded>> {
    const flushed = await this.flush();
    if (!flushed.ok) return flushed;
    if (!this.#isOwner()) return this.health() as Outcome<never, StoreAway | Superseded>;
    this.#groups.standing(this.#book.fields.keys());
    return succeed(new Map(this.#book.fields));
  }

  async flush(): Promise<Outcome<void, StoreAway | Superseded>> {
    await new Promise<void>((resolve) => this.#groups.settled(resolve));
    return this.health();
  }

  health(): Outcome<void, StoreAway | Superseded> {
    if (this.#state === "up") return succeed(undefined);
    if (this.#state === "away") return fail({ code: "store.away", forMs: 0 });
    return fail({ code: "store.superseded", epoch: this.#epoch, by: this.#book.epoch });
  }

  async close(): Promise<void> {
    this.away();
  }

  #write(group: Group, done: (fate: GroupFate) => void): void {
    if (this.#hanging !== undefined) {
      this.#hanging.push(() => this.#write(group, done));
      return;
    }
    this.#underWay = group;
    const finish = () => {
      this.#underWay = undefined;
      if (this.#state === "away") return done("lost");
      if (!this.#isOwner()) return done("superseded");
      this.#put(group);
      done("written");
    };
    const { time } = this.#options;
    if (time === undefined) finish();
    else time.setAlarm(time.answerMs, finish);
  }

  #put({ texts, gone }: Group): void {
    const { fields } = this.#book;
    for (let at = 0; at + 1 < texts.length; at += 2) fields.set(texts[at] ?? "", texts[at + 1] ?? "");
    for (const field of gone) fields.delete(field);
  }

  #isOwner(): boolean {
    if (this.#book.epoch <= this.#epoch) {
      this.#book.epoch = this.#epoch;
      return true;
    }
    if (this.#state !== "superseded") {
      this.#state = "superseded";
      this.#groups.over();
      this.#options.onSuperseded?.({ code: "store.superseded", epoch: this.#epoch, by: this.#book.epoch });
    }
    return false;
  }
}

const NO_TIME: Clock = { nowMs: () => 0, unixMs: () => 0 };
const AT_ONCE: SetAlarm = (_, run) => {
  run();
  return { cancel: () => {} };
};
