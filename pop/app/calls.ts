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
import type { Outcome } from "../../kernel/outcome.ts";
import { fail, succeed } from "../../kernel/outcome.ts";
import type { ContactRoutingHost } from "../boundary/contact-routing.ts";
import type { EventSink } from "../boundary/event-sink.ts";
import type { RegionCommand, RegionLinkHost, SnapshotRefused } from "../boundary/region-link.ts";
import type { IncomingCall, SignallingHost } from "../boundary/sip-signalling.ts";
import type { SnapshotStore } from "../boundary/snapshot-store.ts";
import { type AdmissionState, admit, noCalls, release } from "../core/admission/admission.ts";
import type { CallContext, CallInput, CallLimits } from "../core/call/call-execution.ts";
import { stepCall } from "../core/call/call-machine.ts";
import type { CallBasics } from "../core/call/call-state.ts";
import type { ContactRecord } from "../core/call/contact-record.ts";
import type { HeldContacts, HeldOffer, RoutingDirective, WaitingContact } from "../core/call/contact-routing.ts";
import type { CallFailure } from "../core/failure/call-failure.ts";
import { judge } from "../core/failure/judge.ts";
import { compile } from "../core/routing/compile-snapshot.ts";
import { type Route, routeCall } from "../core/routing/resolve-number.ts";
import type { RoutingTable } from "../core/routing/routing-table.ts";
import type { Snapshot } from "../core/routing/snapshot.ts";
import { CallMedia, type MediaEngines } from "./call-media.ts";
import { CallRunner, type RunnerWorld, readCheckpoint } from "./call-runner.ts";
import { type CallJournal, Journals } from "./journal.ts";

const CLOSE_LOST_AGAIN_MS = 5_000;

export interface CallsSettings {
  readonly regionId: RegionId;
  readonly popId: PopId;
  readonly hostId: PopHostId;
  readonly limits: CallLimits;
  readonly callsConcurrentMax: number;
  /** Ended calls whose journal is kept. */
  readonly journalsMax: number;
}

export interface CallsWorld extends Omit<RunnerWorld, "tell" | "ended"> {
  readonly media: MediaEngines;
  readonly events: EventSink;
  readonly snapshots: SnapshotStore;
  /** Told of every call that was refused or has ended: for the metrics. */
  counted(what: CallCount): void;
}

export type CallCount =
  | { readonly kind: "refused"; readonly code: CallFailure["code"] }
  | { readonly kind: "arrived" }
  | { readonly kind: "ended"; readonly record: ContactRecord };

export class Calls implements SignallingHost, RegionLinkHost, ContactRoutingHost {
  readonly #world: CallsWorld;
  readonly #settings: CallsSettings;
  readonly #runners = new Map<CallId, CallRunner>();
  /** The same for every call. */
  readonly #runnerWorld: RunnerWorld;
  readonly journals: Journals;
  #admission: AdmissionState = noCalls;
  #table: RoutingTable | undefined;
  #draining = false;
  /** The process is about to end: nobody can call the drain off any more. */
  #finishing = false;
  /** Ended calls whose media is still being released. */
  readonly #releasing = new Set<Promise<void>>();
  #whenEmpty: (() => void)[] = [];

  constructor(settings: CallsSettings, world: CallsWorld) {
    this.#settings = settings;
    this.#world = world;
    this.journals = new Journals(settings.journalsMax);
    this.#runnerWorld = this.#worldOfRunners();
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
  restore(): void {
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
    signalling.trustSources(compiled.value.allowList);
    log.info("snapshot.applied", { version: snapshot.version });
    return succeed(undefined);
  }

  // ---- what an earlier process has left ----

  /**
   * Calls that the last process of this host was running when it died: their dialogs are lost, so each is ended on
   * paper, and leaves its one contact record. Resolves to how many there were. While the store is away it is asked
   * again now and then; new calls do not wait for that.
   */
  async closeLost(): Promise<number> {
    const { store, log, events, clock, routing, setAlarm } = this.#world;
    const loaded = await store.load();
    if (!loaded.ok) {
      if (!this.#finishing && loaded.failure.code === "store.away")
        setAlarm(CLOSE_LOST_AGAIN_MS, () => void this.closeLost());
      return 0;
    }
    const lost = [...loaded.value].filter(([field]) => !this.#runners.has(asId<"call">(field)));
    for (const [call, text] of lost) {
      store.remove(call);
      const state = readCheckpoint(text);
      if (state === undefined) {
        log.error("checkpoint.unreadable", { callId: call });
        continue;
      }
      const input = { kind: "signalling-lost", code: "pop.restarted" } as const;
      for (const effect of stepCall(this.#paperContext(), state, input, clock.unixMs()).effects) {
        if (effect.kind === "tell") void events.append([effect.event]);
        if (effect.kind === "report") routing.report(effect.report);
        if (effect.kind === "ended") this.#world.counted({ kind: "ended", record: effect.record });
      }
    }
    if (lost.length > 0) log.warn("calls.lost", { calls: lost.length });
    return lost.length;
  }

  /** Enough to end a call; no flow runs in it any more. */
  #paperContext(): CallContext {
    const { regionId, popId, hostId, limits } = this.#settings;
    const nothing = { id: asId<"flow">(""), tenantId: asId<"tenant">(""), version: 0, start: "", activities: {} };
    return {
      flow: { flow: { ...nothing, variables: {} }, defaultTreatment: [], musicOf: () => undefined },
      regionId,
      popId,
      hostId,
      limits,
      outboundUri: () => undefined,
    };
  }

  // ---- new calls ----

  serving(): boolean {
    return !this.#draining && this.#table !== undefined;
  }

  invited(incoming: IncomingCall): void {
    const letIn = this.#letIn(incoming);
    if (!letIn.ok) return this.#refuse(incoming, letIn.failure);
    const { table, routed, trunkId, offer } = letIn.value;
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
    const runner = new CallRunner(
      this.#runnerWorld,
      this.#contextOf(table, routed),
      basics,
      journal,
      (listener) => new CallMedia(this.#world.media, incoming.call, routed.tenant.id, offer, listener),
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
    return succeed({ table, routed: routed.value, trunkId: trunk.id, offer: incoming.offer });
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

  #contextOf(table: RoutingTable, { flow, tenant }: Route): CallContext {
    const { regionId, popId, hostId, limits } = this.#settings;
    return {
      flow: {
        flow,
        defaultTreatment: tenant.defaultTreatment,
        musicOf: (queue) => (this.#table ?? table).queueMusic(tenant.id, queue),
      },
      regionId,
      popId,
      hostId,
      limits,
      outboundUri: (number, trunkId) => this.#outboundUri(tenant.id, number, trunkId),
    };
  }

  #outboundUri(tenant: TenantId, number: string, trunkId: TrunkId | undefined): string | undefined {
    const outboundUri = this.#table?.outboundTrunk(tenant, trunkId)?.outboundUri;
    const user = number.replace(/[\s().-]/g, "");
    if (outboundUri === undefined || !/^\+?[0-9*]{1,32}$/.test(user)) return undefined;
    return outboundUri.replace(/^(sips?):/, `$1:${user}@`);
  }

  #worldOfRunners(): RunnerWorld {
    const { clock, setAlarm, log, signalling, routing, store, events } = this.#world;
    return {
      clock,
      setAlarm,
      log,
      signalling,
      routing,
      store,
      tell: (event) => void events.append([event]),
      ended: (call, record) => this.#ended(call, record),
    };
  }

  #ended(call: CallId, record: ContactRecord): void {
    const runner = this.#runners.get(call);
    this.#runners.delete(call);
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
    this.journals.of(call)?.dialogs.push({ leg, sipCallId, role: "uac" });
  }

  directed(directive: RoutingDirective): void {
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

  presence(): { readonly calls: number; readonly draining: boolean } {
    return { calls: this.#runners.size, draining: this.#draining };
  }

  command(command: RegionCommand): string | undefined {
    if (command.kind === "drain") {
      this.drain(command.on);
      return undefined;
    }
    const runner = this.#runners.get(command.callId);
    if (runner === undefined) return "no such call here";
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

interface LetIn {
  readonly table: RoutingTable;
  readonly routed: Route;
  readonly trunkId: TrunkId;
  readonly offer: string;
}
