import assert from "node:assert/strict";
import { test } from "node:test";
import { type Look, look, parseMachineStat, parseProcessStat, usedBetween } from "./process-usage.ts";

test("a process's CPU time is utime and stime, its memory the resident pages; its command may be anything", () => {
  const line =
    "4711 (node (x) 9 8) S 1 4711 4711 0 -1 4194560 9000 77 0 0 150 25 900 800 20 0 11 0 12345 1651200000 2500 18446744073709551615 1 1";
  assert.deepEqual(parseProcessStat(line), { cpuMs: 1_750, rssBytes: 10_240_000 });
});

test("what is not such a line is nothing", () => {
  assert.equal(parseProcessStat(""), undefined);
  assert.equal(parseProcessStat("4711 (node) S 1 2 3"), undefined);
});

test("the machine: busy is all but idle and waiting for a disk; stolen time stands apart", () => {
  const text = "cpu  100 10 50 1000 40 5 15 30 0 0\ncpu0 50 5 25 500 20 2 7 15 0 0\nintr 1\n";
  assert.deepEqual(parseMachineStat(text), { busyMs: 1_800, idleMs: 10_400, stolenMs: 300 });
  assert.equal(parseMachineStat("cpu0 1 2 3 4 5 6 7 8"), undefined);
});

test("between two looks: CPU time of each, shares of all cores, and what none of them took", () => {
  const at = (atMs: number, busyMs: number, idleMs: number, popMs: number): Look => ({
    atMs,
    machine: { busyMs, idleMs, stolenMs: 0 },
    processes: new Map([["pop", { cpuMs: popMs, rssBytes: 1 }]]),
  });
  const used = usedBetween(at(0, 1_000, 5_000, 300), at(1_000, 2_000, 6_000, 900));
  assert.deepEqual(used, {
    wallMs: 1_000,
    cpuMs: new Map([["pop", 600]]),
    busyShare: 0.5,
    stolenShare: 0,
    restShare: 0.2,
  });
});

test("this process is there, one that is not is missed by name", () => {
  const own = look(new Map([["own", process.pid]])).processes.get("own");
  assert.ok(own !== undefined && own.rssBytes > 1_000_000);
  assert.throws(() => look(new Map([["pop", 2 ** 30]])), /pop \(process 1073741824\) is gone/);
});
