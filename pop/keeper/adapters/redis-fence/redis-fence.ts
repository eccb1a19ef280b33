// Shuts older owners out of a service's state in Redis, over a connection that stands before it is needed, and in bounded time.

import { readFileSync } from "node:fs";
import { Redis } from "ioredis";
import type { PopHostId } from "../../../../kernel/ids.ts";
import { fail, type Outcome, succeed } from "../../../../kernel/outcome.ts";
import type { Fenced, StateFence } from "../../boundary/state-fence.ts";
import type { FenceFailure } from "../../core/keeper-words.ts";

/** The relay's calls are gone through in it, 5,000 of them in a quarter of a second; a Redis that is down says so at once. */
const RAISE_ANSWER_MS_MAX = 700;
/** A move of a service is refused while Redis is known to be away: it is asked so often, and has so long. */
const LOOK_EVERY_MS = 500;
const LOOK_ANSWER_MS_MAX = 500;

export interface RedisFenceSettings {
  readonly host: string;
  readonly port: number;
  readonly passwordFile?: string | undefined;
  /** Of each service, its relay's two databases. */
  readonly databases: ReadonlyMap<PopHostId, readonly [number, number]>;
  /** One script: raises the epoch that all writes are compared with, and says where the relay of the new owner keeps its calls. */
  readonly fence: (redis: Redis, fence: RelayFence) => Promise<RelayFenced>;
  readonly answerMsMax?: number;
}

export interface RelayFence {
  readonly service: string;
  readonly epoch: number;
  readonly databases: readonly [number, number];
}

export type RelayFenced =
  | { readonly kind: "ours"; readonly database: number }
  | { readonly kind: "superseded"; readonly by: number };

export class RedisFence implements StateFence {
  readonly #settings: RedisFenceSettings;
  readonly #redis: Redis;
  #awaySinceMs: number | undefined;
  #looking: NodeJS.Timeout | undefined;

  constructor(settings: RedisFenceSettings) {
    this.#settings = settings;
    this.#redis = new Redis({
      host: settings.host,
      port: settings.port,
      ...(settings.passwordFile === undefined ? {} : { password: readFileSync(settings.passwordFile, "utf8").trim() }),
      lazyConnect: true,
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      connectTimeout: 500,
      keepAlive: 1_000,
      // Connected before it is needed: a takeover has no time for it.
      retryStrategy: () => 200,
    });
    this.#redis.on("error", () => {}); // said at the next raise
    this.#redis.connect().catch(() => {});
  }

  async raise(service: PopHostId, epoch: number): Promise<Outcome<Fenced, FenceFailure>> {
    const pair = this.#settings.databases.get(service);
    if (pair === undefined) return this.#away();
    try {
      const asked = this.#settings.fence(this.#redis, { service, epoch, databases: pair });
      const fenced = await withinMs(asked, this.#settings.answerMsMax ?? RAISE_ANSWER_MS_MAX);
      this.#awaySinceMs = undefined;
      return fenced.kind === "ours"
        ? succeed({ relayDatabase: fenced.database })
        : fail({ code: "store.superseded", epoch, by: fenced.by });
    } catch {
      return this.#away();
    }
  }

  watch(changed: (answers: boolean) => void): void {
    let before: boolean | undefined;
    const look = async () => {
      const answers = await withinMs(this.#redis.ping(), LOOK_ANSWER_MS_MAX).then(
        () => true,
        () => false,
      );
      if (this.#looking === undefined) return;
      this.#looking = setTimeout(look, LOOK_EVERY_MS);
      if (answers !== before) changed(answers);
      before = answers;
    };
    this.#looking = setTimeout(look, 0);
  }

  /** Resolves when Redis can be asked, or after so long. */
  async ready(waitMsMax: number): Promise<void> {
    if (this.#redis.status === "ready") return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, waitMsMax);
      this.#redis.once("ready", () => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  close(): void {
    clearTimeout(this.#looking);
    this.#looking = undefined;
    this.#redis.disconnect();
  }

  #away(): Outcome<never, FenceFailure> {
    const nowMs = performance.now();
    this.#awaySinceMs ??= nowMs;
    return fail({ code: "store.away", forMs: Math.round(nowMs - this.#awaySinceMs) });
  }
}

async function withinMs<Value>(asked: Promise<Value>, waitMsMax: number): Promise<Value> {
  let timer: NodeJS.Timeout | undefined;
  const bound = new Promise<never>((_, reject) => {
    // An answer that came while we were busy is read before it counts as missing.
    timer = setTimeout(() => setImmediate(() => setImmediate(() => reject(new Error("no answer")))), waitMsMax);
  });
  asked.catch(() => {}); // of one that was not waited for
  return Promise.race([asked, bound]).finally(() => clearTimeout(timer));
}
