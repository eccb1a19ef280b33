import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";

test("docs name only what exists, and every failure code has its row", () => {
  const { stderr, status } = spawnSync(process.execPath, ["scripts/docs.ts"], { encoding: "utf8" });
  assert.equal(status, 0, stderr);
});
