// SIPp, another implementation of SIP, against the real process: answered calls, and calls through a B2BUA.

import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import Srf from "drachtio-srf";
import { type Application, type Dialog, leave, until } from "./application.ts";
import { SDP } from "./peer.ts";

const HOST = "127.41.0.1";
const CALLER = "127.41.0.2";
const CALLEE = "127.41.0.3";

const isThere = (() => {
  try {
    execFileSync("sipp", ["-v"], { stdio: "ignore" });
    return true;
  } catch (error) {
    return (error as { status?: number | null }).status !== undefined && (error as { code?: string }).code !== "ENOENT";
  }
})();
const skip = isThere ? false : "sipp is not installed";

let folder = "";
let server: ChildProcess | undefined;
let srf: Application | undefined;
let ports: { sip: number; admin: number; http: number };
const children: ChildProcess[] = [];

const freePort = () =>
  new Promise<number>((resolve) => {
    const probe = createServer();
    probe.listen(0, HOST, () => {
      const bound = probe.address();
      probe.close(() => resolve(typeof bound === "object" && bound !== null ? bound.port : 0));
    });
  });

async function facts(): Promise<Record<string, number>> {
  return (await fetch(`http://${HOST}:${ports.http}/healthz`)).json() as Promise<Record<string, number>>;
}

before(async () => {
  if (!isThere) return;
  folder = mkdtempSync(join(tmpdir(), "sip-server-"));
  ports = { sip: await freePort(), admin: await freePort(), http: await freePort() };
  const config = {
    listen: (["udp", "tcp"] as const).map((transport) => ({ transport, host: HOST, port: ports.sip })),
    admin: { host: HOST, port: ports.admin, secret: "s" },
    http: { host: HOST, port: ports.http },
  };
  writeFileSync(join(folder, "config.json"), JSON.stringify(config));
  const main = new URL("../main.ts", import.meta.url).pathname;
  server = spawn(process.execPath, [main, "--config", join(folder, "config.json"), "--log-level", "warn"], {
    stdio: "inherit",
  });
  let up = false;
  const look = setInterval(() => {
    facts().then(
      () => {
        up = true;
      },
      () => {},
    );
  }, 20);
  try {
    await until(() => up, "the server is up", 10_000);
  } finally {
    clearInterval(look);
  }
  const application = new Srf() as unknown as Application;
  srf = application;
  application.on("error", () => {});
  await new Promise((resolve) => {
    application.on("connect", resolve);
    application.connect({ host: HOST, port: ports.admin, secret: "s" });
  });
  application.invite((req, res) => {
    if (!req.uri.includes("bob@")) {
      application.createUAS(req, res, { localSdp: SDP }).catch(() => {});
      return;
    }
    const end = (other: Dialog) => () => void other.destroy().catch(() => {});
    application
      .createB2BUA(req, res, `sip:service@${CALLEE}:5080`)
      .then(({ uas, uac }) => {
        uas.on("destroy", end(uac));
        uac.on("destroy", end(uas));
      })
      .catch(() => {});
  });
});

after(async () => {
  if (srf !== undefined) leave(srf);
  for (const child of children) child.kill("SIGKILL");
  if (server !== undefined) {
    const code = new Promise((resolve) => server?.once("exit", resolve));
    server.kill("SIGTERM");
    assert.equal(await code, 0);
  }
  if (folder !== "") rmSync(folder, { recursive: true });
});

/** Runs SIPp to its end; resolves to its exit code. */
function sipp(...options: string[]): Promise<number | null> {
  const child = spawn("sipp", [...options, "-nostdin", "-timeout", "40", "-timeout_error"], {
    cwd: folder,
    stdio: "ignore",
  });
  children.push(child);
  return new Promise((resolve) => child.once("exit", resolve));
}

for (const [transport, flag] of [
  ["UDP", "u1"],
  ["TCP", "t1"],
] as const)
  test(`SIPp over ${transport}: 200 calls answered, none failed, none left`, { skip }, async () => {
    const code = await sipp(
      `${HOST}:${ports.sip}`,
      "-sn",
      "uac",
      "-t",
      flag,
      "-i",
      CALLER,
      "-r",
      "100",
      "-m",
      "200",
      "-d",
      "100",
    );
    assert.equal(code, 0);
    assert.equal((await facts()).dialogs, 0);
  });

test("SIPp on both sides of a B2BUA: 200 calls, none failed, none left", { skip }, async () => {
  const callee = spawn("sipp", ["-sn", "uas", "-i", CALLEE, "-p", "5080", "-nostdin"], {
    cwd: folder,
    stdio: "ignore",
  });
  children.push(callee);
  const code = await sipp(
    `${HOST}:${ports.sip}`,
    "-sn",
    "uac",
    "-s",
    "bob",
    "-i",
    CALLER,
    "-r",
    "50",
    "-m",
    "200",
    "-d",
    "100",
  );
  assert.equal(code, 0);
  let left = 1;
  const look = setInterval(() => void facts().then(({ dialogs }) => (left = dialogs ?? 0)), 20);
  try {
    await until(() => left === 0, "every dialog ended");
  } finally {
    clearInterval(look);
  }
});
