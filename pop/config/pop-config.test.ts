import assert from "node:assert/strict";
import { test } from "node:test";
import { PopConfig } from "./pop-config.ts";

test("the longest call is one that a timer can measure: Node counts 2^31 ms and fires at once beyond", () => {
  const { limits } = PopConfig.shape;
  assert.ok(limits.safeParse({ callMsMax: 7 * 24 * 3_600_000 }).success);
  assert.ok(!limits.safeParse({ callMsMax: 2 ** 31 }).success);
});
