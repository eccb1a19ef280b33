import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { stringify } from "yaml";
import { findDrill, listDrills, readDrill } from "./drill-file.ts";
import { apportion, CLASS_NAMES, EXERCISES, LOAD_CLASSES } from "./load-classes.ts";

const folder = mkdtempSync(join(tmpdir(), "drill-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const GOOD = {
  name: "small",
  purpose: "a host is killed, and nobody notices",
  topology: { region: "eu", hosts: ["fra-01-a", "fra-01-b"], service: "fra-01-a", networks: ["loopback"] },
  steadyState: { calls: 4, mix: { bridged: 1 } },
  fault: [{ at: "0s", kill: "host fra-01-a" }],
  expect: "takeover",
  limits: { messagesMax: 0 },
  rollBack: ["everything ends"],
};
const read = (value: object | string) => {
  const file = join(folder, "drill.yaml");
  writeFileSync(file, typeof value === "string" ? value : stringify(value));
  return readDrill(file);
};
const mistakes = (value: object | string): string => {
  const drill = read(value);
  assert.ok(!drill.ok && drill.failure.code === "drill.invalid", "it was taken");
  return drill.failure.mistakes;
};

describe("a drill file", () => {
  test("every one of drills/ is good, and is called as its file", () => {
    for (const { name, drill } of listDrills()) {
      assert.ok(drill.ok, `${name}: ${drill.ok ? "" : JSON.stringify(drill.failure)}`);
      assert.equal(drill.value.name, name);
    }
  });

  test("is read with its defaults and in milliseconds", () => {
    const drill = read({
      ...GOOD,
      watch: "7s",
      fault: [
        { before: "2s", kill: "process redis" },
        { at: "0s", kill: "host fra-01-a" },
      ],
    });
    assert.ok(drill.ok);
    assert.deepEqual([drill.value.watch, drill.value.fault[0]?.before], [7_000, 2_000]);
    assert.deepEqual(drill.value.probes, { inDialogCalls: 10, over: 2_000 });
  });

  test("names every mistake, and where it is", () => {
    const said = mistakes({ ...GOOD, speed: 3, steadyState: { calls: 0, mix: { bridge: 1 } }, fault: [] });
    for (const words of ["speed", "steadyState.calls", "bridge", "fault"]) assert.match(said, new RegExp(words));
  });

  test("must say when a step is, once", () => {
    assert.match(mistakes({ ...GOOD, fault: [{ kill: "host fra-01-a" }] }), /at: 0s/);
    assert.match(mistakes({ ...GOOD, fault: [{ at: "0s", before: "1s", kill: "host fra-01-a" }] }), /at: 0s/);
  });

  test("that pauses a host or cuts a link cannot ask for one loopback", () => {
    assert.match(mistakes({ ...GOOD, fault: [{ at: "0s", pause: "host fra-01-a", for: "10s" }] }), /netns/);
    assert.match(mistakes({ ...GOOD, fault: [{ at: "0s", cut: ["fra-01-a", "fra-01-b"], for: "1s" }] }), /netns/);
  });

  test("whose service is on no host of it, or that is no YAML, is refused", () => {
    assert.match(mistakes({ ...GOOD, topology: { ...GOOD.topology, service: "ams-01-a" } }), /one of the hosts/);
    assert.match(mistakes("name: [unclosed"), /./);
  });

  test("that nobody knows: what there is, is named", () => {
    const found = findDrill("no-such");
    assert.ok(!found.ok && found.failure.code === "drill.unknown" && found.failure.known.includes("takeover"));
  });
});

describe("calls divided over classes", () => {
  test("add up, and none is left out", () => {
    const mix = { bridged: 3, idle: 1, "in-menu": 1, tls: 1 } as const;
    for (const calls of [4, 5, 24, 200, 201]) {
      const shares = apportion(calls, mix);
      assert.equal(
        [...shares.values()].reduce((sum, count) => sum + count, 0),
        calls,
      );
      assert.ok([...shares.values()].every((count) => count >= 1));
    }
    assert.ok((apportion(200, mix).get("bridged") ?? 0) > 90);
  });

  test("every class has exercises that are known", () => {
    for (const name of CLASS_NAMES) {
      assert.ok(LOAD_CLASSES[name].exercises.length > 0);
      for (const exercise of LOAD_CLASSES[name].exercises) assert.ok(EXERCISES.includes(exercise));
    }
  });
});
