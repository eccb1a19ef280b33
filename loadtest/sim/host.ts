// A POP host: the processes of each service it serves, and its disks. What a process is made of is here; when it runs is
// the keeper's to say.

import { asId, type CallId, type PopHostId } from "../../kernel/ids.ts";
import type { Log } from "../../kernel/log.ts";
import { LeasedOwnership, type Ownership, soleOwner } from "../../kernel/ownership.ts";
import { SimMachine, SimProcess } from "../../kernel/sim/process.ts";
import type { SimWorld } from "../../kernel/sim/world.ts";
import { DrachtioSignalling } from "../../pop/adapters/drachtio/drachtio-signalling.ts";
import { MemorySnapshotStore } from "../../pop/adapters/memory/snapshot-store.ts";
import { Calls } from "../../pop/app/calls.ts";
import type { CheckpointStore } from "../../pop/checkpoint/boundary/checkpoint-store.ts";
import type { FormerOwner, KeeperMemory, ProcessName } from "../../pop/keeper/core/keeper-words.ts";
import type { Endpoint } from "../../pop/sip-server/app/endpoint.ts";
import { CSEQ_RESERVE } from "../../pop/sip-server/core/record/record.ts";
import { SimEventSpool, type SpoolDisk } from "./event-spool.ts";
import { RelayEngine, SimMediaRelay, SimMediaServer, SimPrompts, WorkerEngine } from "./media.ts";
import { SimContactRouting, type SimRegion } from "./region.ts";
import type { SimRedis } from "./sim-redis.ts";
import type { SipNetwork } from "./sip-network.ts";
import { connectApplication, startEndpoint } from "./sip-server-process.ts";
import { dialsOf } from "./system-globals.ts";
import { SNAPSHOT } from "./tenant.ts";

/** What a test breaks on purpose, to see that somebody notices. */
export interface Mutations {
  /** Leases never run out. */
  readonly leaseIsForEver?: boolean;
  /** The SIP server does not ask whether it may speak, and does not end with its lease. */
  readonly deafToLease?: boolean;
  /** Calls are taken up with numbers that were used. */
  readonly staleCseq?: boolean;
  /** The record of a call that has ended is in its process alone. */
  readonly recordsUnkept?: boolean;
  /** What a SIP server has written nobody finds. */
  readonly checkpointsLost?: boolean;
  readonly relayKeepsAll?: boolean;
  readonly saysTwice?: boolean;
  readonly offersTwice?: boolean;
  readonly trunkUnlimited?: boolean;
}

/** Everything outside the hosts. */
export interface Surroundings {
  readonly world: SimWorld;
  readonly network: SipNetwork;
  readonly region: SimRegion;
  readonly redis: SimRedis;
  readonly mutations: Mutations;
  readonly log: (process: string) => Log;
  addressOf(service: PopHostId): string;
  /** For the history. */
  noted(text: string): void;
}

export interface SipServerProcess {
  readonly process: SimProcess;
  readonly ownership: Ownership;
  readonly endpoint: Endpoint;
}

export interface PopProcess {
  readonly process: SimProcess;
  readonly ownership: Ownership;
  readonly calls: Calls;
  handOver(): Promise<void>;
}

/** The processes of one service on one host. */
export interface ServingSet {
  readonly service: PopHostId;
  readonly address: string;
  readonly epoch: number;
  untilMs: number;
  formerDiedAtUnixMs: number | undefined;
  readonly processes: Map<ProcessName, { readonly process: SimProcess; readonly ownership: LeasedOwnership }>;
  sipServer: SipServerProcess | undefined;
  relay: RelayEngine | undefined;
  worker: WorkerEngine | undefined;
  pop: PopProcess | undefined;
  /** Closes what is open of it, and says "ready-to-go". */
  readonly emptying: Map<ProcessName, () => Promise<void>>;
}

interface Disk {
  readonly spool: SpoolDisk;
  readonly snapshots: MemorySnapshotStore;
}

/** Between keeper and process. */
const SAID_MS = 0.1;

export class SimHost {
  readonly name: PopHostId;
  readonly machine: SimMachine;
  readonly sets = new Map<PopHostId, ServingSet>();
  keeperDisk: KeeperMemory = { epochs: {} };
  whenProcessDies: (service: PopHostId, name: ProcessName) => void = () => {};
  readonly #around: Surroundings;
  /** By service: survives every process of the host. */
  readonly #disks = new Map<PopHostId, Disk>();

  constructor(around: Surroundings, name: PopHostId) {
    this.name = name;
    this.machine = new SimMachine(around.world, name, -1_000_000 * (around.world.rng.next() + 1));
    this.#around = around;
  }

  addressOf(service: PopHostId): string {
    return this.#around.addressOf(service);
  }

  diskOf(service: PopHostId): Disk {
    let disk = this.#disks.get(service);
    if (disk === undefined) {
      const unlimited = this.#around.mutations.trunkUnlimited === true;
      disk = { spool: new Map(), snapshots: new MemorySnapshotStore(unlimited ? withoutTrunkLimit : SNAPSHOT) };
      this.#disks.set(service, disk);
    }
    return disk;
  }

  // ---- what the keeper asks ----

  begin(service: PopHostId, epoch: number, untilMs: number, former: FormerOwner, _stateAtHand: boolean): void {
    this.killSet(service);
    this.#around.noted(`${this.name} serves ${service} under epoch ${epoch}`);
    this.sets.set(service, {
      service,
      address: this.addressOf(service),
      epoch,
      untilMs,
      formerDiedAtUnixMs: this.#diedAt(former),
      processes: new Map(),
      sipServer: undefined,
      relay: undefined,
      worker: undefined,
      pop: undefined,
      emptying: new Map(),
    });
  }

  #diedAt({ heardAtMs, wroteAtUnixMs }: FormerOwner): number | undefined {
    if (heardAtMs !== undefined) return this.machine.unixMs() - (this.machine.nowMs() - heardAtMs);
    return wroteAtUnixMs;
  }

  renew(service: PopHostId, epoch: number, untilMs: number, diedAtMs: number): void {
    const set = this.sets.get(service);
    if (set?.epoch !== epoch) return;
    set.untilMs = Math.max(set.untilMs, untilMs);
    set.formerDiedAtUnixMs = this.machine.unixMs() - (this.machine.nowMs() - diedAtMs);
  }

  start(service: PopHostId, name: ProcessName, serving: () => void): void {
    const set = this.sets.get(service);
    if (set === undefined || set.processes.has(name)) return;
    const process = new SimProcess(this.machine, `${service}/${name}@${this.name}`);
    const ownership = new LeasedOwnership(set.epoch, set.untilMs, () =>
      this.#around.mutations.leaseIsForEver === true ? Number.NEGATIVE_INFINITY : this.machine.nowMs(),
    );
    set.processes.set(name, { process, ownership });
    process.whenDead(() => {
      if (set.processes.get(name)?.process !== process) return;
      set.processes.delete(name);
      set.emptying.delete(name);
      if (set.sipServer?.process === process) set.sipServer = undefined;
      if (set.relay?.process === process) set.relay = undefined;
      if (set.worker?.process === process) set.worker = undefined;
      if (set.pop?.process === process) set.pop = undefined;
      this.#around.noted(`${process.name} is dead`);
      if (this.sets.get(service) === set) this.whenProcessDies(service, name);
    });
    this.#endWithLease(process, ownership);
    const told = () => {
      this.#around.noted(`${process.name} serves`);
      serving();
    };
    process.take(() => {
      if (name === "rtpengine") this.#startRelay(set, process, told);
      else if (name === "media-worker") this.#startWorker(set, process, told);
      else if (name === "sip-server") this.#startSipServer(set, process, ownership, told);
      else this.#startPop(set, process, ownership, told);
    });
  }

  /** Our processes end with their lease; engines of others are the keeper's to kill. */
  #endWithLease(process: SimProcess, ownership: LeasedOwnership): void {
    if (/rtpengine|media-worker/.test(process.name) || this.#around.mutations.deafToLease === true) return;
    const look = () => {
      if (ownership.held()) process.after(Math.max(1, Math.min(ownership.leftMs(), 60_000)), look);
      else process.kill();
    };
    process.after(ownership.leftMs(), look);
  }

  extend(service: PopHostId, untilMs: number): void {
    const set = this.sets.get(service);
    if (set === undefined) return;
    set.untilMs = Math.max(set.untilMs, untilMs);
    const told = [...set.processes.values()];
    this.machine.world.after(SAID_MS, () => {
      for (const { process, ownership } of told) process.take(() => ownership.extend(untilMs));
    });
  }

  ping(service: PopHostId, ponged: (name: ProcessName) => void): void {
    const asked = [...(this.sets.get(service)?.processes ?? [])];
    this.machine.world.after(2 * SAID_MS, () => {
      for (const [name, { process }] of asked) process.take(() => ponged(name));
    });
  }

  kill(service: PopHostId, name: ProcessName): void {
    this.sets.get(service)?.processes.get(name)?.process.kill();
  }

  killSet(service: PopHostId): void {
    const set = this.sets.get(service);
    if (set === undefined) return;
    this.sets.delete(service);
    this.#around.noted(`${this.name} ends ${service}`);
    for (const { process } of [...set.processes.values()]) process.kill();
  }

  killAll(): void {
    for (const service of [...this.sets.keys()]) this.killSet(service);
  }

  /** "hand-over" to each; told when the last of them is ready to go. */
  empty(service: PopHostId, emptied: () => void): void {
    const set = this.sets.get(service);
    const waiting = new Set<SimProcess>();
    const gone = (process: SimProcess) => {
      if (waiting.delete(process) && waiting.size === 0) emptied();
    };
    for (const [name, empty] of set?.emptying ?? []) {
      const process = set?.processes.get(name)?.process;
      if (process === undefined) continue;
      waiting.add(process);
      process.whenDead(() => gone(process));
      process.after(SAID_MS, () => void empty().then(() => gone(process)));
    }
    if (waiting.size === 0) this.machine.world.after(SAID_MS, emptied);
  }

  // ---- the processes ----

  #startRelay(set: ServingSet, process: SimProcess, serving: () => void): void {
    const { redis, mutations } = this.#around;
    const { service, epoch, address } = set;
    const kept = redis.isUp ? redis.relayCalls(service) : new Map<CallId, string>();
    process.after(10, () => {
      set.relay = new RelayEngine(
        process,
        address,
        (call, text) => redis.keepRelayed(process, service, epoch, call, text),
        kept,
      );
      set.relay.keepsAll = mutations.relayKeepsAll === true;
      serving();
    });
  }

  #startWorker(set: ServingSet, process: SimProcess, serving: () => void): void {
    set.worker = new WorkerEngine(process, set.address);
    serving();
  }

  #startSipServer(set: ServingSet, process: SimProcess, ownership: Ownership, serving: () => void): void {
    const { network, log, redis, mutations } = this.#around;
    const { service, address, epoch } = set;
    const store = brokenSipBook(redis.open(process, service, "sip", epoch), mutations);
    const asked = mutations.deafToLease === true ? soleOwner : ownership;
    const says = mutations.saysTwice === true ? 2 : 1;
    const parts = { process, network, address, log: log(process.name), ownership: asked, store, says };
    void startEndpoint(parts).then((started) => {
      set.sipServer = { process, ownership, endpoint: started.endpoint };
      set.emptying.set("sip-server", started.handOver);
      serving();
    });
  }

  #startPop(set: ServingSet, process: SimProcess, ownership: Ownership, serving: () => void): void {
    const { region, redis, mutations, log: logOf } = this.#around;
    const { service, address, epoch } = set;
    const log = logOf(process.name);
    const { spool, snapshots } = this.diskOf(service);
    const isUnkept = mutations.recordsUnkept === true;
    dialsOf.set(process, () => connectApplication(process, set.sipServer));
    const relay = new SimMediaRelay(process, () => set.relay);
    const server = new SimMediaServer(process, () => set.worker);
    const routing = new SimContactRouting(process, region, service);
    const events = new SimEventSpool(process, region, isUnkept ? new Map() : spool);
    const signalling = new DrachtioSignalling(
      { host: address, port: 9022, secret: "s", server: "tollgate", instance: service },
      log,
    );
    const prompts = new SimPrompts();
    const opened = redis.open(process, service, "calls", epoch);
    const store = isUnkept ? withoutRecords(opened) : opened;
    const flows = redis.open(process, service, "flows", epoch);
    const calls = new Calls(
      {
        regionId: asId<"region">("eu"),
        popId: asId<"pop">("fra-01"),
        hostId: service,
        limits: { setupTimeoutMs: 5_000, ackGraceMs: 1_000, routingTimeoutMs: 10_000, callMsMax: 600_000 },
        callsConcurrentMax: 1_000,
        journalsMax: 10,
      },
      {
        clock: this.machine,
        setAlarm: process.setAlarm,
        log,
        signalling,
        routing,
        ownership,
        store,
        flows,
        media: { relay, server, promptsOf: () => prompts },
        events,
        snapshots,
        counted: () => {},
      },
    );
    relay.onDtmf(({ call, side, digit }) => calls.signalled(call, { kind: "dtmf", side, digit }));
    relay.onForgotten((call) => calls.signalled(call, { kind: "media-lost" }));
    relay.knows = (call) => calls.knows(call);
    server.onPlayed(({ call, play, how }) => calls.signalled(call, { kind: "played", play, how }));
    server.onConnected(() => calls.workerBack());
    calls.loadSnapshot();
    void (async () => {
      await calls.restore();
      await signalling.start(calls);
      calls.resume(set.formerDiedAtUnixMs);
      routing.start(calls);
      set.pop = {
        process,
        ownership,
        calls,
        handOver: () => calls.handOver(),
      };
      set.emptying.set("pop", set.pop.handOver);
      serving();
    })();
  }
}

// ---- mutations ----

const withoutTrunkLimit = {
  ...SNAPSHOT,
  trunks: SNAPSHOT.trunks.map((trunk) => ({ ...trunk, callsConcurrentMax: 100 })),
};

function changed(store: CheckpointStore, change: Partial<CheckpointStore>): CheckpointStore {
  return {
    save: (field, text) => store.save(field, text),
    remove: (field) => store.remove(field),
    committed: (field, then) => store.committed(field, then),
    load: () => store.load(),
    flush: () => store.flush(),
    health: () => store.health(),
    close: () => store.close(),
    ...change,
  };
}

function brokenSipBook(store: CheckpointStore, mutations: Mutations): CheckpointStore {
  if (mutations.checkpointsLost !== true && mutations.staleCseq !== true) return store;
  return changed(store, {
    load: async () => {
      const loaded = await store.load();
      if (!loaded.ok) return loaded;
      if (mutations.checkpointsLost === true) return { ok: true, value: new Map() };
      const stale = (text: string) =>
        text.replace(/"localSeq":(\d+)/g, (_, seq) => `"localSeq":${Number(seq) - CSEQ_RESERVE - 1}`);
      return { ok: true, value: new Map([...loaded.value].map(([field, text]) => [field, stale(text)])) };
    },
  });
}

const withoutRecords = (store: CheckpointStore): CheckpointStore =>
  changed(store, {
    save: (field, text) => {
      if (text(field).includes('"ended":')) store.remove(field);
      else store.save(field, text);
    },
  });
