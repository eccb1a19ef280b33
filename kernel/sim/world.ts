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
  #agenda: { atMs: InstantMs; sequence: number; run: () => void }[] = [];
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
    this.#agenda.push({ atMs: this.#nowMs + delayMs, sequence: this.#sequence++, run });
  }

  /** Lets `durationMs` of simulated time pass. */
  runFor(durationMs: number): void {
    const untilMs = this.#nowMs + durationMs;
    for (let next = this.#takeNext(untilMs); next; next = this.#takeNext(untilMs)) {
      this.#nowMs = next.atMs;
      next.run();
    }
    this.#nowMs = untilMs;
  }

  #takeNext(untilMs: InstantMs) {
    this.#agenda.sort((a, b) => a.atMs - b.atMs || a.sequence - b.sequence);
    const next = this.#agenda[0];
    return next !== undefined && next.atMs <= untilMs ? this.#agenda.shift() : undefined;
  }
}
