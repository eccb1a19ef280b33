// One book of a service: a hash in Redis, written in groups (group-commit.ts), each one Lua script that compares the
// owner's epoch first. The newest of every living field can be made again, so that a Redis which comes back, empty or
// not, is told all of it; nobody ever waits for Redis to save.
//
// Invariant: a silent Redis counts as away after `answerMsMax`, and its connection is given up.

import { readFile } from "node:fs/promises";
import { Redis } from "ioredis";
import { type SetAlarm, systemAlarm } from "../../../../kernel/alarm.ts";
import { type BackoffPolicy, backoffMs } from "../../../../kernel/backoff.ts";
import type { Log } from "../../../../kernel/log.ts";
import { fail, type Outcome, succeed } from "../../../../kernel/outcome.ts";
import { type Rng, systemRng } from "../../../../kernel/rng.ts";
import { type Clock, systemClock } from "../../../../kernel/time.ts";
import type { CheckpointStore, StoreAway, Superseded } from "../../boundary/checkpoint-store.ts";
import {
  type CheckpointCounts,
  type CheckpointTimes,
  type Group,
  GroupCommit,
  type GroupFate,
} from "../group-commit.ts";

export interface RedisCheckpointStoreOptions {
  /** Named by the host that is its home: "fra-01-a". */
  readonly service: string;
  /** One per writer: "calls", "sip". */
  readonly book: string;
  /** Of the owner of the service. Larger than that of every owner before. */
  readonly epoch: number;
  readonly host: string;
  readonly port: number;
  /** Read at each connection attempt; its last line end is not part of the password. */
  readonly passwordFile?: string | undefined;
  readonly log: Log;
  /** Called once, when Redis has refused a write because a newer owner writes. */
  readonly onSuperseded?: (superseded: Superseded) => void;
  readonly commitWindowMs?: number;
  /** How long somebody waits for a commit at most. */
  readonly waitMsMax?: number;
  /** For connecting, and for every answer. */
  readonly answerMsMax?: number;
  readonly pingEveryMs?: number;
  /** The book goes when it has had no owner for so long. */
  readonly expiryMs?: number;
  readonly backoff?: BackoffPolicy;
  readonly clock?: Clock;
  readonly rng?: Rng;
  readonly setAlarm?: SetAlarm;
}

const HOUR_MS = 3_600_000;

/** Hash tag in braces: all keys of a service stay on one node of a cluster. */
export const bookKey = (service: string, book: string): string => `tollgate:v1:{${service}}:${book}`;
export const epochKey = (service: string): string => `tollgate:v1:{${service}}:epoch`;

/**
 * KEYS: book, epoch. ARGV: our epoch, expiry in ms or 0, how many fields are set, their names and texts, names of fields
 * to delete. Answers 0, or the newer epoch for whose sake nothing was done.
 */
const WRITE_GROUP = `
local known = tonumber(redis.call('GET', KEYS[2]) or '-1')
local epoch = tonumber(ARGV[1])
if known > epoch then return known end
if known < epoch then redis.call('SET', KEYS[2], ARGV[1]) end
local last = 3 + 2 * tonumber(ARGV[3])
if last > 3 then redis.call('HSET', KEYS[1], unpack(ARGV, 4, last)) end
if #ARGV > last then redis.call('HDEL', KEYS[1], unpack(ARGV, last + 1)) end
if ARGV[2] ~= '0' then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 0`;

type Connection =
  | { readonly name: "connecting"; readonly tried: Promise<void> }
  | { readonly name: "up"; readonly redis: Redis; readonly script: string }
  | { readonly name: "away" }
  | { readonly name: "superseded"; readonly by: number }
  | { readonly name: "closed" };

type Settled = Required<RedisCheckpointStoreOptions>;

export class RedisCheckpointStore implements CheckpointStore {
  readonly #options: Settled;
  readonly #bookKey: string;
  readonly #epochKey: string;
  readonly #groups: GroupCommit;
  #connection: Connection;
  #awaySinceMs: number | undefined;
  #failures = 0;
  #retryTimer: NodeJS.Timeout | undefined;
  #pingTimer: NodeJS.Timeout | undefined;
  #expiryDueAtMs = 0;

  /** Connects by itself, now and whenever the connection was lost. */
  constructor(options: RedisCheckpointStoreOptions) {
    this.#options = {
      passwordFile: undefined,
      onSuperseded: () => {},
      commitWindowMs: 5,
      waitMsMax: 50,
      answerMsMax: 700,
      pingEveryMs: 250,
      expiryMs: 24 * HOUR_MS,
      backoff: { firstMs: 100, factor: 2, waitMsMax: 2_000, jitter: 0.5 },
      clock: systemClock,
      rng: systemRng,
      setAlarm: systemAlarm,
      ...options,
    };
    const { service, book, log, clock, setAlarm, commitWindowMs, waitMsMax } = this.#options;
    this.#bookKey = bookKey(service, book);
    this.#epochKey = epochKey(service);
    this.#groups = new GroupCommit({
      clock,
      setAlarm,
      soon: setImmediate,
      commitWindowMs,
      waitMsMax,
      write: (group, done) => this.#write(group, done),
      onFault: (field, error) => log.error("store.text-failed", { book, field, error }),
      onWaiterFault: (error) => log.error("store.waiter-failed", { book, error }),
    });
    this.#awaySinceMs = this.#options.clock.nowMs();
    this.#connection = this.#connecting();
  }

  save(field: string, text: (field: string) => string): void {
    this.#groups.save(field, text);
  }

  remove(field: string): void {
    this.#groups.remove(field);
  }

  committed(field: string, then: () => void): void {
    this.#groups.committed(field, then);
  }

  /** For metrics. */
  get counts(): CheckpointCounts {
    return this.#groups.counts;
  }

  get times(): CheckpointTimes {
    return this.#groups.times;
  }

  async load(): Promise<Outcome<ReadonlyMap<string, string>, StoreAway | Superseded>> {
    const flushed = await this.flush();
    if (!flushed.ok) return flushed;
    const connection = this.#connection;
    if (connection.name !== "up") return this.#trouble() ?? AWAY_NOW;
    try {
      const refused = await this.#run(connection, { texts: [], gone: [] });
      if (refused > 0) return this.#superseded(connection.redis, refused);
      const loaded = new Map<string, string>();
      let cursor = "0";
      do {
        const [next, flat] = await this.#timely(connection.redis.hscan(this.#bookKey, cursor, "COUNT", 500));
        cursor = next;
        for (let at = 0; at + 1 < flat.length; at += 2) loaded.set(flat[at] ?? "", flat[at + 1] ?? "");
      } while (cursor !== "0");
      this.#groups.standing(loaded.keys());
      return succeed(loaded);
    } catch (error) {
      this.#lost(connection.redis, error);
      return this.#trouble() ?? AWAY_NOW;
    }
  }

  async flush(): Promise<Outcome<void, StoreAway | Superseded>> {
    if (this.#connection.name === "connecting") await this.#connection.tried;
    await new Promise<void>((resolve) => this.#groups.settled(resolve));
    return this.health();
  }

  health(): Outcome<void, StoreAway | Superseded> {
    return this.#trouble() ?? succeed(undefined);
  }

  /** Writes what it can within `answerMsMax`, and lets go. */
  async close(): Promise<void> {
    if (this.#connection.name === "up") await this.flush();
    const last = this.#connection;
    this.#connection = { name: "closed" };
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#pingTimer);
    if (last.name === "up") last.redis.disconnect();
    if (last.name === "connecting") await last.tried;
    this.#groups.away();
  }

  // ---- connection ----

  #connecting(): Connection {
    return { name: "connecting", tried: this.#connect() };
  }

  async #connect(): Promise<void> {
    const { host, port, answerMsMax, log, service, book } = this.#options;
    let redis: Redis | undefined;
    try {
      const password = await this.#password();
      redis = new Redis({
        host,
        port,
        ...(password === undefined ? {} : { password }),
        lazyConnect: true,
        connectTimeout: answerMsMax,
        // When to try again is decided here, where what is to be written again is known.
        retryStrategy: null,
        enableOfflineQueue: false,
        enableReadyCheck: false,
        autoResendUnfulfilledCommands: false,
        disableClientInfo: true,
        protocol: 2,
        connectionName: `tollgate ${service} ${book}`,
      });
      const connected = redis;
      connected.on("error", (error) => log.debug("store.error", { book, detail: messageOf(error) }));
      connected.on("close", () => this.#lost(connected, new Error("the connection was closed")));
      await this.#timely(connected.connect());
      // The first answer, too: a stopped Redis accepts connections, its kernel does.
      const script = String(await this.#timely(connected.script("LOAD", WRITE_GROUP)));
      if (this.#connection.name === "closed") return connected.disconnect();
      this.#up(connected, script);
    } catch (error) {
      redis?.disconnect();
      this.#retryLater(messageOf(error));
    }
  }

  async #password(): Promise<string | undefined> {
    const { passwordFile } = this.#options;
    return passwordFile === undefined ? undefined : (await readFile(passwordFile, "utf8")).replace(/\r?\n$/, "");
  }

  #up(redis: Redis, script: string): void {
    const { log, book } = this.#options;
    log.info("store.up", { book, fields: this.#groups.size });
    this.#connection = { name: "up", redis, script };
    this.#awaySinceMs = undefined;
    this.#failures = 0;
    this.#expiryDueAtMs = 0;
    this.#groups.up();
    this.#pingSoon(redis);
  }

  #pingSoon(redis: Redis): void {
    this.#pingTimer = setTimeout(() => {
      // What changes seldom, a flow version that calls have begun with, must not expire under its owner.
      const isDue = this.#groups.size > 0 && this.#options.clock.nowMs() >= this.#expiryDueAtMs;
      (isDue ? this.#renewExpiry(redis) : this.#timely(redis.ping())).then(
        () => {
          if (this.#connection.name === "up" && this.#connection.redis === redis) this.#pingSoon(redis);
        },
        (error: unknown) => this.#lost(redis, error),
      );
    }, this.#options.pingEveryMs);
  }

  async #renewExpiry(redis: Redis): Promise<void> {
    const { clock, expiryMs } = this.#options;
    await this.#timely(redis.pexpire(this.#bookKey, expiryMs));
    this.#expiryDueAtMs = clock.nowMs() + expiryMs / 24;
  }

  /** Of a connection that stood; told more than once, it counts once. */
  #lost(redis: Redis, error: unknown): void {
    if (this.#connection.name !== "up" || this.#connection.redis !== redis) return;
    this.#connection = { name: "away" };
    this.#awaySinceMs = this.#options.clock.nowMs();
    clearTimeout(this.#pingTimer);
    redis.disconnect();
    this.#retryLater(messageOf(error));
    this.#groups.away();
  }

  #retryLater(detail: string): void {
    if (this.#connection.name === "closed") return;
    const { backoff, rng, log, book } = this.#options;
    const level = this.#failures === 0 ? "warn" : "debug"; // once per absence is news; every try after that is not
    const afterMs = backoffMs(backoff, this.#failures++, rng);
    this.#connection = { name: "away" };
    log[level]("store.away", { book, detail, fields: this.#groups.size, retryAfterMs: Math.round(afterMs) });
    this.#retryTimer = setTimeout(() => {
      this.#connection = this.#connecting();
    }, afterMs);
  }

  /** Final: no connection is made any more. */
  #superseded(redis: Redis, by: number): Outcome<never, Superseded> {
    const { epoch, book, log, onSuperseded } = this.#options;
    const superseded: Superseded = { code: "store.superseded", epoch, by };
    if (this.#connection.name !== "superseded" && this.#connection.name !== "closed") {
      this.#connection = { name: "superseded", by };
      clearTimeout(this.#pingTimer);
      redis.disconnect();
      this.#groups.over();
      log.error("store.superseded", { book, epoch, by });
      onSuperseded(superseded);
    }
    return fail(superseded);
  }

  #trouble(): Outcome<never, StoreAway | Superseded> | undefined {
    const { name } = this.#connection;
    if (this.#connection.name === "superseded")
      return fail({ code: "store.superseded", epoch: this.#options.epoch, by: this.#connection.by });
    if (name === "up") return undefined;
    const nowMs = this.#options.clock.nowMs();
    return fail({ code: "store.away", forMs: Math.round(nowMs - (this.#awaySinceMs ?? nowMs)) });
  }

  #timely<Value>(answer: Promise<Value>): Promise<Value> {
    const { answerMsMax } = this.#options;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no answer within ${answerMsMax} ms`)), answerMsMax);
      answer.then(resolve, reject).finally(() => clearTimeout(timer));
    });
  }

  // ---- groups ----

  #write(group: Group, done: (fate: GroupFate) => void): void {
    const connection = this.#connection;
    if (connection.name !== "up") return done("lost");
    this.#run(connection, group).then(
      (refused) => {
        if (refused > 0) this.#superseded(connection.redis, refused);
        done(refused > 0 ? "superseded" : "written");
      },
      (error: unknown) => {
        this.#lost(connection.redis, error);
        done("lost");
      },
    );
  }

  /** @returns 0, or the newer epoch */
  async #run({ redis, script }: Extract<Connection, { name: "up" }>, { texts, gone }: Group): Promise<number> {
    const { clock, expiryMs, epoch } = this.#options;
    const renew = texts.length > 0 && clock.nowMs() >= this.#expiryDueAtMs;
    const head = [this.#bookKey, this.#epochKey, epoch, renew ? expiryMs : 0, texts.length / 2];
    const refused = Number(await this.#timely(redis.evalsha(script, 2, ...head, ...texts, ...gone)));
    if (renew) this.#expiryDueAtMs = clock.nowMs() + expiryMs / 24;
    return refused;
  }
}

const AWAY_NOW: Outcome<never, StoreAway> = fail({ code: "store.away", forMs: 0 });

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
