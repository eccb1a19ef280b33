// For tests and measurements: an rtpengine of one's own, on free ports, that never outlives who started it.

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { silentLog } from "../../../kernel/log.ts";
import type { RtpAddress } from "../../core/media/addresses.ts";
import { RtpengineMediaRelay } from "./media-relay.ts";
import type { NgLimits } from "./ng-client.ts";
import { rtpengineSpawn } from "./spawn-arguments.ts";

export const rtpengineInstalled = (): boolean => spawnSync("rtpengine", ["--version"]).error === undefined;

export interface OwnRtpengine {
  readonly relay: RtpengineMediaRelay;
  readonly process: ChildProcess;
  readonly ng: RtpAddress;
  /** Kills it and starts it again, which forgets every call; resolves when it answers. */
  restart(): Promise<void>;
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
export async function startOwnRtpengine(host: string, limits?: NgLimits): Promise<OwnRtpengine> {
  const ng = { host, port: await freePort(host) };
  const dtmf = { host, port: 0 };
  const relay = await RtpengineMediaRelay.open({ ng, dtmfLog: dtmf, ...(limits ? { limits } : {}) }, silentLog);
  const rtpPorts = { first: 30_000, last: 30_999 };
  const { args } = rtpengineSpawn({ mediaHost: host, ng, dtmfLog: relay.dtmfLog, rtpPorts });
  let said = "";
  let child = start();
  function start(): ChildProcess {
    // setpriv (util-linux) becomes rtpengine; it dies with us whatever kills us.
    const own = spawn("setpriv", ["--pdeathsig", "KILL", "rtpengine", ...args], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    own.stderr.on("data", (text) => {
      said = `${said}${text}`.slice(-4_000);
    });
    return own;
  }
  const kill = async () => {
    const ended = child.exitCode !== null || child.signalCode !== null ? undefined : once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  };
  const answers = async () => {
    const deadline = performance.now() + 5_000;
    while (!(await relay.health()).ok) {
      if (child.exitCode === null && performance.now() < deadline) continue;
      await kill();
      await relay.close();
      throw new Error(`rtpengine did not start: ${said}`);
    }
  };
  await answers();
  return {
    relay,
    get process() {
      return child;
    },
    ng,
    async restart() {
      await kill();
      child = start();
      await answers();
    },
    stop: kill,
  };
}
