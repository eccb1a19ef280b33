// The region's Redis as the hosts see it: books of checkpoints under the owner's epoch, and the relays' databases. It may
// be slow, silent, away, or come back empty.

import type { CallId, PopHostId } from "../../kernel/ids.ts";
import type { SimProcess } from "../../kernel/sim/process.ts";
import type { SimWorld } from "../../kernel/sim/world.ts";
import {
  type MemoryBook,
  MemoryCheckpointStore,
  memoryBook,
} from "../../pop/checkpoint/adapters/memory/checkpoint-store.ts";
import type { CheckpointStore } from "../../pop/checkpoint/boundary/checkpoint-store.ts";
import type { Paths } from "./paths.ts";

const RELAY_WRITE_MS = 2;
/** A client that hears nothing for so long takes its connection for broken. */
const GIVE_UP_MS = 1_000;

interface Opened {
  readonly process: SimProcess;
  readonly store: MemoryCheckpointStore;
}

/** What a relay keeps, and under which epoch: the database that a newer owner has swapped away takes no more writes. */
interface RelayDatabase {
  epoch: number;
  readonly calls: Map<CallId, string>;
}

export class SimRedis {
  readonly #world: SimWorld;
  readonly #paths: Paths;
  readonly #books = new Map<string, MemoryBook>();
  readonly #relays = new Map<PopHostId, RelayDatabase>();
  readonly #epochs = new Map<PopHostId, number>();
  #opened: Opened[] = [];
  #state: "up" | "hung" | "away" = "up";
  answerMs = 1;

  constructor(world: SimWorld, paths: Paths) {
    this.#world = world;
    this.#paths = paths;
  }

  get isUp(): boolean {
    return this.#state === "up";
  }

  book(service: PopHostId, name: string): MemoryBook {
    const key = `${service} ${name}`;
    let book = this.#books.get(key);
    if (book === undefined) {
      book = memoryBook();
      this.#books.set(key, book);
    }
    return book;
  }

  open(process: SimProcess, service: PopHostId, name: string, epoch: number): CheckpointStore {
    const store: MemoryCheckpointStore = new MemoryCheckpointStore({
      book: this.book(service, name),
      epoch,
      onSuperseded: () => process.kill(),
      time: { clock: process.machine, setAlarm: process.setAlarm, answerMs: this.answerMs },
    });
    const opened = { process, store };
    this.#opened.push(opened);
    process.whenDead(() => {
      this.#opened = this.#opened.filter((other) => other !== opened);
      store.cut(this.#state === "up" && this.#world.rng.next() < 0.5); // what was on its way arrives, or does not
    });
    if (this.#state === "away" || !this.#reaches(process)) store.away();
    else if (this.#state === "hung") store.hang();
    return {
      save: (field, text) => store.save(field, text),
      remove: (field) => store.remove(field),
      // Nobody is told anything after its death.
      committed: (field, then) => store.committed(field, () => process.alive && then()),
      load: () => store.load(),
      flush: () => store.flush(),
      health: () => store.health(),
      close: () => store.close(),
    };
  }

  // ---- relays ----

  relayCalls(service: PopHostId): ReadonlyMap<CallId, string> {
    return new Map(this.#relay(service).calls);
  }

  /** A relay's write: on its way for a moment, lost with a Redis that is not there, misdirected once another owns the service. */
  keepRelayed(process: SimProcess, service: PopHostId, epoch: number, call: CallId, text: string | undefined): void {
    this.#world.after(RELAY_WRITE_MS, () => {
      const database = this.#relay(service);
      if (this.#state !== "up" || !this.#reaches(process) || database.epoch > epoch) return;
      if (text === undefined) database.calls.delete(call);
      else database.calls.set(call, text);
    });
  }

  #relay(service: PopHostId): RelayDatabase {
    let database = this.#relays.get(service);
    if (database === undefined) {
      database = { epoch: -1, calls: new Map() };
      this.#relays.set(service, database);
    }
    return database;
  }

  // ---- fencing ----

  /** Older owners are refused from now on. @returns the epoch that is larger already, or undefined */
  fence(service: PopHostId, epoch: number): number | undefined {
    const known = this.#epochs.get(service) ?? -1;
    if (known > epoch) return known;
    this.#epochs.set(service, epoch);
    for (const name of ["calls", "sip", "flows"]) {
      const book = this.book(service, name);
      if (book.epoch < epoch) book.epoch = epoch;
    }
    this.#relay(service).epoch = epoch;
    return undefined;
  }

  // ---- faults ----

  #reaches(process: SimProcess): boolean {
    const at = process.machine.name;
    return this.#paths.isOpen(at, "redis") && this.#paths.isOpen("redis", at);
  }

  /** Answers nobody; those who wait too long take it for away. */
  hang(): void {
    if (this.#state !== "up") return;
    this.#state = "hung";
    for (const { store } of this.#opened) store.hang();
    this.#world.after(GIVE_UP_MS, () => {
      if (this.#state === "hung") for (const { store } of this.#opened) store.away();
    });
  }

  away(): void {
    this.#state = "away";
    for (const { store } of this.#opened) store.away();
  }

  back(isEmpty: boolean): void {
    this.#state = "up";
    if (isEmpty) {
      this.#epochs.clear();
      for (const book of this.#books.values()) {
        book.fields.clear();
        book.epoch = -1;
      }
      for (const database of this.#relays.values()) {
        database.calls.clear();
        database.epoch = -1;
      }
    }
    for (const { process, store } of this.#opened) {
      store.goOn();
      if (this.#reaches(process)) store.back();
    }
  }

  /** The cables of a machine were pulled or put back. */
  pathsChanged(): void {
    if (this.#state !== "up") return;
    for (const { process, store } of this.#opened) {
      if (this.#reaches(process)) {
        store.goOn();
        store.back();
      } else {
        store.hang();
        this.#world.after(GIVE_UP_MS, () => {
          if (!this.#reaches(process)) store.away();
        });
      }
    }
  }
}
