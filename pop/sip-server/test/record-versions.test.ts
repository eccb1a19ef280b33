// Records of other releases: those of the one before are read, those written for it are what it reads. The files in
// golden/ were written by the release that brought the version, and never change.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { SimWorld } from "../../../kernel/sim/world.ts";
import { parseMessage } from "../core/message/parse.ts";
import { type RecordVersion, writtenFor } from "../core/record/versions.ts";
import { CALLED, CALLER, playScenes } from "./golden/scenes.ts";
import { SimulatedHost } from "./simulated.ts";

type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };

const golden = (version: RecordVersion): Readonly<Record<string, Json>> =>
  JSON.parse(readFileSync(new URL(`golden/records-${version}.json`, import.meta.url), "utf8"));

/** Where a scene's record is at home. */
const homeOf = (scene: string): string => (scene.endsWith(", caller") ? CALLER : CALLED);
const tagOf = (scene: string): string => (homeOf(scene) === CALLER ? "instance:alice" : "instance:bob");

function scenes(version: RecordVersion): Readonly<Record<string, string>> {
  const written: Record<string, string> = {};
  playScenes({}, (scene, host, callId) => {
    written[scene] = writtenFor(host.endpoint.exportState(callId), version);
  });
  return written;
}

/** What `found` lacks of the fields of `wanted`, or has in another type; what it has beyond them is nobody's business. */
function lacks(wanted: Json, found: Json | undefined, path: string): string[] {
  if (typeof wanted !== typeof found || (wanted === null) !== (found === null)) return [path];
  if (typeof wanted !== "object" || wanted === null || typeof found !== "object" || found === null) return [];
  if (Array.isArray(wanted) !== Array.isArray(found)) return [path];
  return Object.entries(wanted).flatMap(([name, field]) =>
    lacks(field, (found as { readonly [name: string]: Json })[name], `${path}.${name}`),
  );
}

for (const version of [1, 2] as const) {
  test(`records of version ${version} are read, and the calls in them go on`, () => {
    for (const [scene, record] of Object.entries(golden(version))) {
      const world = new SimWorld(1, { delayMs: 20 });
      const host = new SimulatedHost(world, homeOf(scene), {}, tagOf(scene));
      const restored = host.endpoint.restoreState(record);
      assert.ok(restored.ok, `${scene}: ${restored.ok ? "" : restored.failure.reason}`);
      const { dialogs, transactions, pendingRequests, clientCalls } = host.endpoint.facts;
      const { dialogs: expected } = record as unknown as {
        dialogs: readonly { dialog: { id: string; phase: string } }[];
      };
      assert.equal(dialogs, expected.length, scene);
      assert.ok(transactions > 0, scene);
      if (scene === "ringing, called" || scene === "a request in the call") assert.equal(pendingRequests, 1, scene);
      if (scene === "ringing, caller") assert.equal(clientCalls, 1, scene);
      // What was read is written again, and read once more.
      const again = new SimulatedHost(new SimWorld(1), homeOf(scene));
      for (const other of [1, 2] as const) {
        const text = writtenFor(host.endpoint.exportState(), other);
        const reader = other === 1 ? again : new SimulatedHost(new SimWorld(1), homeOf(scene));
        assert.ok(reader.endpoint.restoreState(JSON.parse(text)).ok, `${scene}, as ${other}`);
      }
    }
  });

  test(`what is written as version ${version} has every field that its readers know, in its type`, () => {
    const written = scenes(version);
    const known = golden(version);
    assert.deepEqual(Object.keys(written), Object.keys(known));
    for (const [scene, record] of Object.entries(known))
      assert.deepEqual(lacks(record, JSON.parse(written[scene] ?? ""), scene), []);
  });
}

test("version 1 has every message in full: its reader knows no references", () => {
  for (const [scene, text] of Object.entries(scenes(1)))
    JSON.parse(text, (name, value) => {
      if (typeof value === "string" && (name === "request" || name === "invite" || name === "ack"))
        assert.ok(parseMessage(value).ok, `${scene}: ${value}`);
      return value;
    });
});

test("version 2 is the smaller one where a request would stand twice", () => {
  const [one, two] = [scenes(1), scenes(2)];
  for (const scene of ["ringing, caller", "answered, not acknowledged, caller"])
    assert.ok(
      (two[scene]?.length ?? 0) < 0.9 * (one[scene]?.length ?? 0),
      `${two[scene]?.length} of ${one[scene]?.length}`,
    );
});

test("fields that nobody knows are skipped", () => {
  for (const [scene, record] of Object.entries(golden(2))) {
    const newer = JSON.parse(JSON.stringify(record), (_, value) =>
      typeof value === "object" && value !== null && !Array.isArray(value) && !("sip" in value)
        ? { ...value, fromTheFuture: { deep: [1] } }
        : value,
    );
    const host = new SimulatedHost(new SimWorld(1), homeOf(scene), {}, tagOf(scene));
    const restored = host.endpoint.restoreState(newer);
    assert.ok(restored.ok, `${scene}: ${restored.ok ? "" : restored.failure.reason}`);
  }
});

test("property: whatever stands in a record, reading it throws nothing, and leaves nothing behind when it is refused", () => {
  let refused = 0;
  const tried: unknown[] = [null, undefined, -7, "=9", [], {}];
  for (const [scene, record] of Object.entries(golden(2))) {
    const paths: string[][] = [];
    const walk = (value: unknown, path: string[]) => {
      paths.push(path);
      if (typeof value === "object" && value !== null)
        for (const [name, field] of Object.entries(value)) walk(field, [...path, name]);
    };
    walk(record, []);
    for (const path of paths)
      for (const value of tried) {
        const host = new SimulatedHost(new SimWorld(1), homeOf(scene));
        const before = host.endpoint.facts;
        const restored = host.endpoint.restoreState(replaced(record, path, value));
        if (restored.ok) continue;
        refused++;
        assert.equal(restored.failure.code, "record.unusable");
        assert.deepEqual(host.endpoint.facts, before, `${scene} ${path.join(".")} = ${JSON.stringify(value)}`);
      }
  }
  assert.ok(refused > 1_000, `${refused}`);
});

function replaced(record: unknown, path: readonly string[], value: unknown): unknown {
  const [name, ...deeper] = path;
  if (name === undefined) return value;
  const copy = (Array.isArray(record) ? [...record] : { ...(record as object) }) as Record<string, unknown>;
  copy[name] = replaced(copy[name], deeper, value);
  return copy;
}
