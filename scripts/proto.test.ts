import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";

test("the .proto files lint, break nothing that was released, and are generated as committed", () => {
  const { stderr, status } = spawnSync(process.execPath, ["scripts/proto.ts", "--check"], { encoding: "utf8" });
  assert.equal(status, 0, stderr);
});
