import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";

test("no import goes the wrong way", () => {
  const { stdout, status } = spawnSync(process.execPath, ["scripts/deps.ts"], { encoding: "utf8" });
  assert.equal(status, 0, stdout.split("\n").slice(-20).join("\n"));
});
