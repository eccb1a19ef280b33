import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { asId } from "../../../kernel/ids.ts";
import { compile } from "../routing/compile-snapshot.ts";
import { EXAMPLE } from "../routing/example-snapshot.ts";
import type { RoutingTable } from "../routing/routing-table.ts";
import { type AdmissionState, admit, callsOfTrunk, type NewCall, noCalls, release } from "./admission.ts";
import { fullRate, takeCall } from "./call-rate.ts";

const acme = asId<"tenant">("acme");
const carrier = asId<"trunk">("carrier");

function tableOf(limits: { callsPerSecondMax?: number; callsConcurrentMax?: number; ofTenant?: number }): RoutingTable {
  const compiled = compile({
    ...EXAMPLE,
    tenants: EXAMPLE.tenants.map((one) => ({ ...one, callsConcurrentMax: limits.ofTenant ?? 0 })),
    trunks: EXAMPLE.trunks.map((one) => ({
      ...one,
      callsPerSecondMax: limits.callsPerSecondMax ?? 100,
      callsConcurrentMax: limits.callsConcurrentMax ?? 100,
    })),
  });
  assert.ok(compiled.ok);
  return compiled.value;
}

/** A POP's front door, and what was said at it. */
class Door {
  state: AdmissionState = noCalls;
  input: Omit<NewCall, "call">;
  #calls = 0;

  constructor(table: RoutingTable | undefined, more: Partial<NewCall> = {}) {
    this.input = { sourceAddress: "127.20.0.1", nowMs: 0, table, draining: false, callsConcurrentMax: 100, ...more };
  }

  /** "in" or the failure's code. */
  call(more: Partial<NewCall> = {}): string {
    const admitted = admit(this.state, { call: asId(`c${++this.#calls}`), ...this.input, ...more });
    if (!admitted.ok) return admitted.failure.code;
    // Plain data: it goes on the same after a journey through JSON.
    this.state = JSON.parse(JSON.stringify(admitted.value.state));
    return "in";
  }

  times(count: number): string[] {
    return Array.from({ length: count }, () => this.call());
  }

  release(call: string): void {
    this.state = release(this.state, asId(call));
  }
}

test("source.unknown: who is on no trunk's list is dropped, also while the POP drains or is full", () => {
  const door = new Door(tableOf({}), { sourceAddress: "198.51.100.1", draining: true, callsConcurrentMax: 0 });
  assert.equal(door.call(), "source.unknown");
  assert.equal(door.call({ sourceAddress: "127.30.0.1" }), "source.unknown"); // an agent's phone is no trunk
});

test("pop.no-snapshot and pop.draining: no new calls", () => {
  assert.equal(new Door(undefined).call(), "pop.no-snapshot");
  assert.equal(new Door(tableOf({}), { draining: true }).call(), "pop.draining");
});

test("trunk.at-capacity: the next call is let in when one has ended", () => {
  const door = new Door(tableOf({ callsConcurrentMax: 2 }));
  assert.deepEqual(door.times(3), ["in", "in", "trunk.at-capacity"]);
  door.release("c1");
  assert.deepEqual(door.times(2), ["in", "trunk.at-capacity"]);
});

test("tenant.at-capacity counts over all trunks of the tenant, and another tenant is not touched", () => {
  const door = new Door(tableOf({ ofTenant: 1 }));
  assert.deepEqual(door.times(2), ["in", "tenant.at-capacity"]);
  assert.equal(door.call({ sourceAddress: "127.20.9.1" }), "in");
});

test("pop.at-capacity counts over all tenants", () => {
  const door = new Door(tableOf({}), { callsConcurrentMax: 2 });
  assert.equal(door.call(), "in");
  assert.equal(door.call({ sourceAddress: "127.20.9.1" }), "in");
  assert.equal(door.call(), "pop.at-capacity");
});

test("trunk.too-fast: a second's worth at once, then at the agreed rate, each trunk for itself", () => {
  const door = new Door(tableOf({ callsPerSecondMax: 2 }));
  assert.deepEqual(door.times(3), ["in", "in", "trunk.too-fast"]);
  assert.equal(door.call({ sourceAddress: "127.20.9.1" }), "in");
  assert.equal(door.call({ nowMs: 499.9 }), "trunk.too-fast");
  assert.equal(door.call({ nowMs: 500 }), "in");
  assert.equal(door.call({ nowMs: 999 }), "trunk.too-fast");
});

test("a call that is refused takes nothing from those after it", () => {
  const door = new Door(tableOf({ callsPerSecondMax: 1, callsConcurrentMax: 1 }));
  door.call();
  assert.deepEqual([...new Set(door.times(50))], ["trunk.at-capacity"]);
  door.release("c1");
  assert.equal(door.call({ nowMs: 1_000 }), "in");
});

test("calls keep their place when a snapshot takes their trunk away, and give it back afterwards", () => {
  const door = new Door(tableOf({ callsConcurrentMax: 1 }));
  door.call();
  const smaller = compile({
    ...EXAMPLE,
    trunks: EXAMPLE.trunks.filter(({ tenantId }) => tenantId !== acme),
    flows: EXAMPLE.flows.filter(({ tenantId }) => tenantId !== acme),
    entryPoints: EXAMPLE.entryPoints.filter(({ tenantId }) => tenantId !== acme),
    numbers: EXAMPLE.numbers.filter(({ tenantId }) => tenantId !== acme),
  });
  assert.ok(smaller.ok);
  assert.equal(door.call({ table: smaller.value }), "source.unknown");
  assert.equal(door.call(), "trunk.at-capacity");
  door.release("c1");
  assert.equal(door.call(), "in");
});

test("a lower rate in a new snapshot holds from the next call on", () => {
  const door = new Door(tableOf({ callsPerSecondMax: 50 }));
  door.call();
  door.input = { ...door.input, table: tableOf({ callsPerSecondMax: 2 }) };
  assert.deepEqual(door.times(3), ["in", "in", "trunk.too-fast"]);
});

test("a state taken up by a process whose clock starts anew does not close the trunk", () => {
  const door = new Door(tableOf({ callsPerSecondMax: 1 }), { nowMs: 5_000_000 });
  assert.deepEqual(door.times(2), ["in", "trunk.too-fast"]);
  door.input = { ...door.input, nowMs: 10 };
  assert.deepEqual(door.times(2), ["in", "trunk.too-fast"]);
});

test("one call asked for twice counts once", () => {
  const door = new Door(tableOf({ callsConcurrentMax: 1 }));
  assert.equal(door.call({ call: asId("same") }), "in");
  assert.equal(door.call({ call: asId("same") }), "in");
  assert.equal(callsOfTrunk(door.state, acme, carrier), 1);
});

const anyScript = fc.array(
  fc.oneof(
    fc.record({
      kind: fc.constant("call" as const),
      source: fc.constantFrom("127.20.0.1", "127.20.9.1", "2001:db8::1"),
    }),
    fc.record({ kind: fc.constant("release" as const), which: fc.nat(60) }),
  ),
  { maxLength: 80 },
);

test("property: never more calls at once than trunk, tenant and POP allow; releases may be repeated", () => {
  const anyLimit = fc.integer({ min: 1, max: 6 });
  fc.assert(
    fc.property(anyLimit, anyLimit, fc.nat(6), anyScript, (ofTrunk, ofTenant, ofPop, script) => {
      const table = tableOf({ callsConcurrentMax: ofTrunk, ofTenant });
      const door = new Door(table, { callsConcurrentMax: ofPop });
      const up = new Map<string, string>();
      let calls = 0;
      for (const move of script) {
        if (move.kind === "release") {
          door.release(`c${move.which}`);
          up.delete(`c${move.which}`);
          const once = door.state;
          door.release(`c${move.which}`);
          assert.equal(door.state, once);
        } else {
          calls++;
          const tenant = table.trunkOfSource(move.source)?.tenantId ?? "";
          const of = [...up.values()].filter((one) => one === tenant).length;
          const expected =
            up.size >= ofPop
              ? "pop.at-capacity"
              : of >= ofTenant
                ? "tenant.at-capacity"
                : of >= ofTrunk
                  ? "trunk.at-capacity"
                  : "in";
          assert.equal(door.call({ sourceAddress: move.source }), expected);
          if (expected === "in") up.set(`c${calls}`, tenant);
        }
        assert.equal(door.state.count, up.size);
        assert.ok(up.size <= ofPop);
      }
    }),
    { numRuns: 200 },
  );
});

test("property: in no window more calls than the rate allows and a second's worth on top; and no fewer than the rate", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 50 }),
      fc.array(fc.oneof(fc.nat(40), fc.nat(2_000)), { minLength: 1, maxLength: 150 }),
      (callsPerSecondMax, waits) => {
        let nowMs = 0;
        let rate = fullRate(callsPerSecondMax, 0);
        const accepted: number[] = [];
        for (const wait of waits) {
          nowMs += wait;
          const taken = takeCall(rate, callsPerSecondMax, nowMs);
          if (taken !== undefined) accepted.push(nowMs);
          else
            assert.ok(
              accepted.some((at) => nowMs - at <= 1_000),
              "refused though nobody called for a second",
            );
          rate = taken ?? rate;
        }
        for (const [first, from] of accepted.entries()) {
          for (const [last, to] of accepted.entries()) {
            if (last < first) continue;
            const most = (callsPerSecondMax * (to - from)) / 1_000 + callsPerSecondMax;
            assert.ok(last - first + 1 <= most, `${last - first + 1} calls in ${to - from} ms`);
          }
        }
      },
    ),
    { numRuns: 200 },
  );
});
