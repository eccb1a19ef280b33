import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

const LAUNCHER = join(import.meta.dirname, "tollgate.js");
const run = (words: readonly string[], node = process.execPath) => {
  const { status, stdout, stderr } = spawnSync(node, [LAUNCHER, ...words], { encoding: "utf8" });
  return { status, stdout, stderr };
};

test("it says what it can do, and each command what it does", () => {
  const overview = run(["--help"]);
  assert.equal(overview.status, 0);
  for (const name of ["up", "status", "apply", "agent sign-in", "call list", "call trace"]) {
    assert.ok(overview.stdout.includes(name), name);
    const help = run([...name.split(" "), "--help"]);
    assert.equal(help.status, 0, name);
    assert.ok(help.stdout.startsWith(`usage: tollgate ${name} `), name);
  }
  assert.match(run(["--version"]).stdout, /^\d+\.\d+\.\d+\n$/);
});

test("wrong usage is 64, with a hint", () => {
  for (const words of [
    [],
    ["fly"],
    ["call"],
    ["call", "trace"],
    ["up", "--nonsense"],
    ["agent", "state", "ada", "asleep"],
  ]) {
    const { status, stderr } = run(words);
    assert.equal(status, 64, words.join(" "));
    assert.notEqual(stderr, "");
  }
});

test("a region that is not up is 69, and a file that is not there 66", () => {
  const data = mkdtempSync(join(tmpdir(), "tollgate-cli-"));
  try {
    const status = run(["status", "--data", data]);
    assert.equal(status.status, 69);
    assert.match(status.stderr, /region eu is not up/);
    assert.equal(run(["apply", join(data, "none.yaml"), "--data", data]).status, 66);
  } finally {
    rmSync(data, { recursive: true, force: true });
  }
});
