// A service on paper that outlives its pop processes: the SIP dialogs, the relay's calls and the checkpoints stay, as they do in
// sip-server, rtpengine and Redis; a process can be killed after any step, and the next one takes its calls up.

import { asId, type CallId, type LegId, newId } from "../../../kernel/ids.ts";
import { silentLog } from "../../../kernel/log.ts";
import { seededRng } from "../../../kernel/rng.ts";
import { SimWorld } from "../../../kernel/sim/world.ts";
import { MemoryContactRouting } from "../../adapters/memory/contact-routing.ts";
import { MemoryEventSink } from "../../adapters/memory/event-sink.ts";
import { MemoryMediaRelay } from "../../adapters/memory/media-relay.ts";
import { MemoryMediaServer } from "../../adapters/memory/media-server.ts";
import { MemorySipSignalling } from "../../adapters/memory/sip-signalling.ts";
import { MemorySnapshotStore } from "../../adapters/memory/snapshot-store.ts";
import { MemoryPromptStore } from "../../adapters/prompts/memory-prompt-store.ts";
import { Calls, type Restored } from "../../app/calls.ts";
import type { EventPublisher } from "../../boundary/event-sink.ts";
import type { Saved } from "../../boundary/saved.ts";
import type { IncomingCall, LegRequest, SignallingHost } from "../../boundary/sip-signalling.ts";
import {
  type MemoryBook,
  MemoryCheckpointStore,
  memoryBook,
} from "../../checkpoint/adapters/memory/checkpoint-store.ts";
import type { CheckpointStore } from "../../checkpoint/boundary/checkpoint-store.ts";
import type { CallInput, CallSide } from "../../core/call/call-execution.ts";
import type { CallEvent, ContactRecord } from "../../core/call/contact-record.ts";
import type { RoutingDirective } from "../../core/call/contact-routing.ts";
import type { Snapshot } from "../../core/routing/snapshot.ts";
import { SDP_OF_PHONE } from "../ladders/paper-pop.ts";

interface PaperDialogs {
  caller: "inviting" | "answered" | "gone";
  readonly legs: Map<LegId, "ringing" | "answered" | "gone">;
}

/** What sip-server has of each call; what went over the wire, in order. */
export class PaperDialogsOf {
  readonly calls = new Map<CallId, PaperDialogs>();
  readonly wire: string[] = [];
  #undo: (() => void) | undefined;

  /** The server had not committed what it was asked for last, so it never left: as when a whole host dies. */
  loseLast(): void {
    this.#undo?.();
    this.#undo = undefined;
  }

  /** Everything that was asked for until now has left. */
  commit(): void {
    this.#undo = undefined;
  }

  said(line: string, undo: () => void): void {
    this.wire.push(line);
    this.#undo = () => {
      this.wire.splice(this.wire.lastIndexOf(line), 1);
      undo();
    };
  }

  of(call: CallId): PaperDialogs {
    const known = this.calls.get(call) ?? { caller: "inviting", legs: new Map() };
    this.calls.set(call, known);
    return known;
  }

  end(call: CallId, side: CallSide, how: string): void {
    const dialogs = this.of(call);
    const was = side === "caller" ? dialogs.caller : dialogs.legs.get(side);
    if (was === undefined || was === "gone") return;
    if (side === "caller") dialogs.caller = "gone";
    else dialogs.legs.set(side, "gone");
    this.wire.push(`${how} ${side === "caller" ? side : side.slice(call.length)}`);
  }

  /** Parties that are still up or ringing. */
  get left(): readonly string[] {
    return [...this.calls].flatMap(([call, { caller, legs }]) => [
      ...(caller === "gone" ? [] : [`${call} ${caller}`]),
      ...[...legs].flatMap(([leg, is]) => (is === "gone" ? [] : [`${leg} ${is}`])),
    ]);
  }
}

/** One process's signalling, over dialogs that are not its own: what is wished twice is done once. */
class PaperSignalling extends MemorySipSignalling {
  readonly #dialogs: PaperDialogsOf;
  readonly #claimed = new Map<CallId, readonly LegId[]>();
  readonly #known = new Set<CallId>();
  /** By this process. */
  readonly #placed = new Set<LegId>();
  #told: SignallingHost | undefined;

  constructor(dialogs: PaperDialogsOf) {
    super();
    this.#dialogs = dialogs;
  }

  override async start(host: SignallingHost): Promise<void> {
    this.#told = host;
    await super.start(host);
  }

  /** The server says what it still has, delivers what nobody has answered, and ends what nobody claims. */
  attach(): void {
    for (const [call, { caller, legs }] of [...this.#dialogs.calls]) {
      const claimed = this.#claimed.get(call);
      if (claimed === undefined) {
        if (!this.#known.has(call)) this.#endAll(call);
        continue;
      }
      for (const [leg, is] of [...legs]) {
        if (this.#placed.has(leg)) continue;
        if (!claimed.includes(leg)) this.#dialogs.end(call, leg, is === "ringing" ? "CANCEL" : "BYE");
        else if (is === "answered") this.#told?.signalled(call, { kind: "leg-answered", leg, sdp: SDP_OF_PHONE });
        else if (is === "gone") {
          // Whichever it was waiting for: the other one is no news.
          this.#told?.signalled(call, { kind: "leg-hung-up", leg, reason: "BYE" });
          this.#told?.signalled(call, { kind: "leg-failed", leg, status: 0, detail: "gone" });
        }
      }
      if (caller === "gone") this.#told?.signalled(call, { kind: "caller-hung-up", reason: "BYE" });
    }
  }

  override invited(incoming: IncomingCall): void {
    this.#known.add(incoming.call);
    this.#dialogs.of(incoming.call);
    super.invited(incoming);
  }

  override answer(call: CallId): void {
    const dialogs = this.#dialogs.of(call);
    if (dialogs.caller !== "inviting") return;
    dialogs.caller = "answered";
    this.#dialogs.said("200 caller", () => {
      dialogs.caller = "inviting";
    });
  }

  override reject(call: CallId, status: number): void {
    this.#dialogs.end(call, "caller", String(status));
  }

  override invite(call: CallId, leg: LegId, request: LegRequest): void {
    const { legs } = this.#dialogs.of(call);
    if (legs.has(leg)) return;
    legs.set(leg, "ringing");
    this.#placed.add(leg);
    this.#dialogs.said(`INVITE ${leg.slice(call.length)}`, () => legs.delete(leg));
    super.invite(call, leg, request);
  }

  override cancelLeg(call: CallId, leg: LegId): void {
    this.#dialogs.end(call, leg, this.#dialogs.of(call).legs.get(leg) === "answered" ? "BYE" : "CANCEL");
  }

  override hangUp(call: CallId, side: CallSide): void {
    this.#dialogs.end(call, side, "BYE");
  }

  override forget(call: CallId): void {
    super.forget(call);
    this.#known.delete(call);
    for (const [leg, is] of this.#dialogs.of(call).legs)
      this.#dialogs.end(call, leg, is === "ringing" ? "CANCEL" : "BYE");
  }

  override saved(call: CallId): Saved | undefined {
    if (!this.#known.has(call)) return undefined;
    return [...this.#dialogs.of(call).legs].flatMap(([leg, is]) => (is === "gone" ? [] : [leg]));
  }

  override restore(call: CallId, saved: Saved): void {
    super.restore(call, saved);
    this.#known.add(call);
    this.#claimed.set(call, saved as readonly LegId[]);
  }

  #endAll(call: CallId): void {
    const { legs } = this.#dialogs.of(call);
    for (const leg of legs.keys()) this.#dialogs.end(call, leg, "BYE");
    this.#dialogs.end(call, "caller", this.#dialogs.of(call).caller === "inviting" ? "503" : "BYE");
  }
}

export interface PaperProcess {
  readonly calls: Calls;
  readonly signalling: PaperSignalling;
  readonly relay: MemoryMediaRelay;
  readonly server: MemoryMediaServer;
  readonly routing: MemoryContactRouting;
  readonly store: CheckpointStore;
  readonly events: MemoryEventSink;
  readonly epoch: number;
  /** False from its death on. */
  alive: boolean;
  /** What it still had to write is lost. */
  diesWith(): void;
}

export interface PaperServiceOptions {
  readonly snapshot: Snapshot;
  /** Redis takes so long for a group: what was not yet written when a process dies is lost. 0: nothing ever is. */
  readonly storeMs?: number;
  /** Instead of books in memory. */
  readonly storeOf?: (book: "calls" | "flows", epoch: number) => CheckpointStore;
  /** Relay and worker answer only after so many turns of the event loop. 0: at once. */
  readonly engineTurns?: number;
  /** Where a process's events go; without one they stay where they are, and die with it. */
  readonly publisher?: EventPublisher;
}

export class PaperService {
  readonly world = new SimWorld(1);
  readonly dialogs = new PaperDialogsOf();
  readonly book: MemoryBook = memoryBook();
  readonly flowBook: MemoryBook = memoryBook();
  /** All processes that ever were. */
  readonly processes: PaperProcess[] = [];
  readonly prompts = new MemoryPromptStore();
  snapshot: Snapshot | undefined;
  /** What the wall clock of the next process's host differs by. */
  skewMs = 0;
  readonly #options: PaperServiceOptions;
  readonly #rng = seededRng(7);

  constructor(options: PaperServiceOptions) {
    this.#options = options;
    this.snapshot = options.snapshot;
    this.#spawn();
    void this.now.signalling.start(this.now.calls);
    this.now.routing.start(this.now.calls);
  }

  /** The process that serves, or served last. */
  get now(): PaperProcess {
    const process = this.processes.at(-1);
    if (process === undefined) throw new Error("never started");
    return process;
  }

  /** @param host dies as well, and with it what sip-server was asked for in this moment */
  kill({ host = false } = {}): void {
    this.now.alive = false;
    this.now.diesWith();
    if (host) this.dialogs.loseLast();
  }

  /** @param workerDied the media worker as well, as when a host dies: its twin starts with the endpoints that are in the checkpoints */
  async takeOver({ workerDied = true, diedMsAgo = 0 } = {}): Promise<Restored> {
    const former = this.now;
    this.kill();
    const next = this.#spawn(former, workerDied);
    const restored = await next.calls.restore();
    void next.signalling.start(next.calls);
    next.calls.resume(this.world.unixMs() + this.skewMs - diedMsAgo);
    next.signalling.attach();
    next.routing.start(next.calls);
    await this.settle();
    return restored;
  }

  #spawn(former?: PaperProcess, workerDied = true): PaperProcess {
    const epoch = (former?.epoch ?? 0) + 1;
    const { storeMs = 0, publisher, storeOf } = this.#options;
    const skewMs = this.skewMs;
    const clock = { nowMs: () => this.world.nowMs(), unixMs: () => this.world.unixMs() + skewMs };
    const setAlarm = (afterMs: number, run: () => void) => {
      let live = true;
      this.world.after(Math.max(0, afterMs), () => {
        if (live) run();
      });
      return {
        cancel: () => {
          live = false;
        },
      };
    };
    const time = storeMs > 0 ? { time: { clock, setAlarm, answerMs: storeMs } } : {};
    const signalling = new PaperSignalling(this.dialogs);
    const relay = new MemoryMediaRelay();
    const server = workerDied || former === undefined ? new MemoryMediaServer() : former.server;
    const routing = new MemoryContactRouting();
    if (this.#options.engineTurns !== undefined) {
      for (const command of ["anchor", "offer", "bridge", "park"] as const)
        slow(relay, command, this.#options.engineTurns);
      for (const command of ["open", "connect", "play"] as const) slow(server, command, this.#options.engineTurns);
    }
    const memory = new MemoryCheckpointStore({ book: this.book, epoch, ...time });
    const store = storeOf?.("calls", epoch) ?? memory;
    const flows = storeOf?.("flows", epoch) ?? new MemoryCheckpointStore({ book: this.flowBook, epoch });
    const events = new MemoryEventSink(publisher === undefined ? {} : { publisher, retryAfterMs: 1 });
    let process: PaperProcess | undefined;
    const calls = new Calls(
      {
        regionId: asId<"region">("eu"),
        popId: asId<"pop">("fra-01"),
        hostId: asId<"pop-host">("fra-01-a"),
        limits: { setupTimeoutMs: 5_000, ackGraceMs: 1_000, routingTimeoutMs: 10_000, callMsMax: 3_600_000 },
        callsConcurrentMax: 10_000,
        journalsMax: 10,
      },
      {
        clock,
        setAlarm,
        log: silentLog,
        signalling,
        routing,
        ownership: { epoch, held: () => process?.alive ?? true },
        store,
        flows,
        media: { relay, server, promptsOf: () => this.prompts },
        events,
        snapshots: new MemorySnapshotStore(this.snapshot),
        counted: () => {},
      },
    );
    const diesWith = () => memory.away();
    process = { calls, signalling, relay, server, routing, store, events, epoch, alive: true, diesWith };
    server.onPlayed(({ call, play, how }) => calls.signalled(call, { kind: "played", play, how }));
    relay.onDtmf(({ call, side, digit }) => calls.signalled(call, { kind: "dtmf", side, digit }));
    calls.loadSnapshot();
    this.processes.push(process);
    return process;
  }

  // ---- parties

  async ring(number = "+498912345678"): Promise<CallId> {
    const call = newId<"call">(this.world.unixMs(), this.#rng);
    this.now.signalling.invited({
      call,
      sipCallId: `sip-${call}`,
      sourceAddress: "127.20.0.1",
      requestUri: `sip:${number}@127.10.1.11`,
      callingNumber: "+491700000001",
      maxForwards: 70,
      offer: SDP_OF_PHONE,
    });
    await this.settle();
    return call;
  }

  async says(call: CallId, input: CallInput): Promise<void> {
    const dialogs = this.dialogs.of(call);
    if (input.kind === "caller-hung-up" || input.kind === "caller-cancelled") dialogs.caller = "gone";
    if (input.kind === "leg-answered") dialogs.legs.set(input.leg, "answered");
    if (input.kind === "leg-failed" || input.kind === "leg-hung-up") dialogs.legs.set(input.leg, "gone");
    this.now.signalling.signalled(call, input);
    await this.settle();
  }

  async presses(call: CallId, digit: string): Promise<void> {
    this.now.relay.press(call, "caller", digit);
    await this.settle();
  }

  async promptEnds(call: CallId): Promise<void> {
    this.now.server.finish(call);
    await this.settle();
  }

  async region(directive: RoutingDirective): Promise<void> {
    this.now.routing.direct(directive);
    await this.settle();
  }

  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 100) {
      this.world.runFor(Math.min(100, left));
      this.dialogs.commit();
      await this.settle();
    }
  }

  /** Lets every promise that can go on go on. */
  async settle(turns = 12): Promise<void> {
    for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
  }

  /** What the region would have of a call, had every process's events come through: each id once. */
  eventsOf(call: CallId): readonly CallEvent[] {
    const byId = new Map<string, CallEvent>();
    for (const { events } of this.processes)
      for (const event of events.appended) if (event.callId === call && !byId.has(event.id)) byId.set(event.id, event);
    return [...byId.values()];
  }

  recordsOf(call: CallId): readonly ContactRecord[] {
    return this.eventsOf(call).flatMap(({ record }) => (record === undefined ? [] : [record]));
  }
}

/** The engine does as asked at once; its answer takes a while. */
function slow<Name extends string>(
  engine: { [name in Name]: (...args: never[]) => Promise<unknown> },
  command: Name,
  turns: number,
): void {
  const real = engine[command].bind(engine) as (...args: never[]) => Promise<unknown>;
  engine[command] = (async (...args: never[]) => {
    const answer = await real(...args);
    for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
    return answer;
  }) as (typeof engine)[Name];
}
