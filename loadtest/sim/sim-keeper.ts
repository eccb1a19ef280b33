// A host's keeper in simulated time: the real machine, its effects performed on simulated twins, stores and processes.

import type { PopHostId } from "../../kernel/ids.ts";
import { fail, succeed } from "../../kernel/outcome.ts";
import { SimProcess } from "../../kernel/sim/process.ts";
import { initialKeeper, stepKeeper } from "../../pop/keeper/core/keeper-machine.ts";
import {
  KEEPER_TIMING,
  type KeeperEffect,
  type KeeperEvent,
  type KeeperMemory,
  type KeeperNote,
  type KeeperSettings,
  type KeeperState,
  type ProcessName,
} from "../../pop/keeper/core/keeper-words.ts";
import type { Answer, Beat } from "../../pop/keeper/core/twin-talk.ts";
import type { SimHost } from "./host.ts";
import { Channel, type Paths } from "./paths.ts";
import type { SimEtcd } from "./sim-etcd.ts";
import type { SimRedis } from "./sim-redis.ts";
import type { SipNetwork } from "./sip-network.ts";

const TWIN_MS = 0.5;
const CONNECT_GIVE_UP_MS = 400;
export const PROCESSES: readonly ProcessName[] = ["rtpengine", "sip-server", "media-worker", "pop"];

export interface KeeperSurroundings {
  readonly network: SipNetwork;
  readonly paths: Paths;
  readonly etcd: SimEtcd;
  readonly redis: SimRedis;
  /** The twin's keeper, if it runs. */
  twin(): SimKeeper | undefined;
  /** Its machine has power, so that somebody says "refused". */
  twinHasPower(): boolean;
  noted(keeper: SimKeeper, note: KeeperNote): void;
  replied(id: string, failure: string | undefined): void;
  /** It begins to serve. */
  began(service: PopHostId, epoch: number): void;
  ended(keeper: SimKeeper): void;
}

interface Incoming {
  readonly channel: Channel;
  answered(answer: Answer): void;
}

export class SimKeeper {
  readonly process: SimProcess;
  readonly host: SimHost;
  readonly #around: KeeperSurroundings;
  readonly #settings: KeeperSettings;
  #state: KeeperState;
  readonly #inbox: KeeperEvent[] = [];
  #busy = false;
  #wake: { cancel(): void } | undefined;
  readonly #outgoing = new Map<number, Channel>();
  readonly #incoming = new Map<number, Incoming>();
  #connections = 0;

  constructor(host: SimHost, twin: PopHostId, around: KeeperSurroundings) {
    this.host = host;
    this.#around = around;
    this.process = new SimProcess(host.machine, `keeper@${host.name}`);
    this.#settings = { host: host.name, twin, processes: PROCESSES, timing: KEEPER_TIMING };
    const { world } = host.machine;
    const boot = `boot-${Math.floor(world.rng.next() * 1e9)}`;
    this.#state = initialKeeper(this.#settings, { boot, memory: host.keeperDisk, atMs: host.machine.nowMs() });
    this.process.whenDead(() => host.killAll());
    host.whenProcessDies = (service, process) => {
      world.after(1, () => this.process.take(() => this.feed({ kind: "process-died", service, process })));
    };
    around.etcd.watch(this.process, (service, entry) => this.feed({ kind: "owner-seen", service, entry }));
    this.process.take(() => this.feed({ kind: "woke" }));
  }

  get state(): KeeperState {
    return this.#state;
  }

  feed(event: KeeperEvent): void {
    if (!this.process.alive) return;
    this.#inbox.push(event);
    if (this.#busy) return;
    this.#busy = true;
    for (let next = this.#inbox.shift(); next !== undefined; next = this.#inbox.shift()) {
      const { state, effects } = stepKeeper(this.#settings, this.#state, { ...next, atMs: this.host.machine.nowMs() });
      this.#state = state;
      this.#perform(effects);
    }
    this.#busy = false;
  }

  #perform(effects: readonly KeeperEffect[]): void {
    for (const effect of effects) if (this.process.alive) this.#do(effect);
  }

  #do(effect: KeeperEffect): void {
    const { etcd, redis, network, paths } = this.#around;
    const { host, process } = this;
    const { world } = host.machine;
    switch (effect.kind) {
      case "connect-twin":
        return this.#connect(effect.link);
      case "close-twin":
        this.#outgoing.get(effect.link)?.close(0);
        this.#outgoing.delete(effect.link);
        return;
      case "send-beat": {
        const { link, beat } = effect;
        const channel = this.#outgoing.get(link);
        const twin = this.#around.twin();
        channel?.send(0, () => twin?.heard(channel, beat));
        return;
      }
      case "answer-beat":
        this.#incoming.get(effect.from)?.answered(effect.answer);
        return;
      case "read-owner": {
        const { service, id } = effect;
        return etcd.read(process, service, (outcome) => this.feed({ kind: "owner-read", service, id, outcome }));
      }
      case "write-owner": {
        const { service, id, record, ifRevision } = effect;
        return etcd.write(process, service, record, ifRevision, (outcome) =>
          this.feed({ kind: "owner-written", service, id, outcome }),
        );
      }
      case "take-address": {
        const { service } = effect;
        world.after(5, () => {
          const isCut = !paths.isOpen(host.name, "outside");
          if (!isCut) network.move(host.addressOf(service), host.name);
          const outcome = isCut ? fail({ code: "address.timed-out", afterMs: 500 } as const) : succeed(undefined);
          process.after(isCut ? 500 : 2, () => this.feed({ kind: "address-taken", service, outcome }));
        });
        return;
      }
      case "fence-store": {
        const { service, epoch } = effect;
        world.after(redis.answerMs, () => {
          const reaches = redis.isUp && paths.isOpen(host.name, "redis") && paths.isOpen("redis", host.name);
          const by = reaches ? redis.fence(service, epoch) : undefined;
          const outcome = !reaches
            ? fail({ code: "store.away", forMs: 300 } as const)
            : by === undefined
              ? succeed(undefined)
              : fail({ code: "store.superseded", epoch, by } as const);
          process.after(reaches ? redis.answerMs : 300, () =>
            this.feed({ kind: "store-fenced", service, epoch, outcome }),
          );
        });
        return;
      }
      case "start-serving": {
        const { service, epoch, untilMs, former, stateAtHand } = effect;
        this.#around.began(service, epoch);
        host.begin(service, epoch, untilMs, former, stateAtHand);
        for (const name of PROCESSES) this.#start(service, name);
        return;
      }
      case "start-process": {
        const { service, process: name, epoch, untilMs, diedAtMs } = effect;
        host.renew(service, epoch, untilMs, diedAtMs);
        this.#start(service, name);
        return;
      }
      case "kill-process":
        host.kill(effect.service, effect.process);
        return;
      case "kill-serving":
      case "stop-serving": {
        const { service } = effect;
        host.killSet(service);
        process.after(2, () => this.feed({ kind: "serving-ended", service }));
        return;
      }
      case "empty-serving": {
        const { service } = effect;
        host.empty(service, () => process.take(() => this.feed({ kind: "serving-emptied", service })));
        return;
      }
      case "extend-lease":
        host.extend(effect.service, effect.untilMs);
        return;
      case "ping": {
        const { service } = effect;
        host.ping(service, (name) => process.take(() => this.feed({ kind: "pong", service, process: name })));
        return;
      }
      case "persist":
        host.keeperDisk = effect.memory;
        return;
      case "wake":
        this.#wake?.cancel();
        this.#wake = process.after(effect.atMs - host.machine.nowMs(), () => this.feed({ kind: "woke" }));
        return;
      case "reply":
        return this.#around.replied(effect.id, effect.outcome.ok ? undefined : effect.outcome.failure.code);
      case "note":
        return this.#around.noted(this, effect);
      case "finished":
        process.kill();
        return this.#around.ended(this);
    }
  }

  /** From a spare: loaded already, it opens what it needs. */
  #start(service: PopHostId, name: ProcessName): void {
    const { host, process } = this;
    const { world } = host.machine;
    process.after(8 + 25 * world.rng.next(), () =>
      host.start(service, name, () =>
        process.take(() => this.feed({ kind: "process-serving", service, process: name })),
      ),
    );
  }

  // ---- the twin ----

  #connect(link: number): void {
    const { paths } = this.#around;
    const { process, host } = this;
    const { world } = host.machine;
    const there = this.#settings.twin ?? "";
    let isSettled = false;
    const settle = (event: KeeperEvent) => {
      if (isSettled) return;
      isSettled = true;
      this.feed(event);
    };
    process.after(CONNECT_GIVE_UP_MS, () => settle({ kind: "twin-unreachable", link, because: "timed-out" }));
    world.after(TWIN_MS, () => {
      if (!paths.isOpen(host.name, there) || !paths.isOpen(there, host.name)) return;
      const twin = this.#around.twin();
      if (twin === undefined) {
        if (this.#around.twinHasPower()) process.after(TWIN_MS, () => settle({ kind: "twin-refused", link }));
        return;
      }
      twin.process.take(() => {
        if (isSettled || !process.alive) return;
        const channel: Channel = new Channel(
          world,
          paths,
          [
            {
              at: host.name,
              process,
              closed: () => {
                if (!this.#outgoing.delete(link)) return;
                this.feed({ kind: "twin-closed", link });
              },
            },
            { at: there, process: twin.process, closed: () => {} },
          ],
          TWIN_MS,
        );
        process.after(TWIN_MS, () => {
          if (isSettled) return channel.close(0);
          this.#outgoing.set(link, channel);
          twin.#accept(channel, (answer) => {
            if (this.#outgoing.get(link) === channel) this.feed({ kind: "answer", link, answer });
          });
          settle({ kind: "twin-connected", link });
        });
      });
    });
  }

  #accept(channel: Channel, answered: (answer: Answer) => void): void {
    this.#incoming.set(++this.#connections, {
      channel,
      answered: (answer) => channel.send(1, () => answered(answer)),
    });
  }

  heard(channel: Channel, beat: Beat): void {
    for (const [from, incoming] of this.#incoming) {
      if (!incoming.channel.isOpen) this.#incoming.delete(from);
      else if (incoming.channel === channel) return this.feed({ kind: "beat", from, beat });
    }
  }

  /** An operator's wish. */
  ask(event: Extract<KeeperEvent, { kind: "hand-over" | "return-home" | "stop" }>): void {
    this.process.take(() => this.feed(event));
  }
}

export type { KeeperMemory };
