import { readFileSync } from "node:fs";
import { Redis } from "ioredis";
import type { Log } from "../../../kernel/log.ts";
import type { StoreAway } from "../../boundary/store-away.ts";

export interface RedisPlace {
  readonly host: string;
  readonly port: number;
  readonly passwordFile?: string | undefined;
  readonly commandTimeoutMs: number;
}

/** A connection that comes back by itself and never keeps a command waiting for it: what cannot be done now has failed. */
export function openRedis({ host, port, passwordFile, commandTimeoutMs }: RedisPlace, log: Log): Redis {
  const redis = new Redis({
    host,
    port,
    ...(passwordFile === undefined ? {} : { password: readFileSync(passwordFile, "utf8").trim() }),
    enableOfflineQueue: false,
    commandTimeout: commandTimeoutMs,
    connectTimeout: 1_000,
    maxRetriesPerRequest: 0,
    retryStrategy: (attempt) => Math.min(1_000, 100 * attempt),
  });
  let away = false;
  redis.on("error", (error: Error) => {
    if (!away) log.warn("redis.away", { host, port, error: error.message });
    away = true;
  });
  redis.on("ready", () => {
    log.info("redis.ready", { host, port });
    away = false;
  });
  return redis;
}

export const redisAway = (error: unknown): StoreAway => ({
  code: "store.away",
  store: "redis",
  detail: error instanceof Error ? error.message : String(error),
});

/** Whether a command is answered now. */
export const redisAnswers = (redis: Redis): Promise<boolean> =>
  redis.ping().then(
    () => true,
    () => false,
  );
