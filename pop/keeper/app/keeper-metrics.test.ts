import assert from "node:assert/strict";
import { test } from "node:test";
import { asId } from "../../../kernel/ids.ts";
import { initialKeeper, KEEPER_TIMING } from "../core/keeper-machine.ts";
import { keeperMetrics } from "./keeper-metrics.ts";
import { type KeeperStatus, Timeline } from "./keeper-status.ts";

const [A, B] = [asId<"pop-host">("a"), asId<"pop-host">("b")];

const statusWith = (change: Partial<KeeperStatus> = {}): KeeperStatus => {
  const settings = { host: A, twin: B, processes: ["pop"], timing: KEEPER_TIMING } as const;
  const began = initialKeeper(settings, { atMs: 0, boot: "a/1", memory: { epochs: {} } });
  return { ...new Timeline(A).status(began, [], 0), ...change };
};
const lineOf = (text: string, name: string) =>
  text.split("\n").filter((line) => line.startsWith(`tollgate_keeper_${name}`));

test("every line is a sample of a metric that was described before it, or describes one", () => {
  const text = keeperMetrics(statusWith(), false);
  assert.ok(text.endsWith("\n"));
  let described = "";
  for (const line of text.trimEnd().split("\n")) {
    const [, type] = /^# TYPE (\S+) (?:gauge|counter)$/.exec(line) ?? [];
    if (type !== undefined) described = type;
    else if (!line.startsWith("# HELP ")) {
      const [, name, value] = /^([a-z_]+)(?:\{[^}]*\})? (\S+)$/.exec(line) ?? [];
      assert.equal(name, described, line);
      assert.ok(Number.isFinite(Number(value)), line);
    }
  }
});

test("a lease is in seconds and absent where nothing is held; a drain, spares and restarts are told", () => {
  const [home] = statusWith().services;
  assert.ok(home !== undefined);
  const spare = {
    service: undefined,
    process: "pop",
    state: "spare",
    pid: 1,
    restarts: 0,
    lastEnd: undefined,
  } as const;
  const serving = { ...home, role: "serving", epoch: 8, leaseLeftMs: 1_250, complete: true } as const;
  const busy = statusWith({ services: [serving], processes: [spare, spare], restarts: 3, takeovers: 1 });
  const text = keeperMetrics(busy, true);
  assert.deepEqual(lineOf(text, "lease_left_seconds"), ['tollgate_keeper_lease_left_seconds{service="a"} 1.25']);
  assert.deepEqual(lineOf(text, "epoch"), ['tollgate_keeper_epoch{service="a"} 8']);
  assert.deepEqual(lineOf(text, "complete"), ['tollgate_keeper_complete{service="a"} 1']);
  assert.deepEqual(lineOf(text, "draining"), ["tollgate_keeper_draining 1"]);
  assert.deepEqual(lineOf(text, "spares"), ["tollgate_keeper_spares 2"]);
  assert.deepEqual(lineOf(text, "process_restarts_total"), ["tollgate_keeper_process_restarts_total 3"]);
  assert.deepEqual(lineOf(text, "takeovers_total"), ["tollgate_keeper_takeovers_total 1"]);
  assert.deepEqual(lineOf(keeperMetrics(statusWith(), false), "lease_left_seconds"), []);
  assert.deepEqual(lineOf(keeperMetrics(statusWith(), false), "draining"), ["tollgate_keeper_draining 0"]);
});

test("of the last takeover: how long until it was sure, and until each process served", () => {
  const lastTakeover = {
    service: B,
    why: "twin-died",
    atUnixMs: 1,
    detectedMs: 12,
    claimedMs: 15,
    addressMs: 16,
    servingMs: { "sip-server": 150, pop: 480 },
  };
  const text = keeperMetrics(statusWith({ lastTakeover }), false);
  assert.deepEqual(lineOf(text, "detection_seconds"), ["tollgate_keeper_detection_seconds 0.012"]);
  assert.deepEqual(lineOf(text, "takeover_seconds"), [
    'tollgate_keeper_takeover_seconds{process="sip-server"} 0.15',
    'tollgate_keeper_takeover_seconds{process="pop"} 0.48',
  ]);
});
