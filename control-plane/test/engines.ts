// Real etcd and Redis for tests: each on a loopback address of its own, in a folder of its own, always killed.

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Why tests of an engine are skipped; undefined: they run. */
export function missing(command: "etcd" | "redis-server"): string | undefined {
  try {
    execFileSync(command, ["--version"], { stdio: "ignore" });
    return undefined;
  } catch {
    return `${command} is not installed`;
  }
}

const HOST = "127.0.0.1";

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(0, HOST, resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (typeof address !== "object" || address === null) throw new Error("no port");
  return address.port;
}

const started = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of started) child.kill("SIGKILL");
});

/** A process of ours that can be killed and started again on the same address and data. */
export class Engine {
  readonly host = HOST;
  readonly port: number;
  readonly #run: () => ChildProcess;
  readonly #answers: () => Promise<boolean>;
  readonly #dir: string;
  #child: ChildProcess | undefined;

  constructor(port: number, dir: string, run: () => ChildProcess, answers: () => Promise<boolean>) {
    this.port = port;
    this.#dir = dir;
    this.#run = run;
    this.#answers = answers;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  async start(): Promise<void> {
    const child = this.#run();
    this.#child = child;
    started.add(child);
    const giveUpAtMs = Date.now() + 20_000;
    while (!(await this.#answers())) {
      if (child.exitCode !== null || Date.now() > giveUpAtMs) throw new Error(`${child.spawnfile} did not start`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** kill -9. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await gone;
    started.delete(child);
  }

  /** Stops answering without closing anything; true: goes on. */
  freeze(on: boolean): void {
    this.#child?.kill(on ? "SIGSTOP" : "SIGCONT");
  }

  async close(): Promise<void> {
    this.#child?.kill("SIGCONT");
    await this.kill();
    rmSync(this.#dir, { recursive: true, force: true });
  }
}

export async function startEtcd(): Promise<Engine> {
  const dir = mkdtempSync(join(tmpdir(), "tollgate-etcd-"));
  const [port, peerPort] = [await freePort(), await freePort()];
  const [client, peer] = [`http://${HOST}:${port}`, `http://${HOST}:${peerPort}`];
  const run = () =>
    spawn(
      "etcd",
      [
        ...["--data-dir", join(dir, "data"), "--name", "test", "--initial-cluster", `test=${peer}`],
        ...["--listen-client-urls", client, "--advertise-client-urls", client],
        ...["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer],
        ...["--heartbeat-interval", "50", "--election-timeout", "500"],
      ],
      { stdio: "ignore" },
    );
  const answers = () =>
    fetch(`${client}/health`)
      .then(async (answer) => (await answer.text()).includes("true"))
      .catch(() => false);
  const engine = new Engine(port, dir, run, answers);
  await engine.start();
  return engine;
}

export async function startRedis(): Promise<Engine> {
  const dir = mkdtempSync(join(tmpdir(), "tollgate-redis-"));
  const port = await freePort();
  const run = () =>
    spawn("redis-server", ["--bind", HOST, "--port", String(port), "--dir", dir, "--save", "", "--appendonly", "yes"], {
      stdio: "ignore",
    });
  const answers = async () => {
    try {
      const { Redis } = await import("ioredis");
      const probe = new Redis({ host: HOST, port, lazyConnect: true, retryStrategy: () => null, connectTimeout: 500 });
      probe.on("error", () => {});
      try {
        await probe.connect();
        return (await probe.ping()) === "PONG";
      } finally {
        probe.disconnect();
      }
    } catch {
      return false;
    }
  };
  const engine = new Engine(port, dir, run, answers);
  await engine.start();
  return engine;
}
