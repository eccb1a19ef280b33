// For tests and measurements: an rtpengine of one's own, on free ports, that never outlives who started it.

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLog } from "../../../kernel/log.ts";
import type { RtpAddress } from "../../core/media/addresses.ts";
import { RtpengineMediaRelay } from "./media-relay.ts";
import type { NgLimits } from "./ng-client.ts";
import { type RelayRedis, rtpengineSpawn } from "./spawn-arguments.ts";

export const rtpengineInstalled = (): boolean => spawnSync("rtpengine", ["--version"]).error === undefined;

export interface OwnRtpengineOptions {
  readonly limits?: NgLimits;
  /** Calls survive `restart`. */
  readonly redis?: Omit<RelayRedis, "configFile">;
}

export interface OwnRtpengine {
  readonly relay: RtpengineMediaRelay;
  readonly process: ChildProcess;
  readonly ng: RtpAddress;
  kill(): Promise<void>;
  /** Started again, with this database if given; resolves when it answers. */
  start(database?: number): Promise<void>;
  /** Kills it and starts it again; without Redis it forgets every call. */
  restart(): Promise<void>;
  /** What the next process of the pop has: nothing but what was saved. */
  anotherRelay(): Promise<RtpengineMediaRelay>;
  /** Ends rtpengine; the relay is the caller's to close. */
  stop(): Promise<void>;
}

async function freePort(host: string): Promise<number> {
  const socket = createSocket("udp4");
  await new Promise<void>((resolve) => socket.bind(0, host, resolve));
  const { port } = socket.address();
  await new Promise<void>((resolve) => socket.close(() => resolve()));
  return port;
}

/** @param host of 127.0.0.0/8, for nobody else's use at the time. @throws Error when it does not answer within five seconds */
export async function startOwnRtpengine(host: string, options: OwnRtpengineOptions = {}): Promise<OwnRtpengine> {
  const { limits, redis } = options;
  const folder = mkdtempSync(join(tmpdir(), "tollgate-rtpengine-"));
  const ng = { host, port: await freePort(host) };
  const dtmf = { host, port: 0 };
  const open = () => RtpengineMediaRelay.open({ ng, dtmfLog: dtmf, ...(limits ? { limits } : {}) }, silentLog);
  const relay = await open();
  const rtpPorts = { first: 30_000, last: 30_999 };
  let said = "";
  const spawned = (database?: number): ChildProcess => {
    const { args, files } = rtpengineSpawn({
      mediaHost: host,
      ng,
      dtmfLog: relay.dtmfLog,
      rtpPorts,
      ...(redis === undefined
        ? {}
        : { redis: { ...redis, database: database ?? redis.database, configFile: join(folder, "rtpengine.conf") } }),
    });
    for (const { path, text } of files) writeFileSync(path, text, { mode: 0o600 });
    // setpriv (util-linux) becomes rtpengine; it dies with us whatever kills us.
    const own = spawn("setpriv", ["--pdeathsig", "KILL", "rtpengine", ...args], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    own.stderr.on("data", (text) => {
      said = `${said}${text}`.slice(-4_000);
    });
    return own;
  };
  let child = spawned();
  const kill = async () => {
    const ended = child.exitCode !== null || child.signalCode !== null ? undefined : once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  };
  const answers = async () => {
    const deadline = performance.now() + 5_000;
    while (!(await relay.health()).ok) {
      if (child.exitCode === null && performance.now() < deadline) {
        await new Promise((resolve) => setTimeout(resolve, 2)); // known to be away, it fails at once
        continue;
      }
      await kill();
      await relay.close();
      rmSync(folder, { recursive: true, force: true });
      throw new Error(`rtpengine did not start: ${said}`);
    }
  };
  await answers();
  const start = async (database?: number) => {
    child = spawned(database);
    await answers();
  };
  return {
    relay,
    get process() {
      return child;
    },
    ng,
    kill,
    start,
    async restart() {
      await kill();
      await start();
    },
    anotherRelay: open,
    async stop() {
      await kill();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
