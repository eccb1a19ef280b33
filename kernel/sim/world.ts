import type { Alarm } from "../alarm.ts";
import { type Rng, seededRng } from "../rng.ts";
import type { Clock, InstantMs } from "../time.ts";

/** How one direction of a link behaves. Rates are probabilities in [0, 1]. */
export interface LinkFaults {
  readonly delayMs: number;
  readonly jitterMs?: number;
  readonly lossRate?: number;
  readonly duplicateRate?: number;
}

type Receive = (payload: unknown, from: string) => void;

/** One datagram that arrived, or, if lost, that was sent in vain. */
export interface Arrival {
  readonly atMs: InstantMs;
  readonly from: string;
  readonly to: string;
  readonly payload: unknown;
  readonly lost: boolean;
}

/**
 * A network and a clock that exist only in memory. Nothing here waits: time
 * jumps to the next thing that happens. Same seed and same calls, same history.
 */
export class SimWorld implements Clock {
  readonly rng: Rng;
  readonly history: Arrival[] = [];
  #nowMs: InstantMs = 0;
  #sequence = 0;
  readonly #agenda: Due[] = [];
  readonly #nodes = new Map<string, Receive>();
  readonly #faults = new Map<string, LinkFaults>();
  readonly #dropNext = new Map<string, number>();

  readonly seed: number;
  readonly defaults: LinkFaults;

  constructor(seed: number, defaults: LinkFaults = { delayMs: 20 }) {
    this.seed = seed;
    this.defaults = defaults;
    this.rng = seededRng(seed);
  }

  nowMs(): InstantMs {
    return this.#nowMs;
  }

  /** Simulated wall clock: starts at 2026-01-01T00:00:00Z. */
  unixMs(): number {
    return Date.UTC(2026, 0, 1) + this.#nowMs;
  }

  attach(name: string, receive: Receive): void {
    this.#nodes.set(name, receive);
  }

  /** Sets the behaviour of the one-way link `from` to `to`. */
  link(from: string, to: string, faults: LinkFaults): void {
    this.#faults.set(`${from}>${to}`, faults);
  }

  /** Loses exactly the next `count` datagrams on the link, whatever its loss rate. */
  dropNext(from: string, to: string, count = 1): void {
    this.#dropNext.set(`${from}>${to}`, count);
  }

  send(from: string, to: string, payload: unknown): void {
    const link = `${from}>${to}`;
    const faults = this.#faults.get(link) ?? this.defaults;
    const pending = this.#dropNext.get(link) ?? 0;
    if (pending > 0) this.#dropNext.set(link, pending - 1);
    if (pending > 0 || this.rng.next() < (faults.lossRate ?? 0)) {
      this.history.push({ atMs: this.#nowMs, from, to, payload, lost: true });
      return;
    }
    const copies = this.rng.next() < (faults.duplicateRate ?? 0) ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) {
      const delayMs = faults.delayMs + this.rng.next() * (faults.jitterMs ?? 0);
      this.after(delayMs, () => {
        this.history.push({ atMs: this.#nowMs, from, to, payload, lost: false });
        this.#nodes.get(to)?.(payload, from);
      });
    }
  }

  after(delayMs: number, run: () => void): void {
    this.#put(delayMs, run);
  }

  /** As `after`, and may be called off. */
  alarm(delayMs: number, run: () => void): Alarm {
    const due = this.#put(delayMs, run);
    return {
      cancel: () => {
        due.run = undefined;
      },
    };
  }

  /** Lets `durationMs` of simulated time pass. */
  runFor(durationMs: number): void {
    const untilMs = this.#nowMs + durationMs;
    while (this.step(untilMs));
    this.#nowMs = untilMs;
  }

  /** The next thing that happens by then; false: nothing does, and time stands where it stood. */
  step(untilMs: InstantMs): boolean {
    for (;;) {
      const next = this.#agenda[0];
      if (next === undefined || next.atMs > untilMs) return false;
      this.#takeFirst();
      if (next.run === undefined) continue; // called off
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.run();
      return true;
    }
  }

  /** To the end of a time in which `step` found nothing more. */
  skipTo(untilMs: InstantMs): void {
    this.#nowMs = Math.max(this.#nowMs, untilMs);
  }

  // ---- the agenda: a binary heap, earliest first, and of one moment in the order of asking ----

  #put(delayMs: number, run: () => void): Due {
    const due: Due = { atMs: this.#nowMs + delayMs, sequence: this.#sequence++, run };
    const heap = this.#agenda;
    let at = heap.length;
    heap.push(due);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent];
      if (above === undefined || !isBefore(due, above)) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = due;
    return due;
  }

  #takeFirst(): void {
    const heap = this.#agenda;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      let below = heap[child];
      const other = heap[child + 1];
      if (below === undefined) break;
      if (other !== undefined && isBefore(other, below)) {
        child += 1;
        below = other;
      }
      if (!isBefore(below, last)) break;
      heap[at] = below;
      at = child;
    }
    heap[at] = last;
  }
}

interface Due {
  readonly atMs: InstantMs;
  readonly sequence: number;
  /** undefined: called off. */
  run: (() => void) | undefined;
}

const isBefore = (a: Due, b: Due): boolean => a.atMs < b.atMs || (a.atMs === b.atMs && a.sequence < b.sequence);
