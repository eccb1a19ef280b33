import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { asId } from "../../../kernel/ids.ts";
import { type HostInput, hostLinked, stepHost } from "./pop-registry.ts";

const HELLO = {
  kind: "hello",
  epoch: 0,
  held: undefined,
  popId: asId<"pop">("fra-01"),
  hostId: asId<"pop-host">("fra-01-a"),
  appliedVersion: 4,
  softwareVersion: "0.1.0",
} as const;
const linked = (appliedVersion = 4) => hostLinked({ ...HELLO, appliedVersion }, undefined, 0);
const applied = (version: number): HostInput => ({ kind: "report", report: { kind: "applied", version } });
const refused = (version: number): HostInput => ({
  kind: "report",
  report: { kind: "refused", version, mistakes: [] },
});

test("a host gets a snapshot only if it is newer than the one it has", () => {
  assert.deepEqual(stepHost(linked(4), { kind: "newest" }, 4, 1).effects, []);
  assert.deepEqual(stepHost(linked(4), { kind: "newest" }, 5, 1).effects, [{ kind: "send-snapshot", version: 5 }]);
});

test("one snapshot is outstanding; the newest follows when it is answered", () => {
  const sent = stepHost(linked(4), { kind: "newest" }, 5, 1).state;
  const later = stepHost(sent, { kind: "newest" }, 7, 2);
  assert.deepEqual(later.effects, []);
  assert.deepEqual(stepHost(later.state, applied(5), 7, 3).effects, [{ kind: "send-snapshot", version: 7 }]);
});

test("a refused snapshot is remembered with its mistakes and not sent again", () => {
  const sent = stepHost(linked(4), { kind: "newest" }, 5, 1).state;
  const after = stepHost(sent, refused(5), 5, 2);
  assert.deepEqual(after.effects, []);
  assert.equal(after.state.appliedVersion, 4);
  assert.equal(after.state.refused?.version, 5);
  assert.deepEqual(stepHost(after.state, { kind: "newest" }, 6, 3).effects, [{ kind: "send-snapshot", version: 6 }]);
});

test("property: never two outstanding, never an older one, applied never goes back", () => {
  const anyInput: fc.Arbitrary<HostInput> = fc.oneof(
    fc.constant<HostInput>({ kind: "newest" }),
    fc.constant<HostInput>({ kind: "lost" }),
    fc.integer({ min: 0, max: 9 }).map(applied),
    fc.integer({ min: 0, max: 9 }).map(refused),
  );
  fc.assert(
    fc.property(fc.array(fc.tuple(anyInput, fc.integer({ min: 0, max: 1 }))), (inputs) => {
      let host = linked(0);
      let newest = 1;
      for (const [input, grows] of inputs) {
        newest += grows;
        const { state, effects } = stepHost(host, input, newest, 0);
        assert.ok(state.appliedVersion >= host.appliedVersion);
        for (const { version } of effects) {
          assert.ok(version > state.appliedVersion && version === state.outstandingVersion);
          const answered = host.outstandingVersion === null || input.kind !== "newest";
          assert.ok(answered, "one was outstanding");
        }
        host = state;
      }
    }),
  );
});
