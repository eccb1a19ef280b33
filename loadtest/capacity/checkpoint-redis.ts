// A Redis for checkpoints alone, set up as that of a region: what it takes, and what it is sent, is theirs.

import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Redis } from "ioredis";
import { redisConfig } from "../../cli/up/process-configs.ts";
import { eventually } from "../demo/operator.ts";
import { freePort } from "./sip/parties.ts";

const HOST = "127.0.0.1";
const START_MS_MAX = 10_000;
const STOP_MS_MAX = 2_000;
const PASSWORD = "capacity";

/** What the processes are told. */
export interface RedisAt {
  readonly host: string;
  readonly port: number;
  readonly passwordFile: string;
}

/** Since its start. */
export interface RedisSays {
  readonly bytesIn: number;
  /** By name in lower case: "evalsha", "set". */
  readonly commands: ReadonlyMap<string, number>;
}

export class CheckpointRedis {
  readonly at: RedisAt;
  readonly pid: number;
  readonly #client: Redis;
  readonly #stop: () => Promise<void>;

  private constructor(at: RedisAt, pid: number, client: Redis, stop: () => Promise<void>) {
    this.at = at;
    this.pid = pid;
    this.#client = client;
    this.#stop = stop;
  }

  /** @throws Error when it is not up in time */
  static async start(folder: string): Promise<CheckpointRedis> {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const port = await freePort("tcp", HOST);
    const [file, passwordFile] = [join(folder, "redis.conf"), join(folder, "password")];
    writeFileSync(file, redisConfig({ host: HOST, port, data: folder, password: PASSWORD }), { mode: 0o600 });
    writeFileSync(passwordFile, PASSWORD, { mode: 0o600 });
    const child = spawn("redis-server", [file], { stdio: "ignore" });
    const kill = () => child.kill("SIGKILL");
    process.on("exit", kill);
    const gone = new Promise<void>((resolve) => {
      child.on("error", () => resolve());
      child.on("close", () => resolve());
    });
    const client = new Redis({ host: HOST, port, password: PASSWORD, retryStrategy: () => 100 });
    client.on("error", () => {}); // until it listens
    const stop = async () => {
      client.disconnect();
      child.kill("SIGTERM");
      const timer = setTimeout(kill, STOP_MS_MAX);
      await gone;
      clearTimeout(timer);
      process.off("exit", kill);
    };
    try {
      await eventually("the Redis for checkpoints answers", START_MS_MAX, async () => client.ping());
    } catch (error) {
      await stop();
      throw error;
    }
    return new CheckpointRedis({ host: HOST, port, passwordFile }, child.pid ?? 0, client, stop);
  }

  async says(): Promise<RedisSays> {
    const [stats, commands] = await Promise.all([this.#client.info("stats"), this.#client.info("commandstats")]);
    return readInfo(`${stats}\n${commands}`);
  }

  stop(): Promise<void> {
    return this.#stop();
  }
}

/** Redis' INFO. */
export function readInfo(text: string): RedisSays {
  return {
    bytesIn: Number(/^total_net_input_bytes:(\d+)/m.exec(text)?.[1] ?? 0),
    commands: new Map(
      [...text.matchAll(/^cmdstat_([^:]+):calls=(\d+)/gm)].map(([, name = "", calls]) => [name, Number(calls)]),
    ),
  };
}
