// A drain reaches every pop of the host, once each, also those that start later, and outlives the keeper.

import assert from "node:assert/strict";
import { test } from "node:test";
import { asId, type PopHostId } from "../../../kernel/ids.ts";
import { jsonLog } from "../../../kernel/log.ts";
import { fail, succeed } from "../../../kernel/outcome.ts";
import type { ShownProcess } from "../boundary/serving-processes.ts";
import type { ProcessName } from "../core/keeper-machine.ts";
import { Drain } from "./drain.ts";
import type { KeeperStatus } from "./keeper-status.ts";

const A = asId<"pop-host">("fra-01-a");
const B = asId<"pop-host">("fra-01-b");

const shown = (
  service: PopHostId | undefined,
  process: ProcessName,
  pid: number,
  state: ShownProcess["state"] = "ready",
) => ({ service, process, pid, state, restarts: 0, lastEnd: undefined }) satisfies ShownProcess;

/** A keeper that shows what it is told to, and pops that may be away. */
function stage({ drained = false, diskFull = false } = {}) {
  let processes: readonly ShownProcess[] = [];
  let twin = "heard";
  let reason: string | undefined;
  let changed: (() => void) | undefined;
  const told: string[] = [];
  const away = new Set<PopHostId>();
  const lines: string[] = [];
  const kept: boolean[] = [];
  const drain = new Drain({
    keeper: {
      status: () => ({ processes, twin: { state: twin }, services: [{ reason }] }) as unknown as KeeperStatus,
      onChange: (listener) => {
        changed = listener;
        return () => {
          changed = undefined;
        };
      },
    },
    intake: {
      drain: async (service, on) => {
        if (away.has(service)) return fail({ code: "drain.pop-away", detail: "refused" } as const);
        told.push(`${service} ${on ? "on" : "off"}`);
        return succeed(undefined);
      },
    },
    log: jsonLog((line) => lines.push(line), "info", Date.now),
    drained,
    persist: (on) => {
      if (diskFull) throw new Error("no space left");
      kept.push(on);
    },
  });
  const settled = () => new Promise((resolve) => setImmediate(resolve));
  return {
    drain,
    told,
    away,
    lines,
    kept,
    twinIs: async (state: string, servedBecause: string | undefined) => {
      twin = state;
      reason = servedBecause;
      changed?.();
      await settled();
    },
    listens: () => changed !== undefined,
    show: async (next: readonly ShownProcess[]) => {
      processes = next;
      changed?.();
      await settled();
    },
  };
}

test("every pop that serves is told, once; spares and others are not", async () => {
  const at = stage();
  await at.show([
    shown(A, "pop", 1),
    shown(B, "pop", 2),
    shown(undefined, "pop", 3, "spare"),
    shown(A, "sip-server", 4),
  ]);
  assert.deepEqual(at.told, [], "nothing was asked for");
  assert.ok((await at.drain.set(true)).ok);
  assert.deepEqual(at.told, [`${A} on`, `${B} on`]);
  await at.show([shown(A, "pop", 1), shown(B, "pop", 2)]);
  assert.equal(at.told.length, 2);
});

test("a pop that is restarted meanwhile is told when it serves", async () => {
  const at = stage();
  await at.show([shown(A, "pop", 1)]);
  await at.drain.set(true);
  await at.show([shown(A, "pop", 7, "starting")]);
  assert.equal(at.told.length, 1);
  await at.show([shown(A, "pop", 7)]);
  assert.deepEqual(at.told, [`${A} on`, `${A} on`]);
});

test("one that does not answer fails the request, and is told when it is back", async () => {
  const at = stage();
  await at.show([shown(A, "pop", 1), shown(B, "pop", 2)]);
  at.away.add(A);
  const set = await at.drain.set(true);
  assert.ok(!set.ok && set.failure.code === "drain.pop-away");
  assert.deepEqual(at.told, [`${B} on`], "the others are told all the same");
  at.away.delete(A);
  await at.show([shown(A, "pop", 1), shown(B, "pop", 2)]);
  assert.deepEqual(at.told, [`${B} on`, `${A} on`]);
});

test("called off: all hear it, also one that began under the drain", async () => {
  const at = stage();
  await at.show([shown(A, "pop", 1), shown(B, "pop", 2, "starting")]);
  await at.drain.set(true);
  await at.drain.set(false);
  assert.deepEqual(at.told, [`${A} on`, `${A} off`]);
  await at.show([shown(A, "pop", 1), shown(B, "pop", 2)]);
  assert.deepEqual(at.told.slice(2), [`${B} off`]);
  assert.deepEqual(at.kept, [true, false]);
});

test("a keeper that is restarted is drained as before, and tells what it starts", async () => {
  const at = stage({ drained: true });
  assert.equal(at.drain.on, true);
  await at.show([shown(A, "pop", 1)]);
  assert.deepEqual(at.told, [`${A} on`]);
});

test("a disk that takes nothing: drained all the same, and said", async () => {
  const at = stage({ diskFull: true });
  await at.show([shown(A, "pop", 1)]);
  assert.ok((await at.drain.set(true)).ok);
  assert.deepEqual(at.told, [`${A} on`]);
  assert.ok(at.lines.some((line) => line.includes("keeper.drain-not-kept")));
});

test("who shows it hears of each change; closed, it hears nothing more", async () => {
  const at = stage();
  let changes = 0;
  const forget = at.drain.onChange(() => changes++);
  await at.drain.set(true);
  forget();
  await at.drain.set(false);
  assert.equal(changes, 1);
  at.drain.close();
  assert.equal(at.listens(), false);
});

for (const state of ["died", "silent", "unknown"])
  test(`a drained host whose twin is ${state} takes calls again once it has taken a service over: nobody else would`, async () => {
    const at = stage();
    await at.show([shown(A, "pop", 1)]);
    await at.drain.set(true);
    await at.twinIs(state, "own-record");
    assert.deepEqual(at.told, [`${A} on`], "the twin may be back");
    await at.twinIs(state, "twin-silent");
    assert.deepEqual(at.told, [`${A} on`, `${A} off`]);
    assert.deepEqual([at.drain.on, at.kept], [false, [true, false]]);
  });

test("a drained host whose twin is heard, or was stopped on purpose, stays drained", async () => {
  const at = stage();
  await at.show([shown(A, "pop", 1)]);
  await at.drain.set(true);
  await at.twinIs("heard", "twin-refused");
  await at.twinIs("left", "twin-refused");
  assert.deepEqual(at.told, [`${A} on`]);
});
