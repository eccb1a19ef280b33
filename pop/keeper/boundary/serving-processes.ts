import type { PopHostId } from "../../../kernel/ids.ts";
import type { InstantMs } from "../../../kernel/time.ts";
import type { UnixMs } from "../../../kernel/units.ts";
import type { ProcessName } from "../core/keeper-words.ts";

export interface ServeWith {
  readonly epoch: number;
  readonly untilMs: InstantMs;
  /** Absent at a first start. */
  readonly formerDiedAtUnixMs?: UnixMs;
  /** Absent: the store is away, the relay begins with nothing and keeps nothing. */
  readonly relayDatabase?: number;
}

/** What a person or the one who started the keeper sees of a process. */
export interface ShownProcess {
  /** Undefined for a spare. */
  readonly service: PopHostId | undefined;
  readonly process: ProcessName;
  readonly state: "starting" | "ready" | "waiting" | "stopped" | "spare";
  readonly pid: number | undefined;
  readonly restarts: number;
  /** How its last one ended, if that was not asked for. */
  readonly lastEnd: ProcessEnd | undefined;
}

export interface ProcessEnd {
  readonly exitCode: number | null;
  readonly signal: string | null;
  /** What it wrote last: where the reason is. */
  readonly lastLines: readonly string[];
}

export interface ServingProcessesHear {
  serving(service: PopHostId, process: ProcessName): void;
  died(service: PopHostId, process: ProcessName): void;
  pong(service: PopHostId, process: ProcessName): void;
  emptied(service: PopHostId): void;
  ended(service: PopHostId): void;
  superseded(service: PopHostId, by: number): void;
  /** `shown()` is another now. */
  changed(): void;
}

/** The processes of this host: those that serve, and spares. */
export interface ServingProcesses {
  listen(hears: ServingProcessesHear): void;
  /** → serving or died */
  start(service: PopHostId, process: ProcessName, how: ServeWith): void;
  /** SIGKILL → died */
  kill(service: PopHostId, process: ProcessName): void;
  /** SIGKILL → ended, once all are reaped; also where none runs. */
  killAll(service: PopHostId): void;
  /** SIGTERM, SIGKILL after their time → ended */
  stopAll(service: PopHostId): void;
  /** → emptied, once all that live have written what they have. */
  empty(service: PopHostId): void;
  extendLease(service: PopHostId, untilMs: InstantMs): void;
  /** → pong of each that answers */
  ping(service: PopHostId): void;
  /** Spares are started while this holds, one at a time: not before the first services run, never during a takeover. */
  keepSpares(wanted: boolean): void;
  shown(): readonly ShownProcess[];
  /** An operator's or a test's wish: SIGTERM, and not started again before `release`. */
  hold(service: PopHostId, process: ProcessName, signal: "SIGTERM" | "SIGKILL"): void;
  release(service: PopHostId, process: ProcessName): void;
  /** Spares too. Resolves when nothing is left. */
  end(): Promise<void>;
}
