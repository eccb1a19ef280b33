// For tests and measurements: an rtpengine of one's own, on free ports, that never outlives who started it.

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { silentLog } from "../../../kernel/log.ts";
import type { RtpAddress } from "../../core/media/addresses.ts";
import { RtpengineMediaRelay } from "./media-relay.ts";
import type { NgLimits } from "./ng-client.ts";
import { rtpengineArguments } from "./spawn-arguments.ts";

export const rtpengineInstalled = (): boolean => spawnSync("rtpengine", ["--version"]).error === undefined;

export interface OwnRtpengine {
  readonly relay: RtpengineMediaRelay;
  readonly process: ChildProcess;
  readonly ng: RtpAddress;
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
  const args = rtpengineArguments({ mediaHost: host, ng, dtmfLog: relay.dtmfLog, rtpPorts });
  const child = spawn("rtpengine", args, { stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr.on("data", (text) => {
    said = `${said}${text}`.slice(-4_000);
  });
  const kill = () => child.kill("SIGKILL");
  process.once("exit", kill);
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const stop = async () => {
    process.off("exit", kill);
    kill();
    await ended;
  };
  const deadline = performance.now() + 5_000;
  while (!(await relay.health()).ok) {
    if (child.exitCode === null && performance.now() < deadline) continue;
    await stop();
    await relay.close();
    throw new Error(`rtpengine did not start: ${said}`);
  }
  return { relay, process: child, ng, stop };
}
