// Who can reach whom inside a region, and connections over it: in order, complete, and silent while a cable is out.

import type { SimProcess } from "../../kernel/sim/process.ts";
import type { SimWorld } from "../../kernel/sim/world.ts";

/** TCP tries again while nothing comes through; a connection that has been mute for so long is given up by both ends. */
const RETRY_MS = 200;
const MUTE_MS_MAX = 8_000;

/** One-way cables between machines and servers, by name. */
export class Paths {
  readonly #cut = new Map<string, number>();
  readonly #alone = new Set<string>();

  /** Cuts may overlap: each is mended once. */
  cut(from: string, to: string): void {
    const path = `${from}>${to}`;
    this.#cut.set(path, (this.#cut.get(path) ?? 0) + 1);
  }

  mend(from: string, to: string): void {
    const path = `${from}>${to}`;
    this.#cut.set(path, Math.max(0, (this.#cut.get(path) ?? 0) - 1));
  }

  /** Off from everybody. */
  isolate(machine: string, isAlone: boolean): void {
    if (isAlone) this.#alone.add(machine);
    else this.#alone.delete(machine);
  }

  isOpen(from: string, to: string): boolean {
    if (this.#alone.has(from) || this.#alone.has(to)) return from === to;
    return (this.#cut.get(`${from}>${to}`) ?? 0) === 0;
  }
}

/** One end of a connection: a process of a machine, or a server that never dies (`process` undefined). */
export interface ChannelEnd {
  readonly at: string;
  readonly process: SimProcess | undefined;
  closed(): void;
}

export class Channel {
  readonly #world: SimWorld;
  readonly #paths: Paths;
  readonly #ends: readonly [ChannelEnd, ChannelEnd];
  readonly #latencyMs: number;
  readonly #queues: [(() => void)[], (() => void)[]] = [[], []];
  readonly #mutedSinceMs: [number | undefined, number | undefined] = [undefined, undefined];
  isOpen = true;

  constructor(world: SimWorld, paths: Paths, ends: readonly [ChannelEnd, ChannelEnd], latencyMs: number) {
    this.#world = world;
    this.#paths = paths;
    this.#ends = ends;
    this.#latencyMs = latencyMs;
    ends[0].process?.whenDead(() => this.close(0));
    ends[1].process?.whenDead(() => this.close(1));
  }

  /** From end `by` to the other one. */
  send(by: 0 | 1, deliver: () => void): void {
    if (!this.isOpen) return;
    const queue = this.#queues[by];
    queue.push(deliver);
    if (queue.length === 1) this.#world.after(this.#latencyMs, () => this.#pump(by));
  }

  #pump(by: 0 | 1): void {
    const queue = this.#queues[by];
    if (!this.isOpen || queue.length === 0) return;
    const from = this.#ends[by];
    const to = this.#ends[by === 0 ? 1 : 0];
    // An acknowledgement has to come back: a one-way cut mutes both.
    if (!this.#paths.isOpen(from.at, to.at) || !this.#paths.isOpen(to.at, from.at)) {
      const sinceMs = this.#mutedSinceMs[by] ?? this.#world.nowMs();
      this.#mutedSinceMs[by] = sinceMs;
      if (this.#world.nowMs() - sinceMs > MUTE_MS_MAX) this.#drop();
      else this.#world.after(RETRY_MS, () => this.#pump(by));
      return;
    }
    this.#mutedSinceMs[by] = undefined;
    for (const deliver of queue.splice(0)) {
      if (to.process === undefined) deliver();
      else to.process.take(() => this.isOpen && deliver());
    }
  }

  /** End `by` closes: the other one hears of it, when a cable is there. */
  close(by: 0 | 1): void {
    if (!this.isOpen) return;
    const other = this.#ends[by === 0 ? 1 : 0];
    const own = this.#ends[by];
    this.#world.after(this.#latencyMs, () => {
      if (!this.isOpen) return;
      // What was sent before the end arrives before it.
      this.#pump(by);
      if (!this.isOpen) return;
      if (this.#paths.isOpen(own.at, other.at)) this.#drop();
      else this.#world.after(MUTE_MS_MAX, () => this.#drop());
    });
  }

  #drop(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    for (const end of this.#ends) {
      if (end.process === undefined) end.closed();
      else end.process.take(() => end.closed());
    }
  }
}
