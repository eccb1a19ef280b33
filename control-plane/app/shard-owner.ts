// Owns one tenant's queue shard: takes its lease, loads it, feeds it one input at a time, keeps it for the next owner.
//
// Nothing is offered before the state that says so is kept: a former owner that does not know it yet is stopped by
// the fence at its next save, before anybody's phone rings twice. Where Redis is away there is no fence; then the
// lease alone decides, and where etcd is away as well an owner stays owner of what it has (design, "Data").

import type { TenantId } from "../../kernel/ids.ts";
import { Inbox } from "../../kernel/inbox.ts";
import type { Log } from "../../kernel/log.ts";
import type { Clock } from "../../kernel/time.ts";
import type { Lease, LeaseStore } from "../boundary/lease-store.ts";
import type { QueueShardStore } from "../boundary/queue-shard-store.ts";
import { nextDueAtMs, step } from "../core/queue/shard.ts";
import type { ShardEffect, ShardInput } from "../core/queue/shard-messages.ts";
import { type Directory, EMPTY_SHARD, type ShardState } from "../core/queue/shard-state.ts";

const INBOX_MAX = 10_000;
const TICK_AFTER_MS_MAX = 60_000;
const OWNED_LOOK_EVERY_MS = 20;

/** An input without its time: that is said when its turn comes. */
export type Untimed<Input> = Input extends ShardInput ? Omit<Input, "atMs"> : never;
export type ShardNews = Untimed<ShardInput>;

export type Ownership =
  /** Asking for the lease, or loading: what comes waits. */
  | "taking"
  | "owned"
  /** Another replica has it: what comes is refused. */
  | "elsewhere";

export interface ShardOwnerParts {
  readonly tenantId: TenantId;
  readonly replicaId: string;
  readonly leases: LeaseStore;
  readonly shards: QueueShardStore;
  readonly clock: Clock;
  readonly log: Log;
  readonly timing: OwnerTiming;
  /** Performs what was decided; "decided" included. */
  readonly perform: (effect: ShardEffect) => void;
  /** Refused for want of ownership. */
  readonly refuse: (news: ShardNews) => void;
  /** Owned again after refusing: hosts must say anew what they hold. */
  readonly resync: () => void;
}

export interface OwnerTiming {
  readonly renewEveryMs: number;
  readonly retryAfterMs: number;
  /** How long a start waits for a Redis that does not answer before it begins with an empty shard. */
  readonly loadWaitMsMax: number;
}

export class ShardOwner {
  readonly #parts: ShardOwnerParts;
  readonly #log: Log;
  readonly #inbox = new Inbox<ShardNews>(INBOX_MAX);
  #directory: Directory;
  #state: ShardState = EMPTY_SHARD;
  #everOwned = false;
  /** The newest that anybody is known to have had. */
  #seenEpoch = 0;
  /** Under which this process last wrote. */
  #ownEpoch = 0;
  #lease: Lease | undefined;
  #ownership: Ownership = "taking";
  #refusedSome = false;
  #stopped = false;
  #tick: NodeJS.Timeout | undefined;
  #unsaved = false;
  #effects: ShardEffect[] = [];
  #saving: Promise<void> | undefined;
  #storeAwayUntilMs = 0;
  #loseLease: () => void = () => {};
  #wake: () => void = () => {};
  #life: Promise<void> | undefined;
  leaseAway = false;
  storeAway = false;

  constructor(parts: ShardOwnerParts, directory: Directory) {
    this.#parts = parts;
    this.#directory = directory;
    this.#log = parts.log;
  }

  get ownership(): Ownership {
    return this.#ownership;
  }

  get epoch(): number {
    return this.#lease?.epoch ?? 0;
  }

  /** Meaningful while owned. */
  get state(): ShardState {
    return this.#state;
  }

  start(): void {
    this.#life = this.#live();
  }

  /** Keeps the shard and gives the lease back. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#tick);
    this.#wake();
    this.#loseLease();
    await this.#life;
  }

  /** Whether it is owned, now or within the time; false at once when another replica has it. */
  async ownedWithin(waitMs: number): Promise<boolean> {
    const giveUpAtMs = this.#parts.clock.nowMs() + waitMs;
    while (this.#ownership === "taking" && !this.#stopped && this.#parts.clock.nowMs() < giveUpAtMs)
      await new Promise((resolve) => setTimeout(resolve, OWNED_LOOK_EVERY_MS));
    return this.#ownership === "owned" && !this.#stopped;
  }

  configure(directory: Directory): void {
    this.#directory = directory;
    this.put({ kind: "configured" });
  }

  put(news: ShardNews): void {
    if (this.#ownership === "elsewhere" || this.#stopped) return this.#refuse(news);
    if (this.#ownership === "owned") return this.#take(news);
    if (!this.#inbox.put(news).ok) this.#refuse(news);
  }

  #refuse(news: ShardNews): void {
    this.#refusedSome = true;
    this.#parts.refuse(news);
  }

  async #live(): Promise<void> {
    const { timing } = this.#parts;
    while (!this.#stopped) {
      const lease = await this.#acquire();
      if (lease === undefined) {
        await this.#pause(timing.retryAfterMs);
        continue;
      }
      if (!(await this.#load(lease))) continue;
      this.#begin(lease);
      await this.#keep(lease);
      clearTimeout(this.#tick);
      if (!this.#stopped) this.#ownership = "taking";
    }
    await this.#saving;
    await this.#lease?.release();
  }

  async #acquire(): Promise<Lease | undefined> {
    const { tenantId, replicaId, leases } = this.#parts;
    const acquired = await leases.acquire(`shards/${tenantId}`, replicaId, this.#seenEpoch);
    if (acquired.ok) {
      this.leaseAway = false;
      return acquired.value;
    }
    if (acquired.failure.code === "store.away") {
      if (!this.leaseAway) this.#log.warn("shard.lease-store-away", { tenantId, detail: acquired.failure.detail });
      this.leaseAway = true; // nobody can say who owns it: what comes goes on waiting, or being refused
      return undefined;
    }
    this.leaseAway = false;
    if (this.#ownership !== "elsewhere") {
      this.#log.info("shard.elsewhere", { tenantId, replicaId: acquired.failure.by });
      this.#ownership = "elsewhere";
      for (let news = this.#inbox.take(); news; news = this.#inbox.take()) this.#refuse(news);
    }
    return undefined;
  }

  /** False: the fenced store knows a newer epoch than the lease store gave; ask again above it. */
  async #load(lease: Lease): Promise<boolean> {
    const { tenantId, shards, timing, clock } = this.#parts;
    const giveUpAtMs = clock.nowMs() + (this.#everOwned ? 0 : timing.loadWaitMsMax);
    for (;;) {
      const loaded = await shards.load(tenantId);
      if (loaded.ok) {
        this.storeAway = false;
        const stored = loaded.value;
        if (stored && stored.epoch >= lease.epoch) {
          this.#seenEpoch = stored.epoch;
          await lease.release();
          return false;
        }
        // What this process still holds is newer than what it kept, unless somebody else was owner in between.
        const own = this.#everOwned && (stored === undefined || stored.epoch <= this.#ownEpoch);
        if (!own) {
          this.#state = stored?.state ?? EMPTY_SHARD;
          this.#effects = [];
        }
        this.#log.info("shard.loaded", {
          tenantId,
          epoch: lease.epoch,
          from: own ? "memory" : stored ? "store" : "nothing",
          contacts: Object.keys(this.#state.contacts).length,
          agents: Object.keys(this.#state.agents).length,
        });
        return true;
      }
      if (loaded.failure.code === "shard.unreadable") {
        this.#log.error("shard.unreadable", { tenantId, detail: loaded.failure.detail });
        if (!this.#everOwned) this.#state = EMPTY_SHARD;
        return true;
      }
      if (!this.storeAway) this.#log.warn("shard.store-away", { tenantId, detail: loaded.failure.detail });
      this.storeAway = true;
      if (clock.nowMs() >= giveUpAtMs || this.#stopped) return true;
      await this.#pause(timing.retryAfterMs);
      if ((await lease.renew()) === "lost") return false;
    }
  }

  #begin(lease: Lease): void {
    const { tenantId } = this.#parts;
    const fresh = !this.#everOwned;
    this.#lease = lease;
    this.#ownEpoch = lease.epoch;
    this.#seenEpoch = Math.max(this.#seenEpoch, lease.epoch);
    this.#everOwned = true;
    this.#ownership = "owned";
    this.#log.info("shard.owned", { tenantId, epoch: lease.epoch });
    // Hosts' hellos wait in the inbox after a fresh start; otherwise all are asked to say hello again.
    this.#take({ kind: "restored" });
    this.#take({ kind: "configured" }); // agents and queues may have been removed since it was kept
    for (let news = this.#inbox.take(); news; news = this.#inbox.take()) this.#take(news);
    if (!fresh || this.#refusedSome) this.#parts.resync();
    this.#refusedSome = false;
  }

  /** Resolves when the lease is lost, or on stop. */
  async #keep(lease: Lease): Promise<void> {
    const { timing, tenantId } = this.#parts;
    let lost = false;
    this.#loseLease = () => {
      lost = true;
      this.#wake();
    };
    while (!this.#stopped && !lost) {
      await this.#pause(timing.renewEveryMs);
      if (this.#stopped || lost) break;
      const renewed = await lease.renew();
      if (renewed === "away" && !this.leaseAway) this.#log.warn("shard.lease-store-away", { tenantId, keeps: true });
      this.leaseAway = renewed === "away"; // owners stay owners
      if (renewed === "lost") lost = true;
    }
    if (lost && !this.#stopped) this.#log.warn("shard.lost", { tenantId, epoch: lease.epoch });
    if (this.#stopped) {
      await this.#saving;
      if (this.#unsaved) await this.#save();
    }
  }

  #pause(waitMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, this.#stopped ? 0 : waitMs);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  // --- one input at a time --------------------------------------------------------------------------------------------

  #take(news: ShardNews): void {
    const input = { ...news, atMs: this.#parts.clock.unixMs() } as ShardInput;
    const { state, effects } = step(this.#directory, this.#state, input);
    this.#state = state;
    this.#unsaved = true;
    this.#effects.push(...effects);
    this.#commit();
    this.#setTick();
  }

  #commit(): void {
    this.#saving ??= Promise.resolve()
      .then(() => this.#save())
      .finally(() => {
        this.#saving = undefined;
        const due = this.#unsaved && (!this.storeAway || this.#effects.length > 0);
        if (due && this.#ownership === "owned") this.#commit(); // came while the last save ended
      });
  }

  /** Group commit: whatever came while the last save was under way is kept by the next. Then it is performed. */
  async #save(): Promise<void> {
    const { tenantId, shards, clock } = this.#parts;
    const lease = this.#lease;
    while (this.#unsaved && lease && this.#ownership === "owned") {
      const effects = this.#effects;
      this.#effects = [];
      if (this.storeAway) this.#performAll(effects.splice(0)); // a phone does not wait for a store that hangs
      if (clock.nowMs() < this.#storeAwayUntilMs) {
        return; // in memory only; the tick tries the store again
      }
      this.#unsaved = false;
      const saved = await shards.save(tenantId, lease.epoch, this.#state);
      if (saved.ok) {
        if (this.storeAway) this.#log.info("shard.store-back", { tenantId });
        this.storeAway = false;
        this.#performAll(effects);
        continue;
      }
      this.#unsaved = true;
      if (saved.failure.code === "shard.epoch-stale") {
        this.#log.error("shard.fenced", { tenantId, epoch: lease.epoch, newest: saved.failure.newest });
        this.#ownership = "taking"; // nothing of this was done: its true owner does it
        this.#seenEpoch = saved.failure.newest;
        this.#effects = [];
        this.#loseLease();
        return;
      }
      if (!this.storeAway) this.#log.warn("shard.store-away", { tenantId, detail: saved.failure.detail });
      this.storeAway = true;
      this.#storeAwayUntilMs = clock.nowMs() + this.#parts.timing.retryAfterMs;
      this.#performAll(effects);
      this.#setTick();
    }
  }

  #performAll(effects: readonly ShardEffect[]): void {
    for (const effect of effects) this.#parts.perform(effect);
  }

  #setTick(): void {
    clearTimeout(this.#tick);
    if (this.#stopped || this.#ownership !== "owned") return;
    const { clock, timing } = this.#parts;
    const due = nextDueAtMs(this.#directory, this.#state);
    let afterMs = due === undefined ? TICK_AFTER_MS_MAX : Math.max(1, due - clock.unixMs());
    if (this.storeAway) afterMs = Math.min(afterMs, timing.retryAfterMs);
    if (due === undefined && !this.storeAway) return;
    this.#tick = setTimeout(() => this.#take({ kind: "tick" }), Math.min(afterMs, TICK_AFTER_MS_MAX));
  }
}
