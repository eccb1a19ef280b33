// A pair of POP hosts and everything around it, in simulated time, under faults, watched after every step.

import { asId, type PopHostId } from "../../kernel/ids.ts";
import { jsonLog, type Log } from "../../kernel/log.ts";
import { Turns } from "../../kernel/sim/turns.ts";
import { type LinkFaults, SimWorld } from "../../kernel/sim/world.ts";
import { drawFaults, endOf, type Fault, type HostLetter, showFault } from "./faults.ts";
import { History } from "./history.ts";
import { type Mutations, SimHost, type Surroundings } from "./host.ts";
import { type Broken, type Excuse, Invariants } from "./invariants.ts";
import { Paths } from "./paths.ts";
import { SimRegion } from "./region.ts";
import { SimEtcd } from "./sim-etcd.ts";
import { SimKeeper } from "./sim-keeper.ts";
import { SimRedis } from "./sim-redis.ts";
import { SipNetwork } from "./sip-network.ts";
import { takeGlobals } from "./system-globals.ts";
import { agentAddress, CARRIER_ADDRESS, FAR_ADDRESS } from "./tenant.ts";
import { Traffic, type Wish } from "./traffic.ts";

export interface RunOptions {
  readonly seed: number;
  /** Of traffic and faults; the time in which all drains comes after them. */
  readonly minutes?: number;
  /** Instead of those drawn from the seed. */
  readonly faults?: readonly Fault[];
  /** Instead of traffic drawn from the seed. */
  readonly calls?: readonly { readonly atMs: number; readonly service: HostLetter; readonly wish: Wish }[];
  readonly mutations?: Mutations;
  /** Prints what the processes log from this level on. */
  readonly show?: (line: string) => void;
}

export interface RunResult {
  readonly seed: number;
  readonly faults: readonly Fault[];
  readonly broken: Broken | undefined;
  /** Of the whole history. */
  readonly digest: string;
  readonly history: History;
  readonly facts: RunFacts;
}

export interface RunFacts {
  readonly simulatedMs: number;
  readonly steps: number;
  readonly calls: number;
  readonly answered: number;
  readonly excused: number;
  readonly takeovers: number;
  readonly reAnchored: number;
  readonly lines: number;
}

/** Both hosts up, and their services served, before the first call. */
const SETTLED_MS = 4_000;
/** After the last fault, until a host that was gone is back, a relay restarted, a link made anew. */
const RECOVERED_MS = 25_000;
/** After the last fault and the last call: nobody outside talks for longer than a minute, no transaction lasts longer than 64·T1. */
export const DRAINED_WITHIN_MS = 200_000;
/** A service that nobody serves for so long has lost the pair's calls: a peer gives up after 64·T1 = 32 s. */
const LOST_AFTER_MS = 20_000;
const AGENTS = 4;

export async function simulate(options: RunOptions): Promise<RunResult> {
  const pair = new SimPair(options);
  const giveBack = takeGlobals(pair.world, pair.turns);
  try {
    await pair.run();
  } finally {
    giveBack();
  }
  return pair.result();
}

class SimPair {
  readonly world: SimWorld;
  readonly turns = new Turns();
  readonly history: History;
  readonly #options: RunOptions;
  readonly #network: SipNetwork;
  readonly #paths = new Paths();
  readonly #etcd: SimEtcd;
  readonly #redis: SimRedis;
  readonly #region: SimRegion;
  readonly #traffic: Traffic;
  readonly #hosts: Readonly<Record<HostLetter, SimHost>>;
  readonly #keepers: Record<HostLetter, SimKeeper | undefined> = { a: undefined, b: undefined };
  readonly #hasPower: Record<HostLetter, boolean> = { a: true, b: true };
  readonly #faults: readonly Fault[];
  readonly #invariants: Invariants;
  readonly #trafficEndsMs: number;
  readonly #links: LinkFaults;
  readonly #unservedSinceMs: Record<HostLetter, number | undefined> = { a: undefined, b: undefined };
  /** Until then what dies may have lost what it wrote last. */
  #storeShakyUntilMs = 0;
  #steps = 0;
  #takeovers = 0;
  readonly #serves = new Map<PopHostId, string>();

  constructor(options: RunOptions) {
    this.#options = options;
    const { seed, minutes = 1, mutations = {} } = options;
    this.world = new SimWorld(seed, { delayMs: 20 });
    const { rng } = this.world;
    this.#links = {
      delayMs: 5 + 60 * rng.next(),
      jitterMs: 20 * rng.next() ** 2,
      lossRate: 0.04 * rng.next() ** 2,
      duplicateRate: 0.02 * rng.next(),
    };
    this.history = new History(this.world);
    this.#network = new SipNetwork(this.world, this.history);
    this.#etcd = new SimEtcd(this.world, this.#paths);
    this.#redis = new SimRedis(this.world, this.#paths);
    this.#region = new SimRegion(this.world, this.#paths);
    this.#region.offersTwice = mutations.offersTwice === true;
    this.#traffic = new Traffic(this.world, this.#network, AGENTS);
    for (let n = 1; n <= AGENTS; n++) this.#region.addAgent(`agent-${n}`, `sip:agent@${agentAddress(n)}:5060`);
    const around: Surroundings = {
      world: this.world,
      network: this.#network,
      region: this.#region,
      redis: this.#redis,
      mutations,
      log: (process) => this.#log(process),
      addressOf: (service) => ADDRESSES[letterOf(service)],
      noted: (text) => this.#noted(text),
    };
    this.#hosts = { a: new SimHost(around, NAMES.a), b: new SimHost(around, NAMES.b) };
    for (const letter of LETTERS) this.#network.service(ADDRESSES[letter], `svc-${letter}`);
    this.#setLinks(this.#links);
    const faultsUntilMs = SETTLED_MS + minutes * 60_000;
    this.#faults = options.faults ?? drawFaults(rng, SETTLED_MS, faultsUntilMs);
    this.#trafficEndsMs = Math.max(
      options.calls === undefined ? faultsUntilMs : 0,
      ...this.#faults.map(endOf),
      ...(options.calls ?? []).map(({ atMs }) => atMs),
    );
    this.#invariants = new Invariants({
      world: this.world,
      hosts: Object.values(this.#hosts),
      region: this.#region,
      redis: this.#redis,
      traffic: this.#traffic,
    });
    this.#watch();
  }

  async run(): Promise<void> {
    const { world, turns } = this;
    for (const letter of LETTERS) world.after(world.rng.next() * 100, () => this.#startHost(letter));
    for (const fault of this.#faults) world.after(fault.atMs, () => this.#happen(fault));
    world.after(SETTLED_MS, () => this.#beginTraffic());
    const everyHalfSecond = () => {
      this.#lookAtServices();
      world.after(500, everyHalfSecond);
    };
    everyHalfSecond();
    const looked = () => {
      this.#steps++;
      this.#invariants.look();
      return this.#invariants.broken === undefined;
    };
    await turns.runUntil(world, this.#trafficEndsMs + RECOVERED_MS, looked);
    if (this.#isBroken) return;
    await this.#probe(looked);
    const lastMs = this.#trafficEndsMs + DRAINED_WITHIN_MS;
    while (!this.#isBroken && world.nowMs() < lastMs && this.#invariants.leftOver() !== undefined)
      await turns.runUntil(world, Math.min(lastMs, world.nowMs() + 2_000), looked);
    if (this.#isBroken) return;
    const left = this.#invariants.leftOver();
    if (left !== undefined)
      this.#invariants.break("everything-drains", left, /carrier\.\d+|out-\w+|\+\d{8,}/.exec(left)?.[0]);
    this.#invariants.records();
  }

  get #isBroken(): boolean {
    return this.#invariants.broken !== undefined;
  }

  /** When all is well again, every service takes calls. */
  async #probe(looked: () => boolean): Promise<void> {
    const { world, turns } = this;
    const probes = LETTERS.map((letter) => this.#traffic.call(ADDRESSES[letter], "news", 6_000));
    await turns.runUntil(world, world.nowMs() + 15_000, looked);
    for (const { dialog, service } of probes)
      if (dialog.answeredAtMs === undefined && !(dialog.ending?.kind === "refused" && dialog.ending.status === 503))
        this.#invariants.break("calls-are-served-again", `no answer at ${service} (${dialog.state})`, dialog.callId);
  }

  result(): RunResult {
    const { calls } = this.#traffic;
    return {
      seed: this.#options.seed,
      faults: this.#faults,
      broken: this.#invariants.broken,
      digest: this.history.digest(),
      history: this.history,
      facts: {
        simulatedMs: this.world.nowMs(),
        steps: this.#steps,
        calls: calls.length,
        answered: calls.filter(({ dialog }) => dialog.answeredAtMs !== undefined).length,
        excused: this.#invariants.excused.size,
        takeovers: this.#takeovers,
        reAnchored: this.#invariants.reAnchored,
        lines: this.history.count,
      },
    };
  }

  #watch(): void {
    const invariants = this.#invariants;
    this.#network.onSent = (sent) => invariants.sent(sent);
    this.#network.onServiceReached = (text) => invariants.reached(text);
    this.#etcd.onWritten = (service, record) => invariants.owned(service, record);
    this.#region.onOffer = (offer) => invariants.offered(offer);
    this.#region.onEvent = (event) => {
      this.#noted(
        `region has ${event.name} of ${event.callId}${event.record === undefined ? "" : ` (${event.record.callingNumber} ${event.record.endCode})`}`,
      );
      invariants.event(event);
    };
    this.#traffic.onDialog = (dialog, who) => {
      dialog.onEnded = () => {
        const { ending } = dialog;
        if (ending === undefined) return;
        this.#noted(`${who} ${dialog.callId} is over: ${Object.values(ending).join(" ")}`);
        invariants.ended(dialog, ending, who);
      };
    };
    this.#traffic.onKey = (call, digit) => {
      for (const host of Object.values(this.#hosts))
        for (const set of host.sets.values()) {
          if (set.address !== call.service || this.#network.homeOf(set.address) !== host.name) continue;
          for (const { basics } of set.pop?.calls.list() ?? [])
            if (basics.callingNumber === call.callingNumber) set.relay?.press(basics.id, digit);
        }
    };
  }

  #beginTraffic(): void {
    const { calls } = this.#options;
    if (calls === undefined) {
      this.#traffic.start(Object.values(ADDRESSES), this.#trafficEndsMs, 1_500 + 2_000 * this.world.rng.next());
      return;
    }
    for (const { atMs, service, wish } of calls)
      this.world.after(atMs - this.world.nowMs(), () => this.#traffic.call(ADDRESSES[service], wish));
  }

  // ---- hosts ----

  #startHost(letter: HostLetter): void {
    if (this.#keepers[letter] !== undefined) return;
    const other: HostLetter = letter === "a" ? "b" : "a";
    this.#hasPower[letter] = true;
    this.#isolate(letter, false);
    this.#noted(`host ${letter} starts`);
    this.#keepers[letter] = new SimKeeper(this.#hosts[letter], NAMES[other], {
      network: this.#network,
      paths: this.#paths,
      etcd: this.#etcd,
      redis: this.#redis,
      twin: () => this.#keepers[other],
      twinHasPower: () => this.#hasPower[other],
      noted: (keeper, { event, fields }) => {
        this.#noted(`keeper ${letterOf(keeper.host.name)}: ${event} ${show(fields)}`);
      },
      replied: (id, failure) => this.#noted(`${id}: ${failure ?? "done"}`),
      began: (service, epoch) => this.#began(letter, service, epoch),
      ended: () => {
        this.#keepers[letter] = undefined;
      },
    });
  }

  #killHost(letter: HostLetter): void {
    const keeper = this.#keepers[letter];
    this.#keepers[letter] = undefined;
    keeper?.process.kill();
  }

  #began(letter: HostLetter, service: PopHostId, epoch: number): void {
    this.#invariants.began(service, epoch, NAMES[letter]);
    const before = this.#serves.get(service);
    if (before !== undefined && before !== letter) this.#takeovers++;
    this.#serves.set(service, letter);
    if (this.#isStoreShaky(letter)) this.#excuse(service, "store-gone");
  }

  #isStoreShaky(letter: HostLetter): boolean {
    const name = NAMES[letter];
    return (
      this.world.nowMs() < this.#storeShakyUntilMs ||
      !this.#redis.isUp ||
      !this.#paths.isOpen(name, "redis") ||
      !this.#paths.isOpen("redis", name)
    );
  }

  /** What lived there then may be lost: the loss is stated. */
  #excuse(service: PopHostId, why: Excuse): void {
    const address = ADDRESSES[letterOf(service)];
    let count = 0;
    for (const dialog of this.#traffic.dialogs()) {
      if (dialog.service !== address) continue;
      this.#invariants.excusedCalls.add(dialog.callId);
      if (this.#invariants.excused.has(dialog)) continue;
      if (dialog.state === "ended" && this.#invariants.hasRecord(dialog)) continue;
      this.#invariants.excused.set(dialog, why);
      count++;
    }
    if (count > 0) this.#noted(`${count} dialogs of ${service} may be lost: ${why}`);
  }

  #lookAtServices(): void {
    const nowMs = this.world.nowMs();
    for (const letter of LETTERS) {
      const service = NAMES[letter];
      const isServed = Object.values(this.#hosts).some((host) => {
        const set = host.sets.get(service);
        if (this.#network.isCut(host.name) || this.#network.homeOf(ADDRESSES[letter]) !== host.name) return false;
        const server = set?.sipServer;
        const pop = set?.pop;
        return server?.process.stopped === false && pop?.process.stopped === false && server.ownership.held();
      });
      const since = this.#unservedSinceMs[letter];
      if (isServed) this.#unservedSinceMs[letter] = undefined;
      else if (since === undefined) this.#unservedSinceMs[letter] = nowMs;
      else if (nowMs - since > LOST_AFTER_MS) this.#excuse(service, "pair-lost");
    }
  }

  // ---- faults ----

  #happen(fault: Fault): void {
    this.#noted(`FAULT ${showFault(fault)}`);
    const { world } = this;
    const after = (run: () => void) => {
      if ("forMs" in fault)
        world.after(fault.forMs, () => {
          this.#noted(`over: ${fault.kind}`);
          run();
        });
    };
    switch (fault.kind) {
      case "kill-process":
        return this.#processOf(fault.service, fault.process)?.kill();
      case "kill-host":
        this.#loseWhatIsUnderWay(fault.host);
        this.#killHost(fault.host);
        return after(() => this.#startHost(fault.host));
      case "power-off":
        this.#loseWhatIsUnderWay(fault.host);
        this.#hasPower[fault.host] = false;
        this.#isolate(fault.host, true);
        this.#killHost(fault.host);
        return after(() => this.#startHost(fault.host));
      case "stop-process": {
        const process = this.#processOf(fault.service, fault.process);
        process?.stop();
        return after(() => process?.cont());
      }
      case "stop-keeper": {
        const process = this.#keepers[fault.host]?.process;
        process?.stop();
        return after(() => process?.cont());
      }
      case "stop-host": {
        const processes = [...this.#hosts[fault.host].machine.processes];
        for (const process of processes) process.stop();
        return after(() => {
          for (const process of processes) process.cont();
        });
      }
      case "etcd-away":
        this.#etcd.isAway = true;
        return after(() => {
          this.#etcd.isAway = false;
        });
      case "etcd-slow":
        this.#etcd.answerMs = fault.answerMs;
        return after(() => {
          this.#etcd.answerMs = 3;
        });
      case "redis-away":
        this.#redis.away();
        this.#shake(fault.forMs);
        return after(() => {
          if (fault.empty) this.#loseTheStore();
          this.#redis.back(fault.empty);
        });
      case "redis-silent":
        this.#redis.hang();
        this.#shake(fault.forMs);
        return after(() => this.#redis.back(false));
      case "redis-slow":
        this.#redis.answerMs = fault.answerMs;
        this.#shake(fault.forMs);
        return after(() => {
          this.#redis.answerMs = 1;
        });
      case "twins-cut": {
        const ways: [string, string][] = [];
        if (fault.ways !== "b-to-a") ways.push([NAMES.a, NAMES.b]);
        if (fault.ways !== "a-to-b") ways.push([NAMES.b, NAMES.a]);
        for (const [from, to] of ways) this.#paths.cut(from, to);
        return after(() => {
          for (const [from, to] of ways) this.#paths.mend(from, to);
        });
      }
      case "host-cut":
        this.#isolate(fault.host, true);
        return after(() => {
          if (this.#hasPower[fault.host]) this.#isolate(fault.host, false);
        });
      case "outside-cut":
        this.#network.cut(NAMES[fault.host], true);
        return after(() => {
          if (this.#hasPower[fault.host]) this.#network.cut(NAMES[fault.host], false);
        });
      case "region-away": {
        const ways = LETTERS.flatMap((letter): [string, string][] => [
          [NAMES[letter], "region"],
          ["region", NAMES[letter]],
        ]);
        for (const [from, to] of ways) this.#paths.cut(from, to);
        return after(() => {
          for (const [from, to] of ways) this.#paths.mend(from, to);
        });
      }
      case "wall-clock-jump":
        this.#hosts[fault.host].machine.wallOffsetMs += fault.byMs;
        return;
      case "bad-network":
        this.#setLinks({ ...this.#links, lossRate: fault.lossRate, jitterMs: fault.jitterMs });
        return after(() => this.#setLinks(this.#links));
      case "hand-over": {
        const service = NAMES[fault.service];
        const keeper = LETTERS.map((letter) => this.#keepers[letter]).find((kept) => kept?.host.sets.has(service));
        keeper?.ask({ kind: "hand-over", id: `hand-over of ${service}`, service });
        return;
      }
      case "return-home":
        this.#keepers[fault.host]?.ask({ kind: "return-home", id: `return of ${NAMES[fault.host]}` });
        return;
    }
  }

  #processOf(service: HostLetter, name: Parameters<SimHost["kill"]>[1]) {
    for (const host of Object.values(this.#hosts)) {
      const kept = host.sets.get(NAMES[service])?.processes.get(name);
      if (kept === undefined) continue;
      if (this.#isStoreShaky(letterOf(host.name))) this.#excuse(NAMES[service], "store-gone");
      return kept.process;
    }
    return undefined;
  }

  #loseWhatIsUnderWay(letter: HostLetter): void {
    if (!this.#isStoreShaky(letter)) return;
    for (const service of this.#hosts[letter].sets.keys()) this.#excuse(service, "store-gone");
  }

  /** It comes back empty: what lives is written anew, what is being restarted just then is not. */
  #loseTheStore(): void {
    for (const letter of LETTERS) {
      const service = NAMES[letter];
      const isWhole = Object.values(this.#hosts).some((host) => {
        const set = host.sets.get(service);
        return set?.pop !== undefined && set.sipServer !== undefined;
      });
      if (!isWhole) this.#excuse(service, "store-gone");
    }
  }

  #shake(forMs: number): void {
    this.#storeShakyUntilMs = Math.max(this.#storeShakyUntilMs, this.world.nowMs() + forMs + 1_000);
  }

  #isolate(letter: HostLetter, isAlone: boolean): void {
    this.#paths.isolate(NAMES[letter], isAlone);
    this.#network.cut(NAMES[letter], isAlone);
    this.#redis.pathsChanged();
  }

  #setLinks(faults: LinkFaults): void {
    const outside = [CARRIER_ADDRESS, FAR_ADDRESS, ...Array.from({ length: AGENTS }, (_, at) => agentAddress(at + 1))];
    for (const address of outside) for (const letter of LETTERS) this.#network.link(address, ADDRESSES[letter], faults);
  }

  #noted(text: string): void {
    this.history.write(`* ${text}`);
  }

  /** Everything is logged for somebody; a bug that a process tells of is a broken invariant. */
  #log(process: string): Log {
    const { show } = this.#options;
    const log = jsonLog(
      (line) => show?.(`${this.world.nowMs().toFixed(1)} ${line}`),
      show === undefined ? "error" : "debug",
      () => this.world.unixMs(),
      { process },
    );
    return {
      ...log,
      error: (event, fields) => {
        if (/\.bug$|effect-failed|handler-failed|inbox-full/.test(event))
          this.#invariants.break("no-bug-told", `${process}: ${event} ${showError(fields)}`);
        log.error(event, fields);
      },
    };
  }
}

const LETTERS: readonly HostLetter[] = ["a", "b"];
const NAMES: Readonly<Record<HostLetter, PopHostId>> = { a: asId("fra-01-a"), b: asId("fra-01-b") };
const ADDRESSES: Readonly<Record<HostLetter, string>> = { a: "10.10.1.11", b: "10.10.1.12" };
const letterOf = (host: PopHostId): HostLetter => (host === NAMES.a ? "a" : "b");
const show = (fields: Readonly<Record<string, unknown>>): string =>
  Object.entries(fields)
    .map(([name, value]) => `${name}=${String(value)}`)
    .join(" ");

function showError(fields: Readonly<Record<string, unknown>> | undefined): string {
  const error = fields?.error;
  return error instanceof Error ? (error.stack ?? error.message).split("\n").slice(0, 4).join(" ") : show(fields ?? {});
}
