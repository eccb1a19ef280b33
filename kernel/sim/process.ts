// A process of a simulated machine: what is due for it happens while it runs, waits while it is stopped, and never
// happens once it is dead. Its host's clocks go on meanwhile. Knows no telephony.

import type { Alarm } from "../alarm.ts";
import type { Clock, InstantMs } from "../time.ts";
import type { UnixMs } from "../units.ts";
import type { SimWorld } from "./world.ts";

/** A machine: its clocks, and what runs on it. */
export class SimMachine implements Clock {
  readonly name: string;
  readonly world: SimWorld;
  readonly processes = new Set<SimProcess>();
  /** How far its wall clock is off. */
  wallOffsetMs = 0;
  /** When it was started: its monotonic clock counts from there. */
  readonly #startedMs: InstantMs;

  constructor(world: SimWorld, name: string, startedMs: InstantMs = 0) {
    this.world = world;
    this.name = name;
    this.#startedMs = startedMs;
  }

  nowMs(): InstantMs {
    return this.world.nowMs() - this.#startedMs;
  }

  unixMs(): UnixMs {
    return this.world.unixMs() + this.wallOffsetMs;
  }
}

export class SimProcess {
  readonly name: string;
  readonly machine: SimMachine;
  #state: "running" | "stopped" | "dead" = "running";
  #waiting: (() => void)[] = [];
  readonly #whenDead: (() => void)[] = [];
  /** Whose turn it is: what a library asks of the system at large is asked by this one. */
  static current: SimProcess | undefined;

  constructor(machine: SimMachine, name: string) {
    this.machine = machine;
    this.name = name;
    machine.processes.add(this);
  }

  get alive(): boolean {
    return this.#state !== "dead";
  }

  get stopped(): boolean {
    return this.#state === "stopped";
  }

  /** Something reaches it: now, when it goes on again, or never. */
  take(run: () => void): void {
    if (this.#state === "stopped") this.#waiting.push(run);
    else if (this.#state === "running") this.#enter(run);
  }

  after(delayMs: number, run: () => void): Alarm {
    let called = false;
    const alarm = this.machine.world.alarm(Math.max(0, delayMs), () =>
      this.take(() => {
        if (!called) run();
      }),
    );
    return {
      cancel: () => {
        called = true; // also one that fell due while it was stopped
        alarm.cancel();
      },
    };
  }

  readonly setAlarm = (afterMs: number, run: () => void): Alarm => this.after(afterMs, run);

  /** SIGSTOP. */
  stop(): void {
    if (this.#state === "running") this.#state = "stopped";
  }

  /** SIGCONT: what waited is worked off in the order in which it came, a step each. */
  cont(): void {
    if (this.#state !== "stopped") return;
    this.#state = "running";
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const run of waiting) this.machine.world.after(0, () => this.take(run));
  }

  /** SIGKILL. */
  kill(): void {
    if (this.#state === "dead") return;
    this.#state = "dead";
    this.#waiting = [];
    this.machine.processes.delete(this);
    for (const tell of this.#whenDead.splice(0)) tell();
  }

  /** The system's part of its end: sockets close, whatever it was at. */
  whenDead(tell: () => void): void {
    if (this.#state === "dead") tell();
    else this.#whenDead.push(tell);
  }

  #enter(run: () => void): void {
    SimProcess.current = this;
    run();
  }
}
