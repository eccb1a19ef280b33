// For tests and measurements: a media worker process of one's own, that never outlives who started it.

import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { silentLog } from "../../../kernel/log.ts";
import { MediaWorkerServer } from "./media-server.ts";

const MAIN = fileURLToPath(new URL("../../media-worker/main.ts", import.meta.url));

export interface OwnMediaWorker {
  readonly server: MediaWorkerServer;
  readonly process: ChildProcess;
  readonly folder: string;
  readonly socketPath: string;
  /** A second pop's connection. */
  connectAgain(): MediaWorkerServer;
  stop(): Promise<void>;
}

export interface OwnMediaWorkerOptions {
  readonly host?: string;
  readonly portFirst?: number;
  readonly portLast?: number;
  readonly orphanSeconds?: number;
}

/** @throws Error when it cannot be reached within five seconds */
export async function startOwnMediaWorker(options: OwnMediaWorkerOptions = {}): Promise<OwnMediaWorker> {
  const folder = mkdtempSync(join(tmpdir(), "tollgate-media-worker-"));
  const socketPath = join(folder, "control.sock");
  const config = {
    control: { socketPath },
    rtp: {
      host: options.host ?? `127.78.${process.pid % 250}.1`,
      portFirst: options.portFirst ?? 20_000,
      portLast: options.portLast ?? 20_999,
    },
    orphanSeconds: options.orphanSeconds ?? 120,
  };
  const configPath = join(folder, "media-worker.json");
  writeFileSync(configPath, JSON.stringify(config));
  // setpriv (util-linux) becomes the worker; it dies with us whatever kills us.
  const command = ["--pdeathsig", "KILL", process.execPath, MAIN, "--config", configPath];
  const child = spawn("setpriv", command, { stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (text) => {
      said = `${said}${text}`.slice(-4_000);
    });
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const servers: MediaWorkerServer[] = [];
  const connect = () => {
    const server = new MediaWorkerServer({ socketPath }, silentLog);
    servers.push(server);
    return server;
  };
  const stop = async () => {
    for (const server of servers) await server.disconnect();
    child.kill("SIGKILL");
    await ended;
    rmSync(folder, { recursive: true, force: true });
  };
  const server = connect();
  const connected = new Promise<boolean>((resolve) => {
    server.onConnected(() => resolve(true));
    child.once("exit", () => resolve(false));
    setTimeout(() => resolve(false), 5_000).unref();
  });
  if (!(await connected)) {
    await stop();
    throw new Error(`the media worker did not start: ${said}`);
  }
  return { server, process: child, folder, socketPath, connectAgain: connect, stop };
}
