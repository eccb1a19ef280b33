// All calls of this host: lets them in, finds each its flow, hands every input to the right one, and remembers
// enough of them for those who ask.

import {
  asId,
  type CallId,
  type PopHostId,
  type PopId,
  type RegionId,
  type TenantId,
  type TrunkId,
} from "../../kernel/ids.ts";
import { fail, type Outcome, succeed } from "../../kernel/outcome.ts";
import type { Ownership } from "../../kernel/ownership.ts";
import type { UnixMs } from "../../kernel/units.ts";
import type { ContactRoutingHost } from "../boundary/contact-routing.ts";
import type { EventSink } from "../boundary/event-sink.ts";
import type { RegionCommand, RegionLinkHost, SnapshotRefused } from "../boundary/region-link.ts";
import type { IncomingCall, SignallingHost } from "../boundary/sip-signalling.ts";
import type { SnapshotStore } from "../boundary/snapshot-store.ts";
import type { CheckpointStore } from "../checkpoint/boundary/checkpoint-store.ts";
import { type AdmissionState, admit, noCalls, readmit, release } from "../core/admission/admission.ts";
import type { CallContext, CallInput, CallLimits } from "../core/call/call-execution.ts";
import { stepCall } from "../core/call/call-machine.ts";
import type { CallBasics, CallState } from "../core/call/call-state.ts";
import type { CallEvent, ContactRecord } from "../core/call/contact-record.ts";
import type { HeldContacts, HeldOffer, RoutingDirective, WaitingContact } from "../core/call/contact-routing.ts";
import type { CallFailure } from "../core/failure/call-failure.ts";
import { judge } from "../core/failure/judge.ts";
import type { Flow } from "../core/ivr/flow.ts";
import { compile } from "../core/routing/compile-snapshot.ts";
import { type Route, routeCall } from "../core/routing/resolve-number.ts";
import type { RoutingTable } from "../core/routing/routing-table.ts";
import type { Snapshot } from "../core/routing/snapshot.ts";
import { closable, readCheckpoint } from "./call-checkpoint.ts";
import { CallMedia, type MediaEngines } from "./call-media.ts";
import { CallRunner, type RunnerWorld } from "./call-runner.ts";
import { type CallJournal, Journals } from "./journal.ts";
import { PinnedFlows } from "./pinned-flows.ts";
import { UnconfirmedRecords } from "./unconfirmed-records.ts";

const CLOSE_LEFT_BEHIND_AGAIN_MS = 5_000;

export interface CallsSettings {
  readonly regionId: RegionId;
  readonly popId: PopId;
  readonly hostId: PopHostId;
  readonly limits: CallLimits;
  readonly callsConcurrentMax: number;
  /** Ended calls whose journal is kept. */
  readonly journalsMax: number;
}

export interface CallsWorld extends Omit<RunnerWorld, "held" | "tell" | "ended"> {
  /** Of the service whose calls these are: while it is not held nothing is said, done or written. */
  readonly ownership: Ownership;
  /** The book of flow versions that calls have begun with. */
  readonly flows: CheckpointStore;
  readonly media: MediaEngines;
  readonly events: EventSink;
  readonly snapshots: SnapshotStore;
  /** Told of every call that was refused or has ended: for the metrics. */
  counted(what: CallCount): void;
  /** A snapshot is in use. */
  applied?(snapshot: Snapshot): void;
}

export type CallCount =
  | { readonly kind: "refused"; readonly code: CallFailure["code"] }
  | { readonly kind: "arrived" }
  | { readonly kind: "ended"; readonly record: ContactRecord }
  /** Its media was given a new place by re-INVITE. */
  | { readonly kind: "re-anchored" };

export class Calls implements SignallingHost, RegionLinkHost, ContactRoutingHost {
  readonly #world: CallsWorld;
  readonly #settings: CallsSettings;
  readonly #runners = new Map<CallId, CallRunner>();
  /** The same for every call. */
  readonly #runnerWorld: RunnerWorld;
  readonly journals: Journals;
  /** Restored, and not told to go on yet. */
  readonly #standing = new Set<CallId>();
  readonly #flows: PinnedFlows;
  readonly #unconfirmed: UnconfirmedRecords;
  #admission: AdmissionState = noCalls;
  #table: RoutingTable | undefined;
  #draining = false;
  /** Another process is about to be the owner. */
  #handedOver = false;
  /** The process is about to end: nobody can call the drain off any more. */
  #finishing = false;
  /** Ended calls whose media is still being released. */
  readonly #releasing = new Set<Promise<void>>();
  #whenEmpty: (() => void)[] = [];

  constructor(settings: CallsSettings, world: CallsWorld) {
    this.#settings = settings;
    this.#world = world;
    this.journals = new Journals(settings.journalsMax);
    const { flows, store, log, events } = world;
    const isCurrent = ({ tenantId, id, version }: Flow) => this.#table?.flow(tenantId, id, version) !== undefined;
    this.#flows = new PinnedFlows(flows, log, isCurrent);
    this.#unconfirmed = new UnconfirmedRecords(store, log);
    this.#runnerWorld = this.#worldOfRunners();
    events.onSettled((settled) => {
      for (const event of settled) if (event.record !== undefined) this.#unconfirmed.confirmed(event);
    });
  }

  // ---- the snapshot ----

  appliedVersion(): number {
    return this.#table?.version ?? 0;
  }

  /** Proves it first; calls that run keep the flow version they began with. */
  apply(snapshot: Snapshot): Outcome<void, SnapshotRefused> {
    const applied = this.#take(snapshot);
    if (!applied.ok) return applied;
    const saved = this.#world.snapshots.save(snapshot);
    if (!saved.ok) this.#world.log.error("snapshot.not-saved", { ...saved.failure });
    return applied;
  }

  /** The last good one, from disk: the POP serves calls before its region has said a word. */
  loadSnapshot(): void {
    const { log, snapshots } = this.#world;
    const loaded = snapshots.load();
    if (!loaded.ok) return log.info("snapshot.none-on-disk", { ...loaded.failure });
    const applied = this.#take(loaded.value);
    if (applied.ok) log.info("snapshot.restored", { version: loaded.value.version });
  }

  #take(snapshot: Snapshot): Outcome<void, SnapshotRefused> {
    const { log, signalling } = this.#world;
    const compiled = compile(snapshot);
    if (!compiled.ok) {
      log.error("snapshot.refused", { version: snapshot.version, mistakes: compiled.failure });
      return fail({ code: "snapshot.refused", mistakes: compiled.failure });
    }
    this.#table = compiled.value;
    this.#flows.sweep();
    signalling.trustSources(compiled.value.allowList);
    this.#world.applied?.(snapshot);
    log.info("snapshot.applied", { version: snapshot.version });
    return succeed(undefined);
  }

  // ---- what an earlier process has left ----

  /**
   * Takes up the calls that an earlier process of the service had when it died, before signalling and region are started; they
   * stand still until `resume`. Records that the region may not have are sent again. While the store is away new calls are
   * served without those: they are closed on paper once it is back, for nobody has claimed their dialogs meanwhile.
   */
  async restore(): Promise<Restored> {
    const beganAtMs = this.#world.clock.nowMs();
    const [loaded] = await Promise.all([this.#world.store.load(), this.#flows.load()]);
    if (!loaded.ok) {
      this.#world.log.error("calls.not-restored", { ...loaded.failure });
      if (loaded.failure.code === "store.away") this.#closeLeftBehindLater();
      return { calls: 0, closed: 0, records: 0, tookMs: this.#world.clock.nowMs() - beganAtMs };
    }
    const restored = { calls: 0, closed: 0, records: 0 };
    for (const [field, text] of loaded.value) restored[this.#takeUp(field, text)]++;
    this.#flows.sweep();
    const tookMs = Math.round(this.#world.clock.nowMs() - beganAtMs);
    if (loaded.value.size > 0) this.#world.log.warn("calls.restored", { ...restored, tookMs });
    return { ...restored, tookMs };
  }

  /** Restored calls go on: each says again what it wants of relay, worker and SIP server, and its timers run. */
  resume(formerDiedAtUnixMs: UnixMs | undefined): void {
    const { clock, ownership } = this.#world;
    const { epoch } = ownership;
    const outageMs =
      formerDiedAtUnixMs === undefined ? 0 : Math.max(0, Math.round(clock.unixMs() - formerDiedAtUnixMs));
    const standing = [...this.#standing];
    this.#standing.clear();
    for (const call of standing) {
      const runner = this.#runners.get(call);
      if (runner === undefined) continue;
      try {
        runner.handle({ kind: "resumed", outageMs, epoch });
      } catch (error) {
        this.#dropRestored(call, closable(runner.state), error);
      }
    }
  }

  /** A state that is strange in a way that nobody has thought of costs its own call, never the others'. */
  #takeUp(field: string, text: string): "calls" | "closed" | "records" {
    try {
      return this.#takeUpOrThrow(field, text);
    } catch (error) {
      this.#dropRestored(
        asId<"call">(field),
        closable((JSON.parse(text) as { readonly state?: unknown }).state),
        error,
      );
      return "closed";
    }
  }

  #dropRestored(call: CallId, state: CallState | undefined, error: unknown): void {
    this.#world.log.error("checkpoint.unreadable", { callId: call, error });
    this.#standing.delete(call);
    this.#runners.delete(call);
    this.#admission = release(this.#admission, call);
    this.#world.signalling.forget(call);
    if (state === undefined) return this.#world.store.remove(call);
    this.#flows.unpin(state.basics);
    this.#closeOnPaper(state, "checkpoint.unreadable");
  }

  #takeUpOrThrow(field: string, text: string): "calls" | "closed" | "records" {
    const { log, clock } = this.#world;
    const read = readCheckpoint(text);
    if (!read.ok) {
      log.error("checkpoint.unreadable", { callId: field, detail: read.failure.detail });
      if (read.failure.state === undefined) this.#world.store.remove(field);
      else this.#closeOnPaper(read.failure.state, "checkpoint.unreadable");
      return "closed";
    }
    if (read.value.kind === "ended") {
      this.#tell(read.value.event);
      return "records";
    }
    const { checkpoint } = read.value;
    const { state, signalling, callerOffer, dialogs } = checkpoint;
    const { basics } = state;
    if (signalling === undefined || basics.id !== field) {
      this.#closeOnPaper(state, "pop.restarted");
      return "closed";
    }
    const flow = this.#flows.of(basics) ?? this.#table?.flow(basics.tenantId, basics.flowId, basics.flowVersion);
    if (flow === undefined) log.error("flow.version-missing", { callId: basics.id, flow: checkpoint.flow });
    else this.#flows.pin(flow);
    const trunk = this.#table?.trunk(basics.tenantId, basics.trunkId);
    this.#admission = readmit(this.#admission, basics.id, basics, trunk?.callsPerSecondMax ?? 1, clock.nowMs());
    const journal = this.journals.open(basics.id);
    journal.dialogs.push(...dialogs);
    this.#world.signalling.restore(basics.id, signalling);
    const runner = CallRunner.restored(
      this.#runnerWorld,
      this.#contextOf(flow ?? noFlow(basics), basics.tenantId),
      journal,
      (listener) => new CallMedia(this.#world.media, basics.id, basics.tenantId, callerOffer, listener),
      checkpoint,
    );
    this.#runners.set(basics.id, runner);
    this.#standing.add(basics.id);
    return "calls";
  }

  #closeLeftBehindLater(): void {
    if (!this.#finishing) this.#world.setAlarm(CLOSE_LEFT_BEHIND_AGAIN_MS, () => void this.#closeLeftBehind());
  }

  async #closeLeftBehind(): Promise<void> {
    const loaded = await this.#world.store.load();
    if (!loaded.ok) return loaded.failure.code === "store.away" ? this.#closeLeftBehindLater() : undefined;
    let closed = 0;
    for (const [field, text] of loaded.value) {
      const call = asId<"call">(field);
      if (this.#runners.has(call) || this.#unconfirmed.has(call)) continue;
      closed++;
      const read = readCheckpoint(text);
      if (read.ok && read.value.kind === "ended") this.#tell(read.value.event);
      else if (read.ok && read.value.kind === "living")
        this.#closeOnPaper(read.value.checkpoint.state, "pop.restarted");
      else if (!read.ok && read.failure.state !== undefined)
        this.#closeOnPaper(read.failure.state, "checkpoint.unreadable");
      else this.#world.store.remove(field);
    }
    if (closed > 0) this.#world.log.warn("calls.lost", { calls: closed });
  }

  /** Nobody can carry it on: it is ended, and leaves its one contact record. What is left of it at relay and worker goes by itself. */
  #closeOnPaper(state: CallState, code: "pop.restarted" | "checkpoint.unreadable"): void {
    const context = this.#contextOf(noFlow(state.basics), state.basics.tenantId);
    const input = { kind: "signalling-lost", code } as const;
    for (const effect of stepCall(context, state, input, this.#world.clock.unixMs()).effects) {
      if (effect.kind === "tell") this.#tell(effect.event);
      if (effect.kind === "report") this.#world.routing.report(effect.report);
      if (effect.kind === "ended") this.#world.counted({ kind: "ended", record: effect.record });
    }
  }

  #tell(event: CallEvent): void {
    if (event.record !== undefined) this.#unconfirmed.keep(event);
    if (event.name === "call.re-anchored") this.#world.counted({ kind: "re-anchored" });
    void this.#world.events.append([event]);
  }

  // ---- new calls ----

  serving(): boolean {
    return !this.#draining && this.#table !== undefined;
  }

  invited(incoming: IncomingCall): void {
    if (!this.#held()) return; // whoever serves now hears it again
    const letIn = this.#letIn(incoming);
    if (!letIn.ok) return this.#refuse(incoming, letIn.failure);
    const { routed, trunkId, offer } = letIn.value;
    const basics: CallBasics = {
      id: incoming.call,
      tenantId: routed.tenant.id,
      trunkId,
      entryPointId: routed.entryPoint.id,
      flowId: routed.flow.id,
      flowVersion: routed.flow.version,
      callingNumber: incoming.callingNumber,
      calledNumber: routed.calledNumber,
      arrivedAtUnixMs: this.#world.clock.unixMs(),
    };
    const journal = this.journals.open(incoming.call);
    journal.dialogs.push({ leg: "caller", sipCallId: incoming.sipCallId, role: "uas" });
    this.#world.counted({ kind: "arrived" });
    this.#world.log.info("call.arrived", { callId: basics.id, trunkId, entryPointId: basics.entryPointId });
    this.#flows.pin(routed.flow);
    const runner = CallRunner.arrived(
      this.#runnerWorld,
      this.#contextOf(routed.flow, routed.tenant.id),
      journal,
      (listener) => new CallMedia(this.#world.media, incoming.call, routed.tenant.id, offer, listener),
      basics,
    );
    if (runner.state.phase.name !== "ended") this.#runners.set(incoming.call, runner);
  }

  #letIn(incoming: IncomingCall): Outcome<LetIn, CallFailure> {
    const table = this.#table;
    const admitted = admit(this.#admission, {
      call: incoming.call,
      sourceAddress: incoming.sourceAddress,
      nowMs: this.#world.clock.nowMs(),
      table,
      draining: this.#draining,
      callsConcurrentMax: this.#settings.callsConcurrentMax,
    });
    if (!admitted.ok) return admitted;
    if (table === undefined) return fail({ code: "pop.no-snapshot" });
    const { trunk } = admitted.value;
    this.#admission = admitted.value.state;
    const refuse = (failure: CallFailure): Outcome<LetIn, CallFailure> => {
      this.#admission = release(this.#admission, incoming.call);
      return fail(failure);
    };
    if (incoming.maxForwards <= 0) return refuse({ code: "sip.too-many-hops" });
    if (incoming.offer === undefined) return refuse({ code: "sip.no-offer" });
    const routed = routeCall(table, trunk, incoming.requestUri);
    if (!routed.ok) return refuse(routed.failure);
    return succeed({ routed: routed.value, trunkId: trunk.id, offer: incoming.offer });
  }

  #refuse(incoming: IncomingCall, failure: CallFailure): void {
    const { sipStatus, retryAfterSeconds, blame } = judge(failure);
    const { log, signalling, counted } = this.#world;
    log.info("call.refused", { callId: incoming.call, source: incoming.sourceAddress, blame, ...failure });
    counted({ kind: "refused", code: failure.code });
    // A server that has sent 100 Trying cannot be silent any more; the silent drop is made before parsing.
    signalling.reject(incoming.call, sipStatus === 0 ? 403 : sipStatus, failure.code, retryAfterSeconds);
    signalling.forget(incoming.call);
  }

  #contextOf(flow: Flow, tenantId: TenantId): CallContext {
    const { regionId, popId, hostId, limits } = this.#settings;
    return {
      flow: {
        flow,
        defaultTreatment: this.#table?.tenant(tenantId)?.defaultTreatment ?? [],
        musicOf: (queue) => this.#table?.queueMusic(tenantId, queue),
      },
      regionId,
      popId,
      hostId,
      limits,
      outboundUri: (number, trunkId) => this.#outboundUri(tenantId, number, trunkId),
    };
  }

  #outboundUri(tenant: TenantId, number: string, trunkId: TrunkId | undefined): string | undefined {
    const outboundUri = this.#table?.outboundTrunk(tenant, trunkId)?.outboundUri;
    const user = number.replace(/[\s().-]/g, "");
    if (outboundUri === undefined || !/^\+?[0-9*]{1,32}$/.test(user)) return undefined;
    return outboundUri.replace(/^(sips?):/, `$1:${user}@`);
  }

  #worldOfRunners(): RunnerWorld {
    const { clock, setAlarm, log, signalling, routing, store } = this.#world;
    return {
      clock,
      setAlarm,
      log,
      signalling,
      routing,
      store,
      held: () => this.#held(),
      tell: (event) => this.#tell(event),
      ended: (call, record) => this.#ended(call, record),
    };
  }

  /** Asked per input: a process that was stopped for a while must not act on anything that it finds when it wakes up. */
  #held(): boolean {
    return !this.#handedOver && this.#world.ownership.held();
  }

  #ended(call: CallId, record: ContactRecord): void {
    const runner = this.#runners.get(call);
    this.#runners.delete(call);
    this.#standing.delete(call);
    this.#flows.unpin(record);
    this.#admission = release(this.#admission, call);
    this.journals.close(call, record);
    this.#world.counted({ kind: "ended", record });
    this.#world.log.info("call.ended", { callId: call, endedBy: record.endedBy, code: record.endCode });
    if (runner !== undefined) {
      const released: Promise<void> = runner.settled().finally(() => this.#releasing.delete(released));
      this.#releasing.add(released);
    }
    if (this.#runners.size > 0) return;
    const whenEmpty = this.#whenEmpty;
    this.#whenEmpty = [];
    for (const resolve of whenEmpty) resolve();
  }

  // ---- inputs to the right call ----

  signalled(call: CallId, input: CallInput): void {
    this.#runners.get(call)?.handle(input);
  }

  dialog(call: CallId, leg: string, sipCallId: string): void {
    const dialogs = this.journals.of(call)?.dialogs;
    if (dialogs?.some((known) => known.sipCallId === sipCallId && known.leg === leg) === false)
      dialogs.push({ leg, sipCallId, role: "uac" });
  }

  directed(directive: RoutingDirective): void {
    if (!this.#held()) return;
    const runner = this.#runners.get(directive.contactId);
    if (runner !== undefined) return runner.handle({ kind: "directed", directive });
    if (directive.kind !== "offer") return;
    const { offerId, contactId } = directive;
    this.#world.routing.report({ kind: "offer-failed", offerId, contactId, failure: "contact-gone", sipStatus: 0 });
  }

  knows(call: CallId): boolean {
    return this.#runners.has(call);
  }

  workerBack(): void {
    for (const runner of this.#runners.values()) runner.handle({ kind: "worker-back" });
  }

  // ---- what the region asks ----

  held(): HeldContacts {
    const waiting: WaitingContact[] = [];
    const offers: HeldOffer[] = [];
    for (const { state } of this.#runners.values()) {
      if (state.phase.name !== "running") continue;
      const { place, far } = state.phase;
      const { id: contactId, tenantId } = state.basics;
      if (place.name !== "none") {
        const { queueId, priority, enqueuedAtUnixMs } = place;
        waiting.push({ contactId, tenantId, queueId, priority, enqueuedAtUnixMs });
      }
      if (far.name === "none" || far.party.kind !== "agent") continue;
      const { offerId, agentId, queueId } = far.party;
      offers.push({ offerId, contactId, tenantId, agentId, queueId, accepted: far.name === "talking" });
    }
    return { waiting, offers };
  }

  heldCalls(): readonly CallId[] {
    return [...this.#runners.keys()];
  }

  presence(): { readonly calls: number; readonly draining: boolean } {
    return { calls: this.#runners.size, draining: this.#draining };
  }

  command(command: RegionCommand): string | undefined {
    if (command.kind === "drain") {
      this.drain(command.on);
      return undefined;
    }
    const runner = this.#runners.get(command.callId);
    if (runner === undefined || !this.#held()) return "no such call here";
    runner.handle({ kind: "hang-up-command", code: "operator.hung-up" });
    return undefined;
  }

  // ---- people and shutdown ----

  list(): readonly CallRunner["state"][] {
    return [...this.#runners.values()].map(({ state }) => state);
  }

  /** For the trace of a call that lives, or ended not long ago. */
  journal(call: CallId): JournalView | undefined {
    const journal = this.journals.of(call);
    if (journal === undefined) return undefined;
    const { dialogs, entries, record } = journal;
    return { dialogs, entries, media: record?.media ?? this.#runners.get(call)?.state.media ?? [] };
  }

  /** On: new calls get 503 with Retry-After, those that run go on. */
  drain(on: boolean): void {
    if (this.#finishing && !on) return;
    this.#draining = on;
    this.#world.log.info("pop.draining", { on, calls: this.#runners.size });
  }

  /**
   * Another process becomes the owner now: nothing is taken in any more, and all that it needs is written. Calls stand still from
   * here on; whatever an engine still answers is asked for again by the next owner.
   */
  async handOver(): Promise<void> {
    this.#handedOver = true;
    this.#world.log.info("pop.handing-over", { calls: this.#runners.size, records: this.#unconfirmed.size });
    for (const runner of this.#runners.values()) runner.save();
    await Promise.all([this.#world.store.flush(), this.#world.flows.flush()]);
  }

  /** Waits for the calls to end by themselves, at the deadline ends the rest. Resolves when nothing of them is left. */
  async finish(deadlineMs: number): Promise<void> {
    this.#finishing = true;
    this.drain(true);
    if (this.#runners.size > 0) await this.#untilEmpty(deadlineMs);
    await Promise.allSettled(this.#releasing);
  }

  async #untilEmpty(deadlineMs: number): Promise<void> {
    const empty = new Promise<void>((resolve) => this.#whenEmpty.push(resolve));
    const alarm = this.#world.setAlarm(deadlineMs, () => {
      for (const runner of [...this.#runners.values()]) runner.handle({ kind: "hang-up-command", code: "pop.drained" });
    });
    await empty;
    alarm.cancel();
  }
}

export interface JournalView extends Pick<CallJournal, "dialogs" | "entries"> {
  readonly media: ContactRecord["media"];
}

export interface Restored {
  /** Carried on. */
  readonly calls: number;
  /** Ended on paper, for they cannot be carried on. */
  readonly closed: number;
  /** Of calls that had ended; sent once more. */
  readonly records: number;
  readonly tookMs: number;
}

/** For a call whose flow version nobody has: the default treatment, at its next activity. */
const noFlow = ({ flowId, tenantId, flowVersion }: CallBasics): Flow => ({
  id: flowId,
  tenantId,
  version: flowVersion,
  start: "",
  activities: {},
  variables: {},
});

interface LetIn {
  readonly routed: Route;
  readonly trunkId: TrunkId;
  readonly offer: string;
}
