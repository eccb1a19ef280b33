// Checkpoints of calls in one hash per host. The newest of every call alive is kept here as well, so that a Redis which
// comes back, empty or not, is told all of it; nobody ever waits for Redis to save.
//
// Invariants:
//   (a) at most one group is on its way; the next has the newest of each call only;
//   (b) a call that was removed leaves the hash, however long Redis was away;
//   (c) a silent Redis counts as away after `answerMsMax`, and its connection is given up.

import { readFile } from "node:fs/promises";
import { Redis } from "ioredis";
import { type BackoffPolicy, backoffMs } from "../../../kernel/backoff.ts";
import type { CallId, PopHostId } from "../../../kernel/ids.ts";
import { asId } from "../../../kernel/ids.ts";
import type { Log } from "../../../kernel/log.ts";
import { fail, type Outcome, succeed } from "../../../kernel/outcome.ts";
import { type Rng, systemRng } from "../../../kernel/rng.ts";
import { type Clock, systemClock } from "../../../kernel/time.ts";
import type { CallStore, StoreAway } from "../../boundary/call-store.ts";

export interface RedisCallStoreOptions {
  readonly hostId: PopHostId;
  readonly host: string;
  readonly port: number;
  /** Read at each connection attempt; its last line end is not part of the password. */
  readonly passwordFile?: string | undefined;
  readonly log: Log;
  readonly commitWindowMs?: number;
  /** For connecting, and for every answer. */
  readonly answerMsMax?: number;
  readonly pingEveryMs?: number;
  /** The hash goes when its host has not written for so long. */
  readonly expiryMs?: number;
  readonly backoff?: BackoffPolicy;
  readonly clock?: Clock;
  readonly rng?: Rng;
}

const HOUR_MS = 3_600_000;
/** Calls in one pipeline: a few MiB at most, written and answered well within `answerMsMax`. */
const CALLS_PER_GROUP_MAX = 500;

/** Hash tag in braces: all keys of a host stay on one node of a cluster. */
export const callsKey = (hostId: PopHostId): string => `tollgate:v1:{${hostId}}:calls`;

type Connection =
  | { readonly name: "connecting"; readonly tried: Promise<void> }
  | { readonly name: "up"; readonly redis: Redis }
  | { readonly name: "away" }
  | { readonly name: "closed" };

export class RedisCallStore implements CallStore {
  readonly #options: Required<RedisCallStoreOptions>;
  readonly #key: string;
  /** The newest state of every call alive. */
  readonly #alive = new Map<CallId, string>();
  /** Calls whose state in Redis is not what it should be: alive ones to be written, others to be deleted. */
  #dirty = new Set<CallId>();
  /** Calls of which something may stand in Redis. */
  readonly #written = new Set<CallId>();
  #connection: Connection;
  #awaySinceMs: number | undefined;
  #failures = 0;
  #commitTimer: NodeJS.Timeout | undefined;
  #retryTimer: NodeJS.Timeout | undefined;
  #pingTimer: NodeJS.Timeout | undefined;
  #committing: Promise<void> | undefined;
  #underWay: ReadonlySet<CallId> = new Set();
  #expiryDueAtMs = 0;

  /** Connects by itself, now and whenever the connection was lost. */
  constructor(options: RedisCallStoreOptions) {
    this.#options = {
      passwordFile: undefined,
      commitWindowMs: 5,
      answerMsMax: 700,
      pingEveryMs: 250,
      expiryMs: 24 * HOUR_MS,
      backoff: { firstMs: 100, factor: 2, waitMsMax: 2_000, jitter: 0.5 },
      clock: systemClock,
      rng: systemRng,
      ...options,
    };
    this.#key = callsKey(options.hostId);
    this.#awaySinceMs = this.#options.clock.nowMs();
    this.#connection = this.#connecting();
  }

  save(call: CallId, state: string): void {
    this.#alive.set(call, state);
    this.#dirty.add(call);
    this.#commitSoon();
  }

  remove(call: CallId): void {
    this.#alive.delete(call);
    // Never written: nothing to delete. So deletions waiting for Redis are never more than the calls it may hold.
    if (this.#written.has(call)) this.#dirty.add(call);
    else this.#dirty.delete(call);
    this.#commitSoon();
  }

  async load(): Promise<Outcome<ReadonlyMap<CallId, string>, StoreAway>> {
    const flushed = await this.flush();
    if (!flushed.ok) return flushed;
    const connection = this.#connection;
    if (connection.name !== "up") return this.#away();
    try {
      const loaded = new Map<CallId, string>();
      let cursor = "0";
      do {
        const [next, flat] = await this.#timely(connection.redis.hscan(this.#key, cursor, "COUNT", 500));
        cursor = next;
        for (let at = 0; at + 1 < flat.length; at += 2) loaded.set(asId<"call">(flat[at] ?? ""), flat[at + 1] ?? "");
      } while (cursor !== "0");
      // Whoever loads takes them over: removing one of them must reach the hash.
      for (const call of loaded.keys()) this.#written.add(call);
      return succeed(loaded);
    } catch (error) {
      this.#lost(connection.redis, error);
      return this.#away();
    }
  }

  async flush(): Promise<Outcome<void, StoreAway>> {
    if (this.#connection.name === "connecting") await this.#connection.tried;
    const asked = new Set(this.#dirty);
    while (
      this.#connection.name === "up" &&
      [...asked].some((call) => this.#dirty.has(call) || this.#underWay.has(call))
    )
      await (this.#committing ?? this.#commit());
    return this.health();
  }

  health(): Outcome<void, StoreAway> {
    return this.#awaySinceMs === undefined ? succeed(undefined) : this.#away();
  }

  /** Writes what it can within `answerMsMax`, and lets go. */
  async close(): Promise<void> {
    if (this.#connection.name === "up") await this.flush();
    const last = this.#connection;
    this.#connection = { name: "closed" };
    for (const timer of [this.#commitTimer, this.#retryTimer, this.#pingTimer]) clearTimeout(timer);
    if (last.name === "up") last.redis.disconnect();
    if (last.name === "connecting") await last.tried;
    await this.#committing;
  }

  // ---- connection ----

  #connecting(): Connection {
    return { name: "connecting", tried: this.#connect() };
  }

  async #connect(): Promise<void> {
    const { host, port, answerMsMax, log } = this.#options;
    let redis: Redis | undefined;
    try {
      const password = await this.#password();
      redis = new Redis({
        host,
        port,
        ...(password === undefined ? {} : { password }),
        lazyConnect: true,
        connectTimeout: answerMsMax,
        // When to try again is decided here, where the calls to be written again are known.
        retryStrategy: null,
        enableOfflineQueue: false,
        enableReadyCheck: false,
        autoResendUnfulfilledCommands: false,
        disableClientInfo: true,
        protocol: 2,
        connectionName: `tollgate-pop ${this.#options.hostId}`,
      });
      const connected = redis;
      connected.on("error", (error) => log.debug("store.error", { detail: messageOf(error) }));
      connected.on("close", () => this.#lost(connected, new Error("the connection was closed")));
      await this.#timely(connected.connect());
      await this.#timely(connected.ping()); // a stopped Redis accepts connections, its kernel does
      if (this.#connection.name === "closed") return connected.disconnect();
      this.#up(connected);
    } catch (error) {
      redis?.disconnect();
      this.#retryLater(messageOf(error));
    }
  }

  async #password(): Promise<string | undefined> {
    const { passwordFile } = this.#options;
    return passwordFile === undefined ? undefined : (await readFile(passwordFile, "utf8")).replace(/\r?\n$/, "");
  }

  #up(redis: Redis): void {
    this.#options.log.info("store.up", { calls: this.#alive.size });
    this.#connection = { name: "up", redis };
    this.#awaySinceMs = undefined;
    this.#failures = 0;
    this.#expiryDueAtMs = 0;
    // It may have come back empty: every call alive is told again.
    for (const call of this.#alive.keys()) this.#dirty.add(call);
    this.#commitSoon();
    this.#pingSoon(redis);
  }

  #pingSoon(redis: Redis): void {
    this.#pingTimer = setTimeout(() => {
      this.#timely(redis.ping()).then(
        () => {
          if (this.#connection.name === "up" && this.#connection.redis === redis) this.#pingSoon(redis);
        },
        (error: unknown) => this.#lost(redis, error),
      );
    }, this.#options.pingEveryMs);
  }

  /** Of a connection that stood; told more than once, it counts once. */
  #lost(redis: Redis, error: unknown): void {
    if (this.#connection.name !== "up" || this.#connection.redis !== redis) return;
    this.#connection = { name: "away" };
    this.#awaySinceMs = this.#options.clock.nowMs();
    clearTimeout(this.#pingTimer);
    redis.disconnect();
    this.#retryLater(messageOf(error));
  }

  #retryLater(detail: string): void {
    if (this.#connection.name === "closed") return;
    const { backoff, rng, log } = this.#options;
    const level = this.#failures === 0 ? "warn" : "debug"; // once per absence is news; every try after that is not
    const afterMs = backoffMs(backoff, this.#failures++, rng);
    this.#connection = { name: "away" };
    log[level]("store.away", { detail, calls: this.#alive.size, retryAfterMs: Math.round(afterMs) });
    this.#retryTimer = setTimeout(() => {
      this.#connection = this.#connecting();
    }, afterMs);
  }

  #away(): Outcome<never, StoreAway> {
    const nowMs = this.#options.clock.nowMs();
    return fail({ code: "store.away", forMs: Math.round(nowMs - (this.#awaySinceMs ?? nowMs)) });
  }

  /** (c) */
  #timely<Value>(answer: Promise<Value>): Promise<Value> {
    const { answerMsMax } = this.#options;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no answer within ${answerMsMax} ms`)), answerMsMax);
      answer.then(resolve, reject).finally(() => clearTimeout(timer));
    });
  }

  // ---- group commit ----

  #commitSoon(): void {
    if (this.#commitTimer !== undefined || this.#committing !== undefined || this.#connection.name !== "up") return;
    this.#commitTimer = setTimeout(() => void this.#commit(), this.#options.commitWindowMs);
  }

  #commit(): Promise<void> {
    clearTimeout(this.#commitTimer);
    this.#commitTimer = undefined;
    this.#committing ??= this.#writeGroup().finally(() => {
      this.#committing = undefined;
      if (this.#dirty.size > 0) this.#commitSoon();
    });
    return this.#committing;
  }

  async #writeGroup(): Promise<void> {
    const connection = this.#connection;
    if (connection.name !== "up" || this.#dirty.size === 0) return;
    const group = [...this.#dirty].slice(0, CALLS_PER_GROUP_MAX);
    const fields: string[] = [];
    const gone: CallId[] = [];
    for (const call of group) {
      this.#dirty.delete(call);
      const state = this.#alive.get(call);
      if (state === undefined) gone.push(call);
      else fields.push(call, state);
    }
    this.#underWay = new Set(group);
    for (const call of group) this.#written.add(call);
    try {
      const pipeline = connection.redis.pipeline();
      if (fields.length > 0) pipeline.hset(this.#key, ...fields);
      if (gone.length > 0) pipeline.hdel(this.#key, ...gone);
      const { clock, expiryMs } = this.#options;
      const renew = fields.length > 0 && clock.nowMs() >= this.#expiryDueAtMs;
      if (renew) pipeline.pexpire(this.#key, expiryMs);
      for (const [error] of (await this.#timely(pipeline.exec())) ?? []) if (error !== null) throw error;
      if (renew) this.#expiryDueAtMs = clock.nowMs() + expiryMs / 24;
      for (const call of gone) if (!this.#alive.has(call)) this.#written.delete(call);
    } catch (error) {
      for (const call of group) this.#dirty.add(call);
      this.#lost(connection.redis, error);
    } finally {
      this.#underWay = new Set();
    }
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
