// The processes of a host: four for each service it serves, and one warm spare of each of our own three kinds.
// A spare becomes what is needed; where none is at hand a process starts cold. When and whether is the keeper's to say.

import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import type { PopHostId } from "../../../../kernel/ids.ts";
import type { Log } from "../../../../kernel/log.ts";
import { fail, type Outcome, succeed } from "../../../../kernel/outcome.ts";
import type { KeptSays } from "../../../../kernel/shell/kept.ts";
import type {
  ProcessEnd,
  ServeWith,
  ServingProcesses,
  ServingProcessesHear,
  ShownProcess,
} from "../../boundary/serving-processes.ts";
import type { ProcessName } from "../../core/keeper-words.ts";
import { Child } from "./child.ts";
import { RelayPings, untilPortFree } from "./relay-pings.ts";

export type KeptName = Exclude<ProcessName, "rtpengine">;

export interface ServicePlan {
  readonly service: PopHostId;
  readonly configs: Readonly<Record<KeptName, unknown>>;
  /** Removed before the media worker starts. */
  readonly mediaWorkerSocket: string;
  readonly relay: {
    readonly ng: { readonly host: string; readonly port: number };
    /** Undefined: it keeps its calls nowhere. */
    spawn(database: number | undefined): {
      readonly command: string;
      readonly args: readonly string[];
      readonly files: readonly { readonly path: string; readonly text: string }[];
    };
  };
}

export interface HostProcessesSettings {
  readonly host: PopHostId;
  readonly node: string;
  readonly programs: Readonly<Record<KeptName, { readonly main: string; readonly nodeFlags: readonly string[] }>>;
  readonly services: readonly ServicePlan[];
  readonly spares: boolean;
  readonly spareAfterMs: number;
  readonly stopMs: number;
  readonly logLevel: string;
}

const KEPT: readonly KeptName[] = ["sip-server", "media-worker", "pop"];
const PORT_FREE_MS_MAX = 1_000;
const RELAY_ASK_EVERY_MS = 10;
/** A spare that will not start costs a try in so long, not more. */
const SPARE_AGAIN_MS = 10_000;

/** "fra-01-a/pop", and where a host serves its twin's service "fra-01-a/pop@fra-01-b". */
export const shownName = (host: PopHostId, process: ProcessName, service: PopHostId | undefined): string =>
  service === undefined ? `${host}/spare-${process}` : `${host}/${process}${service === host ? "" : `@${service}`}`;

/** A kept process from its spawn on, whether it is a spare or serves. */
interface Warm {
  readonly child: Child;
  readonly kind: KeptName;
  spare: boolean;
  /** What it becomes, once it is one. */
  slot: Slot | undefined;
  serveWith: ServeWith | undefined;
}

interface Slot {
  readonly plan: ServicePlan;
  readonly process: ProcessName;
  child: Child | undefined;
  warm: Warm | undefined;
  pings: RelayPings | undefined;
  asking: NodeJS.Timeout | undefined;
  state: ShownProcess["state"];
  starts: number;
  lastEnd: ProcessEnd | undefined;
  /** Held: a start that is wanted waits in `wanted`. */
  held: boolean;
  wanted: ServeWith | undefined;
  /** Counts starts, so that what a former one still does is not taken for the next one's. */
  turn: number;
}

interface Going {
  /** Deaths are expected, and told as one "ended". */
  readonly how: "kill" | "stop";
  timer: NodeJS.Timeout | undefined;
  /** Told to stop already: a second SIGTERM would mean "at once". */
  readonly asked: Set<Slot>;
}

export class HostProcesses implements ServingProcesses {
  readonly #settings: HostProcessesSettings;
  readonly #log: Log;
  readonly #line: (process: string, line: string) => void;
  readonly #slots = new Map<PopHostId, Map<ProcessName, Slot>>();
  readonly #spares = new Map<KeptName, Warm>();
  readonly #going = new Map<PopHostId, Going>();
  readonly #emptying = new Map<PopHostId, Set<ProcessName>>();
  #hears: ServingProcessesHear | undefined;
  #sparesWanted = false;
  #drained = false;
  #spareTimer: NodeJS.Timeout | undefined;
  #ended = false;

  /** @param line what a process writes, under its name */
  constructor(settings: HostProcessesSettings, log: Log, line: (process: string, line: string) => void) {
    this.#settings = settings;
    this.#log = log;
    this.#line = line;
    for (const plan of settings.services) {
      const slots = new Map<ProcessName, Slot>();
      for (const process of [...KEPT, "rtpengine"] as const)
        slots.set(process, {
          plan,
          process,
          child: undefined,
          warm: undefined,
          pings: undefined,
          asking: undefined,
          state: "stopped",
          starts: 0,
          lastEnd: undefined,
          held: false,
          wanted: undefined,
          turn: 0,
        });
      this.#slots.set(plan.service, slots);
    }
  }

  listen(hears: ServingProcessesHear): void {
    this.#hears = hears;
  }

  start(service: PopHostId, process: ProcessName, how: ServeWith): void {
    const slot = this.#slot(service, process);
    if (slot === undefined || this.#ended) return;
    if (slot.held) {
      slot.wanted = how;
      return;
    }
    slot.starts++;
    slot.turn++;
    this.#set(slot, "starting");
    try {
      if (process !== "rtpengine") return this.#startKept(slot, process, how);
      const { turn } = slot;
      // A full disk or a secret that cannot be read costs a try, not the keeper and with it the host.
      this.#startRelay(slot, how, turn).catch((error) => {
        if (slot.turn === turn) this.#cannotStart(slot, error);
      });
    } catch (error) {
      this.#cannotStart(slot, error);
    }
  }

  #cannotStart(slot: Slot, error: unknown): void {
    this.#log.error("process.cannot-start", { name: this.#name(slot), error });
    this.#set(slot, "waiting");
    this.#hears?.died(slot.plan.service, slot.process);
  }

  kill(service: PopHostId, process: ProcessName): void {
    const slot = this.#slot(service, process);
    if (slot?.child === undefined) this.#hears?.died(service, process);
    else slot.child.signal("SIGKILL");
  }

  killAll(service: PopHostId): void {
    clearTimeout(this.#going.get(service)?.timer);
    this.#going.set(service, { how: "kill", timer: undefined, asked: new Set() });
    for (const slot of this.#all(service)) {
      slot.turn++; // one that is still being started is not wanted any more
      slot.wanted = undefined;
      slot.child?.signal("SIGKILL");
    }
    this.#endedIfGone(service);
  }

  stopAll(service: PopHostId): void {
    if (this.#going.has(service)) return;
    const timer = setTimeout(() => this.killAll(service), this.#settings.stopMs);
    this.#going.set(service, { how: "stop", timer, asked: new Set() });
    for (const slot of this.#all(service)) {
      slot.turn++;
      slot.wanted = undefined;
    }
    this.#stopNext(service);
  }

  empty(service: PopHostId): void {
    const busy = this.#all(service).filter(({ warm, state }) => warm !== undefined && state === "ready");
    this.#emptying.set(service, new Set(busy.map(({ process }) => process)));
    for (const { child } of busy) child?.say({ kind: "hand-over" });
    this.#emptied(service, undefined);
  }

  extendLease(service: PopHostId, untilMs: number): void {
    for (const slot of this.#all(service)) {
      if (slot.warm?.serveWith !== undefined)
        slot.warm.serveWith = { ...slot.warm.serveWith, untilMs }; // not a spare yet: it hears it with its first word
      else if (slot.warm !== undefined) slot.child?.say({ kind: "lease", untilMs });
      if (slot.wanted !== undefined) slot.wanted = { ...slot.wanted, untilMs };
    }
  }

  ping(service: PopHostId): void {
    for (const slot of this.#all(service)) {
      if (slot.state !== "ready") continue;
      if (slot.process === "rtpengine") slot.pings?.ask();
      else slot.child?.say({ kind: "ping", n: slot.turn });
    }
  }

  /** A pop that begins to serve takes no new calls from its first moment on. One that serves is told by its own HTTP. */
  drain(on: boolean): void {
    this.#drained = on;
  }

  keepSpares(wanted: boolean): void {
    this.#sparesWanted = wanted && this.#settings.spares;
    if (this.#sparesWanted) this.#spareSoon(this.#settings.spareAfterMs);
  }

  shown(): readonly ShownProcess[] {
    const serving = [...this.#slots.values()].flatMap((slots) =>
      [...slots.values()]
        .filter(({ starts, state }) => starts > 0 || state !== "stopped")
        .map(({ plan, process, state, child, starts, lastEnd }) => ({
          service: plan.service,
          process,
          state,
          pid: child?.pid,
          restarts: Math.max(0, starts - 1),
          lastEnd,
        })),
    );
    const spares = [...this.#spares.values()].map(({ kind, child, spare }) => ({
      service: undefined,
      process: kind,
      state: spare ? ("spare" as const) : ("starting" as const),
      pid: child.pid,
      restarts: 0,
      lastEnd: undefined,
    }));
    return [...serving, ...spares];
  }

  /** @fails service.unknown, process.unknown */
  knows(
    service: PopHostId,
    process: string,
  ): Outcome<ProcessName, { readonly code: "service.unknown" | "process.unknown" }> {
    const slots = this.#slots.get(service);
    if (slots === undefined) return fail({ code: "service.unknown" });
    const found = [...slots.keys()].find((one) => one === process);
    return found === undefined ? fail({ code: "process.unknown" }) : succeed(found);
  }

  hold(service: PopHostId, process: ProcessName, signal: "SIGTERM" | "SIGKILL"): void {
    const slot = this.#slot(service, process);
    if (slot === undefined) return;
    slot.held = true;
    slot.child?.signal(signal);
  }

  release(service: PopHostId, process: ProcessName): void {
    const slot = this.#slot(service, process);
    if (slot === undefined) return;
    const { wanted } = slot;
    slot.held = false;
    slot.wanted = undefined;
    slot.starts = 0;
    if (wanted !== undefined) this.start(service, process, wanted);
  }

  async end(): Promise<void> {
    this.#ended = true;
    this.#sparesWanted = false;
    clearTimeout(this.#spareTimer);
    for (const service of this.#slots.keys()) this.killAll(service);
    for (const { child } of this.#spares.values()) child.signal("SIGKILL");
    while (this.#spares.size > 0 || [...this.#slots.keys()].some((service) => this.#alive(service).length > 0))
      await new Promise((resolve) => setTimeout(resolve, 5));
  }

  // --- kept processes -------------------------------------------------------------------------------------------------

  #startKept(slot: Slot, kind: KeptName, how: ServeWith): void {
    if (kind === "media-worker") rmSync(slot.plan.mediaWorkerSocket, { force: true });
    const warm = this.#spares.get(kind) ?? this.#spawnWarm(kind);
    this.#spares.delete(kind);
    warm.slot = slot;
    warm.serveWith = how;
    slot.warm = warm;
    slot.child = warm.child;
    if (warm.spare) this.#serve(warm);
    this.#set(slot, "starting"); // with its pid
    this.#spareSoon(this.#settings.spareAfterMs);
  }

  #spawnWarm(kind: KeptName): Warm {
    const { node, programs, logLevel } = this.#settings;
    const { main, nodeFlags } = programs[kind];
    const warm: Warm = {
      kind,
      spare: false,
      slot: undefined,
      serveWith: undefined,
      child: new Child(
        { command: node, args: [...nodeFlags, main, "--kept", "--log-level", logLevel], kept: true, process: kind },
        {
          line: (line) => this.#line(this.#nameOf(warm), line),
          said: (what) => this.#said(warm, what),
          ended: (end) => this.#warmEnded(warm, end),
        },
      ),
    };
    return warm;
  }

  #serve(warm: Warm): void {
    const { slot, serveWith: how } = warm;
    if (slot === undefined || how === undefined) return;
    warm.serveWith = undefined;
    const { epoch, untilMs, formerDiedAtUnixMs } = how;
    warm.child.say({
      kind: "serve",
      config: this.#configOf(slot.plan, warm.kind),
      epoch,
      untilMs,
      ...(formerDiedAtUnixMs === undefined ? {} : { formerDiedAtUnixMs }),
    });
  }

  #configOf({ configs }: ServicePlan, kind: KeptName): unknown {
    const config = configs[kind];
    return kind === "pop" && this.#drained ? { ...(config as object), draining: true } : config;
  }

  #said(warm: Warm, what: KeptSays): void {
    const { slot } = warm;
    if (what.kind === "spare") {
      warm.spare = true;
      if (slot !== undefined) this.#serve(warm);
      else {
        this.#hears?.changed();
        this.#spareSoon(0);
      }
      return;
    }
    if (slot === undefined || slot.warm !== warm) return;
    const { service } = slot.plan;
    switch (what.kind) {
      case "serving":
        this.#set(slot, "ready");
        this.#hears?.serving(service, slot.process);
        return;
      case "pong":
        this.#hears?.pong(service, slot.process);
        return;
      case "ready-to-go":
        this.#emptied(service, slot.process);
        return;
      case "superseded":
        this.#hears?.superseded(service, what.by);
        return;
    }
  }

  #warmEnded(warm: Warm, end: ProcessEnd): void {
    if (warm.slot !== undefined) return this.#slotEnded(warm.slot, warm.child, end);
    this.#spares.delete(warm.kind);
    if (this.#ended) return;
    const { exitCode, signal, lastLines } = end;
    this.#log.warn("spare.died", { kind: warm.kind, exitCode, signal, said: lastLines.at(-1) ?? "" });
    this.#hears?.changed();
    this.#spareSoon(SPARE_AGAIN_MS);
  }

  #spareSoon(afterMs: number): void {
    clearTimeout(this.#spareTimer);
    if (this.#ended || !this.#settings.spares) return;
    this.#spareTimer = setTimeout(() => this.#nextSpare(), afterMs);
  }

  /** One at a time: loading is work for a core. */
  #nextSpare(): void {
    if (!this.#sparesWanted || [...this.#spares.values()].some(({ spare }) => !spare)) return;
    const kind = KEPT.find((one) => !this.#spares.has(one));
    if (kind === undefined) return;
    this.#spares.set(kind, this.#spawnWarm(kind));
    this.#hears?.changed();
  }

  // --- the relay ------------------------------------------------------------------------------------------------------

  async #startRelay(slot: Slot, how: ServeWith, turn: number): Promise<void> {
    const { relay, service } = slot.plan;
    await untilPortFree(relay.ng, PORT_FREE_MS_MAX);
    if (slot.turn !== turn || this.#ended) return;
    const { command, args, files } = relay.spawn(how.relayDatabase);
    for (const { path, text } of files) {
      mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
      writeFileSync(path, text, { mode: 0o600 });
    }
    const child = new Child(
      { command, args, kept: false, process: "rtpengine" },
      {
        line: (line) => this.#line(this.#name(slot), line),
        ended: (end) => this.#slotEnded(slot, child, end),
      },
    );
    slot.child = child;
    slot.pings = new RelayPings(relay.ng, () => {
      if (slot.child !== child) return;
      if (slot.state === "ready") return this.#hears?.pong(service, "rtpengine");
      clearInterval(slot.asking);
      this.#set(slot, "ready");
      this.#hears?.serving(service, "rtpengine");
    });
    slot.asking = setInterval(() => slot.pings?.ask(), RELAY_ASK_EVERY_MS);
    this.#set(slot, "starting");
  }

  // --- ends -----------------------------------------------------------------------------------------------------------

  #slotEnded(slot: Slot, child: Child, end: ProcessEnd): void {
    if (slot.child !== child) return;
    const { service } = slot.plan;
    const { exitCode, signal, lastLines } = end;
    const pid = child.pid;
    slot.child = undefined;
    slot.warm = undefined;
    clearInterval(slot.asking);
    slot.pings?.close();
    slot.pings = undefined;
    const going = this.#going.get(service);
    if (going !== undefined) {
      this.#set(slot, "stopped");
      if (going.how === "stop") this.#stopNext(service);
      return this.#endedIfGone(service);
    }
    if (slot.held) this.#log.info("process.stopped", { name: this.#name(slot), pid, exitCode, signal });
    else {
      slot.lastEnd = end;
      this.#log.warn("process.ended", { name: this.#name(slot), pid, exitCode, signal, said: lastLines.at(-1) ?? "" });
    }
    this.#set(slot, slot.held ? "stopped" : "waiting");
    this.#emptied(service, slot.process);
    this.#hears?.died(service, slot.process);
  }

  /** pop first: it has calls to end, and needs the others for it. */
  #stopNext(service: PopHostId): void {
    const alive = this.#alive(service);
    const pop = alive.find(({ process }) => process === "pop");
    const asked = this.#going.get(service)?.asked;
    for (const slot of pop === undefined ? alive : [pop]) {
      if (asked?.has(slot) === false) slot.child?.signal("SIGTERM");
      asked?.add(slot);
    }
    this.#endedIfGone(service);
  }

  #endedIfGone(service: PopHostId): void {
    const going = this.#going.get(service);
    if (going === undefined || this.#alive(service).length > 0) return;
    clearTimeout(going.timer);
    this.#going.delete(service);
    for (const slot of this.#all(service)) {
      slot.starts = 0;
      this.#set(slot, "stopped");
    }
    setImmediate(() => this.#hears?.ended(service));
  }

  #emptied(service: PopHostId, process: ProcessName | undefined): void {
    const waiting = this.#emptying.get(service);
    if (waiting === undefined) return;
    if (process !== undefined) waiting.delete(process);
    if (waiting.size > 0) return;
    this.#emptying.delete(service);
    setImmediate(() => this.#hears?.emptied(service));
  }

  #alive(service: PopHostId): Slot[] {
    return this.#all(service).filter(({ child }) => child !== undefined);
  }

  #all(service: PopHostId): Slot[] {
    return [...(this.#slots.get(service)?.values() ?? [])];
  }

  #slot(service: PopHostId, process: ProcessName): Slot | undefined {
    return this.#slots.get(service)?.get(process);
  }

  #set(slot: Slot, state: ShownProcess["state"]): void {
    slot.state = state;
    this.#hears?.changed();
  }

  #name(slot: Slot): string {
    return shownName(this.#settings.host, slot.process, slot.plan.service);
  }

  #nameOf(warm: Warm): string {
    return shownName(this.#settings.host, warm.kind, warm.slot?.plan.service);
  }
}
