import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRng } from "../rng.ts";
import { afterDeath, DEATHS_MAX } from "./restart-policy.ts";

test("a process that keeps dying is started ever later, and in the end left alone", () => {
  const deaths: number[] = [];
  const rng = seededRng(1);
  const waits: number[] = [];
  for (let nowMs = 0; ; nowMs += 1_000) {
    deaths.push(nowMs);
    const decision = afterDeath(deaths, nowMs, rng);
    if (decision.kind === "give-up") {
      assert.equal(decision.deaths, DEATHS_MAX);
      break;
    }
    waits.push(decision.afterMs);
  }
  assert.equal(waits.length, DEATHS_MAX - 1);
  assert.ok(waits.every((wait, at) => at === 0 || wait > (waits[at - 1] ?? 0)));
});

test("deaths of more than a minute ago do not count", () => {
  const deaths = [0, 1, 2, 3, 4, 5, 100_000];
  const decision = afterDeath(deaths, 100_000, seededRng(1));
  assert.ok(decision.kind === "restart" && decision.afterMs <= 100);
});
