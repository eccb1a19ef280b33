// A pair of hosts in memory: two keeper machines, their twin link, etcd, Redis, processes, each host with a clock of its
// own rate. Faults by name. After every event it is proved that no service has two holders and no epoch two owners.

import { asId, type PopHostId } from "../../../kernel/ids.ts";
import type { Rng } from "../../../kernel/rng.ts";
import { seededRng } from "../../../kernel/rng.ts";
import {
  initialKeeper,
  KEEPER_TIMING,
  type KeeperEffect,
  type KeeperEvent,
  type KeeperMemory,
  type KeeperNote,
  type KeeperSettings,
  type KeeperState,
  type KeeperTiming,
  stepKeeper,
} from "../core/keeper-machine.ts";
import type { OwnerEntry, OwnerRecord } from "../core/owner-record.ts";

export const A = asId<"pop-host">("fra-01-a");
export const B = asId<"pop-host">("fra-01-b");
const CALL_MS = 400;

export interface PairOptions {
  readonly seed?: number;
  /** Clock rates; 1.01 runs 1 % fast. */
  readonly rates?: readonly [number, number];
  readonly timing?: Partial<KeeperTiming>;
  readonly etcd?: boolean;
  /** From SIGKILL of the keeper until its processes are gone. */
  readonly dyingMs?: number;
}

interface Due {
  readonly atMs: number;
  readonly sequence: number;
  readonly run: () => void;
}

interface Serving {
  readonly epoch: number;
  /** By the host's clock. */
  untilMs: number;
  readonly alive: Set<string>;
  ended: boolean;
}

interface Link {
  readonly id: number;
  readonly owner: Host;
  readonly ownerBoot: string;
  readonly peerBoot: string;
  readonly from: number;
  open: boolean;
}

class Host {
  readonly id: PopHostId;
  readonly rate: number;
  readonly offsetMs: number;
  state: KeeperState | undefined;
  boot = "";
  boots = 0;
  memory: KeeperMemory = { epochs: {} };
  paused = false;
  /** What happened while it was stopped, in order. */
  readonly missed: (() => void)[] = [];
  /** Every set of this host, also of keepers that have died. */
  readonly sets = new Map<PopHostId, Serving>();
  /** Processes that answer no ping. */
  readonly deaf = new Set<string>();
  readonly notes: { readonly atMs: number; readonly note: KeeperNote }[] = [];
  readonly replies: { readonly id: string; readonly ok: boolean; readonly code: string }[] = [];
  wake = 0;
  links: Link[] = [];

  constructor(id: PopHostId, rate: number, offsetMs: number) {
    this.id = id;
    this.rate = rate;
    this.offsetMs = offsetMs;
  }
}

export type Way = "a>b" | "b>a" | "a>etcd" | "b>etcd" | "a>redis" | "b>redis";
export type SlowWay = Way | "etcd>a" | "etcd>b";

export class SimulatedPair {
  readonly rng: Rng;
  readonly a: Host;
  readonly b: Host;
  readonly cut = new Set<Way>();
  etcdUp: boolean;
  redisUp = true;
  /** Nothing reaches it, nothing leaves it. */
  blackHole: Host | undefined;
  /** Of one message, one way. */
  delayMs = 1;
  jitterMs = 2;
  /** Beyond that, by way. */
  readonly extraMs = new Map<SlowWay, number>();
  /** Share of answers of etcd that are lost though it did what was asked, or will only do it later. */
  lostAnswers = 0;
  readonly owners = new Map<string, string>();
  readonly #timing: KeeperTiming;
  readonly #dyingMs: number;
  #nowMs = 0;
  #sequence = 0;
  #nextFrom = 1;
  readonly #agenda: Due[] = [];
  readonly #records = new Map<PopHostId, OwnerEntry>();
  #revision = 100;
  readonly #fences = new Map<PopHostId, number>();

  constructor(options: PairOptions = {}) {
    this.rng = seededRng(options.seed ?? 1);
    const [rateA, rateB] = options.rates ?? [1, 1];
    this.a = new Host(A, rateA, 5_000);
    this.b = new Host(B, rateB, 900_000);
    this.etcdUp = options.etcd ?? true;
    this.#timing = { ...KEEPER_TIMING, ...options.timing };
    this.#dyingMs = options.dyingMs ?? 0;
  }

  get nowMs(): number {
    return this.#nowMs;
  }

  host(id: PopHostId): Host {
    return id === A ? this.a : this.b;
  }

  other(host: Host): Host {
    return host === this.a ? this.b : this.a;
  }

  localMs(host: Host): number {
    return host.offsetMs + this.#nowMs * host.rate;
  }

  after(delayMs: number, run: () => void): void {
    this.#agenda.push({ atMs: this.#nowMs + delayMs, sequence: this.#sequence++, run });
  }

  runFor(durationMs: number): void {
    const untilMs = this.#nowMs + durationMs;
    for (;;) {
      let first: Due | undefined;
      for (const entry of this.#agenda)
        if (
          entry.atMs <= untilMs &&
          (first === undefined ||
            entry.atMs < first.atMs ||
            (entry.atMs === first.atMs && entry.sequence < first.sequence))
        )
          first = entry;
      if (first === undefined) break;
      this.#agenda.splice(this.#agenda.indexOf(first), 1);
      this.#nowMs = Math.max(this.#nowMs, first.atMs);
      first.run();
    }
    this.#nowMs = untilMs;
  }

  // --- faults ------------------------------------------------------------------------------------------------------

  start(host: Host): void {
    if (host.state !== undefined) return;
    host.boots++;
    host.boot = `${host.id}/${host.boots}`;
    const settings = this.#settings(host);
    host.state = initialKeeper(settings, { atMs: this.localMs(host), boot: host.boot, memory: host.memory });
    this.tell(host, { kind: "woke" });
  }

  startBoth(): void {
    this.start(this.a);
    this.start(this.b);
  }

  /** kill -9 of the keeper: all its processes die with it, its connections are closed by the kernel. */
  kill(host: Host): void {
    if (host.state === undefined) return;
    host.state = undefined;
    host.missed.length = 0;
    host.paused = false;
    const sets = [...host.sets.values()];
    this.after(this.#dyingMs, () => {
      for (const set of sets) set.ended = true;
    });
    if (this.#dyingMs === 0) for (const set of sets) set.ended = true;
    this.#closeLinks(host);
  }

  /** Power off: no packet says so. */
  cutPower(host: Host): void {
    for (const link of [...this.a.links, ...this.b.links]) link.open = false;
    this.a.links = [];
    this.b.links = [];
    this.kill(host);
  }

  pause(host: Host): void {
    host.paused = true;
  }

  resume(host: Host): void {
    host.paused = false;
    for (const run of host.missed.splice(0)) run();
  }

  partition(...ways: readonly Way[]): void {
    for (const way of ways) this.cut.add(way);
  }

  heal(): void {
    this.cut.clear();
  }

  killProcess(host: Host, service: PopHostId, process: string): void {
    const set = host.sets.get(service);
    if (set === undefined || set.ended || !set.alive.delete(process)) return;
    this.#soon(host, 1, { kind: "process-died", service, process: process as never });
  }

  /** A command, as an operator gives it. */
  tell(host: Host, event: KeeperEvent): void {
    const { boot } = host;
    const run = () => {
      if (host.state === undefined || host.boot !== boot) return;
      const atMs = this.localMs(host);
      const { state, effects } = stepKeeper(this.#settings(host), host.state, { atMs, ...event });
      host.state = JSON.parse(JSON.stringify(state)) as KeeperState; // plain data, or the next step shows it
      for (const effect of effects) this.#perform(host, effect);
      this.prove();
    };
    if (host.paused) host.missed.push(run);
    else run();
  }

  // --- what is proved ----------------------------------------------------------------------------------------------

  /** Whether the host's processes may answer for the service just now. */
  serves(host: Host, service: PopHostId): boolean {
    const set = host.sets.get(service);
    return set !== undefined && !set.ended && this.localMs(host) < set.untilMs;
  }

  holders(service: PopHostId): Host[] {
    return [this.a, this.b].filter((host) => this.serves(host, service));
  }

  prove(): void {
    for (const service of [A, B])
      if (this.holders(service).length > 1) throw new Error(`${this.#nowMs} ms: two hosts hold ${service}`);
  }

  notes(host: Host, event: KeeperNote["event"]): KeeperNote[] {
    return host.notes.filter(({ note }) => note.event === event).map(({ note }) => note);
  }

  record(service: PopHostId): OwnerRecord | undefined {
    return this.#records.get(service)?.record;
  }

  // --- effects -----------------------------------------------------------------------------------------------------

  #settings(host: Host): KeeperSettings {
    return {
      host: host.id,
      twin: this.other(host).id,
      processes: ["sip-server", "rtpengine", "media-worker", "pop"],
      timing: this.#timing,
    };
  }

  #soon(host: Host, afterMs: number, event: KeeperEvent): void {
    const { boot } = host;
    this.after(afterMs, () => {
      if (host.boot === boot) this.tell(host, event);
    });
  }

  #perform(host: Host, effect: KeeperEffect): void {
    switch (effect.kind) {
      case "connect-twin":
        return this.#connect(host, effect.link);
      case "close-twin":
        return this.#close(host, effect.link);
      case "send-beat": {
        const link = host.links.find(({ id }) => id === effect.link);
        if (link === undefined) return;
        const { from } = link;
        return this.#deliver(link, host, this.other(host), link.peerBoot, { kind: "beat", from, beat: effect.beat });
      }
      case "answer-beat": {
        const peer = this.other(host);
        const link = peer.links.find(({ from, open }) => open && from === effect.from);
        if (link === undefined) return;
        return this.#deliver(link, host, peer, link.ownerBoot, {
          kind: "answer",
          link: link.id,
          answer: effect.answer,
        });
      }
      case "read-owner":
        return this.#ask(host, "etcd", {
          does: () => this.#entry(effect.service),
          answers: (entry) => ({
            kind: "owner-read",
            service: effect.service,
            id: effect.id,
            outcome: { ok: true, value: entry },
          }),
          away: { kind: "owner-read", service: effect.service, id: effect.id, outcome: AWAY },
        });
      case "write-owner":
        return this.#ask(host, "etcd", {
          does: () => this.#swap(effect.service, effect.record, effect.ifRevision),
          answers: (outcome) => ({ kind: "owner-written", service: effect.service, id: effect.id, outcome }),
          away: { kind: "owner-written", service: effect.service, id: effect.id, outcome: AWAY },
        });
      case "take-address":
        return this.#soon(host, 5, {
          kind: "address-taken",
          service: effect.service,
          outcome: { ok: true, value: undefined },
        });
      case "fence-store":
        return this.#ask(host, "redis", {
          does: () => {
            const by = this.#fences.get(effect.service) ?? 0;
            if (by <= effect.epoch) this.#fences.set(effect.service, effect.epoch);
            return by;
          },
          answers: (by) => ({
            kind: "store-fenced",
            service: effect.service,
            epoch: effect.epoch,
            outcome:
              by > effect.epoch
                ? { ok: false, failure: { code: "store.superseded", epoch: effect.epoch, by } }
                : { ok: true, value: undefined },
          }),
          away: {
            kind: "store-fenced",
            service: effect.service,
            epoch: effect.epoch,
            outcome: { ok: false, failure: { code: "store.away", forMs: CALL_MS } },
          },
        });
      case "start-serving": {
        const name = `${effect.service} ${effect.epoch}`;
        const owner = this.owners.get(name);
        if (owner !== undefined) throw new Error(`epoch ${name} of ${owner} begins again on ${host.boot}`);
        this.owners.set(name, host.boot);
        const set: Serving = { epoch: effect.epoch, untilMs: effect.untilMs, alive: new Set(), ended: false };
        host.sets.set(effect.service, set);
        for (const process of this.#settings(host).processes) this.#startProcess(host, effect.service, set, process);
        return;
      }
      case "start-process": {
        const set = host.sets.get(effect.service);
        if (set !== undefined) this.#startProcess(host, effect.service, set, effect.process);
        return;
      }
      case "kill-process":
        return this.killProcess(host, effect.service, effect.process);
      case "kill-serving":
      case "stop-serving": {
        const set = host.sets.get(effect.service);
        if (set !== undefined && effect.kind === "kill-serving") set.ended = true;
        const endsInMs = effect.kind === "kill-serving" ? 5 : 300;
        this.after(endsInMs, () => {
          if (set !== undefined && !(effect.kind === "stop-serving" && host.paused)) set.ended = true;
        });
        return this.#soon(host, endsInMs + 1, { kind: "serving-ended", service: effect.service });
      }
      case "empty-serving":
        return this.#soon(host, 20, { kind: "serving-emptied", service: effect.service });
      case "extend-lease": {
        const set = host.sets.get(effect.service);
        if (set !== undefined && !set.ended) set.untilMs = Math.max(set.untilMs, effect.untilMs);
        return;
      }
      case "ping": {
        const alive = [...(host.sets.get(effect.service)?.alive ?? [])];
        for (const process of alive.filter((name) => !host.deaf.has(name)))
          this.#soon(host, 1, { kind: "pong", service: effect.service, process: process as never });
        return;
      }
      case "persist":
        host.memory = effect.memory;
        return;
      case "wake": {
        const { boot } = host;
        const number = ++host.wake;
        const inMs = (effect.atMs - this.localMs(host)) / host.rate;
        this.after(Math.max(0, inMs), () => {
          if (host.boot === boot && host.wake === number) this.tell(host, { kind: "woke" });
        });
        return;
      }
      case "reply":
        host.replies.push({
          id: effect.id,
          ok: effect.outcome.ok,
          code: effect.outcome.ok ? "" : effect.outcome.failure.code,
        });
        return;
      case "note":
        host.notes.push({ atMs: this.#nowMs, note: effect });
        return;
      case "finished":
        this.after(1, () => this.kill(host));
        return;
    }
  }

  #startProcess(host: Host, service: PopHostId, set: Serving, process: string): void {
    const { boot } = host;
    this.after(40 + this.rng.next() * 60, () => {
      if (host.boot !== boot || set.ended || host.sets.get(service) !== set) return;
      set.alive.add(process);
      this.tell(host, { kind: "process-serving", service, process: process as never });
    });
  }

  // --- the twin link: as TCP behaves ---------------------------------------------------------------------------------

  readonly #lastMs = new Map<Host, number>();

  /** TCP overtakes nothing. */
  #inOrderMs(from: Host, to: Host): number {
    const atMs = Math.max(this.#nowMs + this.#flightMs(this.#way(from)), this.#lastMs.get(to) ?? 0);
    this.#lastMs.set(to, atMs);
    return atMs - this.#nowMs;
  }

  #isCut(from: Host, to: Host): boolean {
    return this.cut.has(this.#way(from)) || this.blackHole === from || this.blackHole === to;
  }

  #flightMs(way?: SlowWay): number {
    return this.delayMs + this.rng.next() * this.jitterMs + (way === undefined ? 0 : (this.extraMs.get(way) ?? 0));
  }

  #way(from: Host): Way {
    return from === this.a ? "a>b" : "b>a";
  }

  #connect(host: Host, id: number): void {
    const peer = this.other(host);
    const timeOutAtMs = this.#nowMs + CALL_MS;
    const answer = (event: KeeperEvent) => {
      if (this.#nowMs <= timeOutAtMs) this.tell(host, event);
    };
    const { boot } = host;
    this.after(this.#flightMs(this.#way(host)), () => {
      const reached = !this.#isCut(host, peer) && !this.#isCut(peer, host) && !this.#off.has(peer);
      const peerBoot = peer.boot;
      const runs = peer.state !== undefined;
      const turns = runs && !peer.paused;
      this.after(this.#flightMs(this.#way(peer)), () => {
        if (host.boot !== boot || host.state === undefined) return;
        if (reached && !runs) return answer({ kind: "twin-refused", link: id });
        if (!reached || !turns || peer.boot !== peerBoot || peer.state === undefined)
          return this.after(Math.max(0, timeOutAtMs - this.#nowMs), () => {
            if (host.boot === boot) this.tell(host, { kind: "twin-unreachable", link: id, because: "timed-out" });
          });
        host.links = [{ id, owner: host, ownerBoot: boot, peerBoot, from: this.#nextFrom++, open: true }];
        answer({ kind: "twin-connected", link: id });
      });
    });
  }

  readonly #off = new Set<Host>();

  /** Its machine is gone, not only its keeper: nothing refuses. */
  powerOff(host: Host): void {
    this.#off.add(host);
    this.cutPower(host);
  }

  powerOn(host: Host): void {
    this.#off.delete(host);
    this.start(host);
  }

  #close(host: Host, id: number): void {
    const link = host.links.find((each) => each.id === id);
    if (link === undefined) return;
    link.open = false;
    host.links = host.links.filter((each) => each !== link);
    const peer = this.other(host);
    this.#deliverAnyway(host, peer, link.peerBoot, { kind: "twin-hung-up", from: link.from });
  }

  #closeLinks(host: Host): void {
    const peer = this.other(host);
    for (const link of host.links.splice(0)) {
      link.open = false;
      this.#deliverAnyway(host, peer, link.peerBoot, { kind: "twin-hung-up", from: link.from });
    }
    for (const link of peer.links.splice(0)) {
      link.open = false;
      this.#deliverAnyway(host, peer, link.ownerBoot, { kind: "twin-closed", link: link.id });
    }
  }

  /** In order, kept back while the way is cut, gone with the connection. */
  #deliver(link: Link, from: Host, to: Host, toBoot: string, event: KeeperEvent): void {
    this.after(this.#inOrderMs(from, to), () => {
      if (!link.open || to.boot !== toBoot) return;
      if (this.#isCut(from, to) || this.#isCut(to, from))
        return this.after(100, () => this.#deliver(link, from, to, toBoot, event));
      this.tell(to, event);
    });
  }

  #deliverAnyway(from: Host, to: Host, toBoot: string, event: KeeperEvent): void {
    this.after(this.#flightMs(this.#way(from)), () => {
      if (to.boot !== toBoot) return;
      // An end that is not heard of is noticed by the silence: the adapter closes what says nothing for a second
      if (this.#isCut(from, to)) return this.after(1_000, () => to.boot === toBoot && this.tell(to, event));
      this.tell(to, event);
    });
  }

  // --- etcd and Redis ------------------------------------------------------------------------------------------------

  #ask<Answer>(
    host: Host,
    whom: "etcd" | "redis",
    { does, answers, away }: { does: () => Answer; answers: (answer: Answer) => KeeperEvent; away: KeeperEvent },
  ): void {
    const { boot } = host;
    const name = host === this.a ? "a" : "b";
    const way: Way = `${name}>${whom}`;
    const isUp = () => (whom === "etcd" ? this.etcdUp : this.redisUp);
    let settled = false;
    const settle = (event: KeeperEvent) => {
      if (settled || host.boot !== boot) return;
      settled = true;
      this.tell(host, event);
    };
    this.after(CALL_MS, () => settle(away));
    const lost = whom === "etcd" && this.rng.next() < this.lostAnswers;
    // Asked in time, done late: the worst that a store can do to who has given up waiting
    const reachesInMs = this.#flightMs(way) + (lost && this.rng.next() < 0.5 ? this.rng.next() * 3_000 : 0);
    this.after(reachesInMs, () => {
      if (this.cut.has(way) || this.blackHole === host || !isUp()) return;
      const answer = does();
      if (lost) return;
      this.after(this.#flightMs(whom === "etcd" ? `etcd>${name}` : undefined), () => {
        if (!this.cut.has(way) && this.blackHole !== host) settle(answers(answer));
      });
    });
  }

  #entry(service: PopHostId): OwnerEntry {
    return this.#records.get(service) ?? { record: undefined, revision: 0, writtenAtUnixMs: undefined };
  }

  #swap(service: PopHostId, record: OwnerRecord, ifRevision: number) {
    const now = this.#entry(service);
    if (now.revision !== ifRevision) return { ok: false, failure: { code: "owner.conflict", entry: now } } as const;
    const entry: OwnerEntry = { record, revision: ++this.#revision, writtenAtUnixMs: 1_767_225_600_000 + this.#nowMs };
    if ((now.record?.epoch ?? 0) > record.epoch)
      throw new Error(`${this.#nowMs} ms: the epoch of ${service} goes back`);
    this.#records.set(service, entry);
    for (const host of [this.a, this.b])
      if (!this.cut.has(host === this.a ? "a>etcd" : "b>etcd") && this.blackHole !== host)
        this.#soon(host, this.#flightMs(host === this.a ? "etcd>a" : "etcd>b"), { kind: "owner-seen", service, entry });
    return { ok: true, value: entry } as const;
  }
}

const AWAY = { ok: false, failure: { code: "owner.store-away", detail: "simulated" } } as const;
export type SimulatedHost = Host;
