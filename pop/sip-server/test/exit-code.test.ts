// The process itself: what a supervisor sees when it cannot start.

import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { EXIT } from "../../../kernel/shell/process.ts";

const main = new URL("../main.ts", import.meta.url).pathname;

function startWith(secretFile: string, folder: string) {
  const local = { host: "127.0.0.1", port: 0 };
  const config = { listen: [{ transport: "udp", ...local }], admin: { ...local, secretFile }, http: local };
  const path = join(folder, "config.json");
  writeFileSync(path, JSON.stringify(config));
  return spawnSync(process.execPath, [main, "--config", path], { encoding: "utf8", timeout: 20_000 });
}

test("a secret file that is missing or empty: exit 78, one line that names setting and file", () => {
  const folder = mkdtempSync(join(tmpdir(), "sip-server-"));
  try {
    const missing = join(folder, "missing");
    const absent = startWith(missing, folder);
    assert.equal(absent.status, EXIT.config, absent.stderr);
    assert.match(absent.stderr, /^sip-server: admin\.secretFile: cannot read .*missing: ENOENT[^\n]*\n$/);

    const empty = join(folder, "empty");
    writeFileSync(empty, "\n");
    const blank = startWith(empty, folder);
    assert.equal(blank.status, EXIT.config, blank.stderr);
    assert.equal(blank.stderr, `sip-server: admin.secretFile: ${empty} is empty\n`);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("SIGHUP while it starts does not end it", async () => {
  const folder = mkdtempSync(join(tmpdir(), "sip-server-"));
  const path = join(folder, "config.json");
  execFileSync("mkfifo", [path]);
  const child = spawn(process.execPath, [main, "--config", path], { stdio: ["ignore", "pipe", "inherit"] });
  try {
    const started = once(child.stdout, "data").then(() => "started");
    const config = await open(path, "w"); // it has begun to read
    child.kill("SIGHUP");
    const local = { host: "127.0.0.1", port: 0 };
    await config.write(
      JSON.stringify({ listen: [{ transport: "udp", ...local }], admin: { ...local, secret: "s" }, http: local }),
    );
    await config.close();
    assert.equal(await Promise.race([started, once(child, "exit").then(([, signal]) => signal)]), "started");
  } finally {
    child.kill("SIGKILL");
    rmSync(folder, { recursive: true });
  }
});
