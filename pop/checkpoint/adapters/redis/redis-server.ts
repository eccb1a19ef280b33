// A redis-server of the test's own, on a free port, in a folder of its own, always killed.

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const REDIS_MISSING = spawnSync("redis-server", ["--version"]).error !== undefined && "redis-server is missing";

export class RedisServer {
  readonly host = "127.0.0.1";
  readonly port: number;
  readonly passwordFile: string;
  readonly #dir: string;
  #child: ChildProcess | undefined;

  readonly #password: string;

  private constructor(port: number, password: string) {
    this.port = port;
    this.#password = password;
    this.#dir = mkdtempSync(join(tmpdir(), "tollgate-redis-"));
    this.passwordFile = join(this.#dir, "password");
    writeFileSync(this.passwordFile, `${password}\n`, { mode: 0o600 });
    process.once("exit", this.#killAtExit);
  }

  static async start(password = "open sesame"): Promise<RedisServer> {
    const server = new RedisServer(await freePort(), password);
    await server.restart();
    return server;
  }

  /** Empty: nothing is kept on disk. */
  async restart(): Promise<void> {
    const settings = {
      bind: this.host,
      port: String(this.port),
      save: "",
      appendonly: "no",
      dir: this.#dir,
      requirepass: this.#password,
    };
    const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]);
    const child = spawn("redis-server", args, { stdio: ["ignore", "pipe", "inherit"] });
    this.#child = child;
    await new Promise<void>((resolve, reject) => {
      let said = "";
      child.stdout.on("data", (chunk: Buffer) => {
        said += chunk.toString();
        if (said.includes("Ready to accept connections")) resolve();
      });
      child.once("exit", () => reject(new Error(`redis-server ended:\n${said}`)));
    });
  }

  freeze(): void {
    this.#child?.kill("SIGSTOP");
  }

  thaw(): void {
    this.#child?.kill("SIGCONT");
  }

  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined) return;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await ended;
  }

  async close(): Promise<void> {
    await this.kill();
    process.off("exit", this.#killAtExit);
    rmSync(this.#dir, { recursive: true, force: true });
  }

  readonly #killAtExit = (): void => {
    this.#child?.kill("SIGKILL");
  };
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => (typeof address === "object" && address !== null ? resolve(address.port) : reject(address)));
    });
  });
}
