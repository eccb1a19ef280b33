import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { A, B, type SimulatedHost, SimulatedPair, type SlowWay } from "./simulated-pair.ts";

// What holds under any faults. That no service has two holders, no epoch two owners, and no record an epoch that goes
// back, the pair proves after every step; here come the faults, and what must be true when they are over.
//
//   KEEPER_RUNS=20000 node --test pop/keeper/test/pair-properties.test.ts      more of it

const RUNS = Number(process.env.KEEPER_RUNS ?? 300);

const host = fc.constantFrom<"a" | "b">("a", "b");
const way = fc.constantFrom("a>b", "b>a", "a>etcd", "b>etcd", "a>redis", "b>redis");
const forMs = fc.oneof(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: 8_000 }));

const fault = fc.oneof(
  fc.record({ kind: fc.constant("kill" as const), host, forMs }),
  fc.record({ kind: fc.constant("power" as const), host, forMs }),
  fc.record({ kind: fc.constant("pause" as const), host, forMs }),
  fc.record({ kind: fc.constant("cut" as const), ways: fc.uniqueArray(way, { minLength: 1, maxLength: 4 }), forMs }),
  fc.record({ kind: fc.constant("etcd" as const), forMs }),
  fc.record({
    kind: fc.constant("slow" as const),
    ways: fc.uniqueArray(fc.constantFrom<SlowWay>("a>b", "b>a", "a>etcd", "b>etcd", "etcd>a", "etcd>b"), {
      minLength: 1,
    }),
    delayMs: fc.integer({ min: 1, max: 350 }),
    forMs,
  }),
  fc.record({ kind: fc.constant("process" as const), host, service: host, forMs: fc.constant(1) }),
  fc.record({ kind: fc.constant("hand-over" as const), host, service: host, forMs: fc.constant(1) }),
  fc.record({ kind: fc.constant("return" as const), host, forMs: fc.constant(1) }),
  fc.record({ kind: fc.constant("stop" as const), host, forMs }),
);
type Fault = typeof fault extends fc.Arbitrary<infer T> ? T : never;

const world = fc.record({
  seed: fc.nat(),
  rates: fc.tuple(fc.double({ min: 0.99, max: 1.01, noNaN: true }), fc.double({ min: 0.99, max: 1.01, noNaN: true })),
  lostAnswers: fc.constantFrom(0, 0, 0.1, 0.5),
  etcdAtStart: fc.boolean(),
  faults: fc.array(fc.record({ afterMs: fc.integer({ min: 0, max: 4_000 }), fault }), { minLength: 1, maxLength: 12 }),
});

function inflict(pair: SimulatedPair, fault: Fault): void {
  const of = (name: "a" | "b"): SimulatedHost => (name === "a" ? pair.a : pair.b);
  switch (fault.kind) {
    case "kill":
      pair.kill(of(fault.host));
      return pair.after(fault.forMs, () => pair.powerOn(of(fault.host)));
    case "power":
      pair.powerOff(of(fault.host));
      return pair.after(fault.forMs, () => pair.powerOn(of(fault.host)));
    case "pause":
      pair.pause(of(fault.host));
      return pair.after(fault.forMs, () => pair.resume(of(fault.host)));
    case "cut":
      pair.partition(...fault.ways);
      return pair.after(fault.forMs, () => {
        for (const cut of fault.ways) pair.cut.delete(cut);
      });
    case "etcd":
      pair.etcdUp = false;
      return pair.after(fault.forMs, () => {
        pair.etcdUp = true;
      });
    case "slow":
      for (const slow of fault.ways) pair.extraMs.set(slow, fault.delayMs);
      return pair.after(fault.forMs, () => {
        for (const slow of fault.ways) pair.extraMs.delete(slow);
      });
    case "process":
      return pair.killProcess(of(fault.host), of(fault.service).id, "pop");
    case "hand-over":
      return pair.tell(of(fault.host), { kind: "hand-over", id: "op", service: of(fault.service).id });
    case "return":
      return pair.tell(of(fault.host), { kind: "return-home", id: "op" });
    case "stop":
      pair.tell(of(fault.host), { kind: "stop" });
      return pair.after(fault.forMs, () => pair.powerOn(of(fault.host)));
  }
}

test("property: never two holders; once all faults are over, every service has exactly one", () => {
  fc.assert(
    fc.property(world, ({ seed, rates, lostAnswers, etcdAtStart, faults }) => {
      const pair = new SimulatedPair({ seed, rates, etcd: etcdAtStart });
      pair.startBoth();
      pair.runFor(1_500);
      pair.lostAnswers = lostAnswers;
      for (const { afterMs, fault } of faults) {
        pair.runFor(afterMs);
        inflict(pair, fault);
      }
      pair.runFor(8_001);
      pair.heal();
      pair.lostAnswers = 0;
      pair.etcdUp = true;
      pair.extraMs.clear();
      for (const each of [pair.a, pair.b]) {
        pair.resume(each);
        pair.powerOn(each);
      }
      pair.runFor(20_000);
      for (const each of [pair.a, pair.b]) pair.powerOn(each); // a stop that came late
      pair.runFor(10_000);
      for (const service of [A, B]) assert.equal(pair.holders(service).length, 1, `${service} has one holder`);
    }),
    { numRuns: RUNS },
  );
});

test("property: a host that is cut off from etcd and twin is silent within its lease by its own clock, whatever came before", () => {
  fc.assert(
    fc.property(world, fc.boolean(), ({ seed, rates, faults }, cutsB) => {
      const pair = new SimulatedPair({ seed, rates });
      const cut = cutsB ? pair.b : pair.a;
      pair.startBoth();
      pair.runFor(1_500);
      for (const { afterMs, fault } of faults.slice(0, 4)) {
        pair.runFor(afterMs);
        inflict(pair, fault);
      }
      // Cut off: nothing reaches it and nothing leaves it, the twin does not even refuse
      pair.blackHole = cut;
      pair.runFor(1_900 / cut.rate + 1);
      for (const service of [A, B]) assert.equal(pair.serves(cut, service), false);
    }),
    { numRuns: RUNS },
  );
});

test("property: a dead host's service is taken over if and only if etcd answers", () => {
  fc.assert(
    fc.property(world, fc.boolean(), fc.boolean(), ({ seed, rates }, withEtcd, byPower) => {
      const pair = new SimulatedPair({ seed, rates });
      pair.startBoth();
      pair.runFor(2_000 + (seed % 1_000));
      pair.etcdUp = withEtcd;
      pair.runFor(withEtcd ? 0 : 1_000);
      if (byPower) pair.powerOff(pair.a);
      else pair.kill(pair.a);
      pair.runFor(4_000);
      assert.equal(pair.serves(pair.b, A), withEtcd);
    }),
    { numRuns: RUNS / 3 },
  );
});
