import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  initialKeeper,
  KEEPER_TIMING,
  type KeeperInput,
  type KeeperSettings,
  stepKeeper,
} from "../core/keeper-machine.ts";
import { A, B, SimulatedPair } from "./simulated-pair.ts";

/** Both up, each with its own service. */
function pairAtWork(options: ConstructorParameters<typeof SimulatedPair>[0] = {}): SimulatedPair {
  const pair = new SimulatedPair(options);
  pair.startBoth();
  pair.runFor(3_000);
  assert.deepEqual(pair.holders(A), [pair.a]);
  assert.deepEqual(pair.holders(B), [pair.b]);
  return pair;
}

/** Steps until it holds; how long that took. */
function until(pair: SimulatedPair, holds: () => boolean, withinMs: number): number {
  const beganAtMs = pair.nowMs;
  while (!holds()) {
    assert.ok(pair.nowMs - beganAtMs < withinMs, `not within ${withinMs} ms`);
    pair.runFor(1);
  }
  return pair.nowMs - beganAtMs;
}

describe("start", () => {
  test("both hosts start, and each serves its own within 300 ms", () => {
    const pair = new SimulatedPair();
    pair.startBoth();
    until(pair, () => pair.serves(pair.a, A) && pair.serves(pair.b, B), 300);
  });

  test("a host whose twin's keeper does not run serves its own at once, and leaves the twin's alone", () => {
    const pair = new SimulatedPair();
    pair.start(pair.a);
    until(pair, () => pair.serves(pair.a, A), 200);
    pair.runFor(20_000);
    assert.deepEqual(pair.holders(B), []);
  });

  test("both keepers start without etcd: each serves its own by the other's grant", () => {
    const pair = new SimulatedPair({ etcd: false });
    pair.startBoth();
    until(pair, () => pair.serves(pair.a, A) && pair.serves(pair.b, B), 1_500);
    pair.runFor(60_000);
    assert.deepEqual(pair.holders(A), [pair.a]);
    assert.deepEqual(pair.holders(B), [pair.b]);
    pair.etcdUp = true;
    pair.runFor(3_000);
    assert.equal(pair.record(A)?.host, A);
    assert.equal(pair.a.notes.filter(({ note }) => note.event === "service.lapsed").length, 0);
  });

  test("one keeper alone without etcd serves its own while the twin's is refused, and goes on when that comes", () => {
    const pair = new SimulatedPair({ etcd: false });
    pair.start(pair.a);
    until(pair, () => pair.serves(pair.a, A), 1_500);
    pair.runFor(10_000);
    pair.start(pair.b);
    pair.runFor(10_000);
    assert.deepEqual(pair.holders(A), [pair.a]);
    assert.deepEqual(pair.holders(B), [pair.b]);
    assert.equal(pair.notes(pair.a, "service.lapsed").length, 0);
  });

  test("a host that comes up cut off from everything serves nothing", () => {
    const pair = new SimulatedPair();
    pair.partition("a>b", "b>a", "a>etcd");
    pair.start(pair.a);
    pair.runFor(20_000);
    assert.deepEqual(pair.holders(A), []);
    assert.equal(pair.a.state?.home.waitsFor, "cut-off");
  });
});

describe("kill -9 of a host", () => {
  test("its twin has its service within 50 ms, under a larger epoch", () => {
    const pair = pairAtWork();
    const before = pair.record(A)?.epoch ?? 0;
    pair.kill(pair.a);
    const tookMs = until(pair, () => pair.serves(pair.b, A), 50);
    assert.ok(tookMs > 0);
    assert.ok((pair.record(A)?.epoch ?? 0) > before);
    pair.runFor(1_000);
    assert.deepEqual(pair.holders(B), [pair.b]);
    const [died] = pair.notes(pair.b, "twin.died");
    assert.ok(Number(died?.fields.unheardMs) <= 120);
  });

  test("etcd gone before: no takeover, and it is said; back: taken over", () => {
    const pair = pairAtWork();
    pair.etcdUp = false;
    pair.runFor(5_000);
    pair.kill(pair.a);
    pair.runFor(30_000);
    assert.deepEqual(pair.holders(A), []);
    assert.deepEqual(pair.holders(B), [pair.b], "the survivor keeps its own");
    assert.equal(pair.notes(pair.b, "takeover.impossible").length, 1);
    assert.equal(pair.b.state?.guest?.waitsFor, "owner-store");
    pair.etcdUp = true;
    until(pair, () => pair.serves(pair.b, A), 2_000);
  });

  test("refused while the twin's own beats still come: that proves no death", () => {
    const pair = pairAtWork();
    const linkOf = () => {
      const link = pair.b.state?.twin.link;
      assert.ok(link !== undefined && link.name !== "closed");
      return link.link;
    };
    pair.tell(pair.b, { kind: "twin-closed", link: linkOf() });
    pair.tell(pair.b, { kind: "twin-refused", link: linkOf() });
    pair.runFor(5_000);
    assert.deepEqual(pair.holders(A), [pair.a]);
    assert.deepEqual(pair.notes(pair.b, "twin.died"), []);
  });

  test("back after 50 ms: exactly one of both has it, every time", () => {
    const winners = new Set<string>();
    for (let seed = 1; seed <= 60; seed++) {
      const pair = pairAtWork({ seed });
      pair.delayMs = 1 + (seed % 20);
      pair.kill(pair.a);
      pair.after(5 + seed, () => pair.start(pair.a));
      pair.runFor(5_000);
      const [holder, ...more] = pair.holders(A);
      assert.ok(holder !== undefined && more.length === 0, `seed ${seed}`);
      winners.add(holder.id);
    }
    assert.deepEqual([...winners].sort(), [A, B], "both outcomes were seen");
  });

  test("comes back: stands by, and has its service again when asked to bring it home", () => {
    const pair = pairAtWork();
    pair.kill(pair.a);
    pair.runFor(3_000);
    pair.start(pair.a);
    pair.runFor(10_000);
    assert.deepEqual(pair.holders(A), [pair.b]);
    assert.equal(pair.a.state?.home.waitsFor, "twin-serves");
    pair.tell(pair.a, { kind: "return-home", id: "op-1" });
    const tookMs = until(pair, () => pair.serves(pair.a, A), 500);
    assert.ok(tookMs < 300);
    pair.runFor(5_000);
    assert.deepEqual(pair.holders(A), [pair.a]);
    assert.deepEqual(pair.a.replies, [{ id: "op-1", ok: true, code: "" }]);
  });

  test("the survivor dies too while the first stands by: that takes both", () => {
    const pair = pairAtWork();
    pair.kill(pair.a);
    pair.runFor(3_000);
    pair.start(pair.a);
    pair.runFor(3_000);
    pair.kill(pair.b);
    until(pair, () => pair.serves(pair.a, A) && pair.serves(pair.a, B), 100);
  });

  test("both die; the first that is back has its own at once, and the other's only if that stays away silently", () => {
    const pair = pairAtWork();
    pair.kill(pair.a);
    pair.kill(pair.b);
    pair.runFor(5_000);
    pair.start(pair.a);
    until(pair, () => pair.serves(pair.a, A), 100);
    until(pair, () => pair.serves(pair.a, B), 3_000);
  });
});

describe("silence", () => {
  test("power off: taken over once the leases have run out by the survivor's clock, within 2.3 s", () => {
    for (const rates of [
      [1, 1],
      [1.01, 0.99],
      [0.99, 1.01],
    ] as const) {
      const pair = pairAtWork({ rates });
      pair.powerOff(pair.a);
      const tookMs = until(pair, () => pair.serves(pair.b, A), 2_300);
      assert.ok(tookMs > 1_500);
    }
  });

  test("SIGSTOP of a host for 10 s, then SIGCONT: taken over, and it fences itself before anything else", () => {
    const pair = pairAtWork();
    pair.pause(pair.a);
    const tookMs = until(pair, () => pair.serves(pair.b, A), 2_300);
    assert.ok(tookMs > 1_000);
    pair.runFor(10_000 - tookMs);
    pair.resume(pair.a);
    const [first] = pair.a.notes.filter(({ atMs }) => atMs === pair.nowMs);
    assert.equal(first?.note.event, "service.lapsed");
    pair.runFor(10_000);
    assert.deepEqual(pair.holders(A), [pair.b]);
    assert.deepEqual(pair.holders(B), [pair.b]);
    assert.equal(pair.notes(pair.b, "service.lapsed").length, 0, "the new owner is not disturbed");
  });

  test("SIGSTOP for less than a lease: nobody takes anything", () => {
    const pair = pairAtWork();
    pair.pause(pair.a);
    pair.runFor(1_500);
    pair.resume(pair.a);
    pair.runFor(5_000);
    assert.deepEqual(pair.holders(A), [pair.a]);
    assert.equal(pair.notes(pair.a, "service.lapsed").length, 0);
    assert.equal(pair.notes(pair.a, "process.hung").length, 0, "a pause of the host is no fault of its processes");
  });

  test("cut off from etcd and twin: silent within its lease", () => {
    const pair = pairAtWork();
    pair.partition("a>b", "b>a", "a>etcd");
    pair.runFor(1_900);
    assert.equal(pair.serves(pair.a, A), false);
    until(pair, () => pair.serves(pair.b, A), 500);
    pair.heal();
    pair.runFor(5_000);
    assert.deepEqual(pair.holders(A), [pair.b]);
    assert.equal(pair.a.state?.home.waitsFor, "twin-serves");
  });

  test("twins cut off from each other, etcd there: both go on", () => {
    for (const ways of [["a>b", "b>a"], ["a>b"], ["b>a"]] as const) {
      const pair = pairAtWork();
      pair.partition(...ways);
      pair.runFor(60_000);
      assert.deepEqual([pair.holders(A), pair.holders(B)], [[pair.a], [pair.b]]);
      assert.equal(pair.notes(pair.a, "service.lapsed").length, 0);
    }
  });

  test("etcd away for ten minutes while the twins see each other: both go on", () => {
    const pair = pairAtWork();
    pair.etcdUp = false;
    pair.runFor(600_000);
    assert.deepEqual([pair.holders(A), pair.holders(B)], [[pair.a], [pair.b]]);
    assert.equal(pair.notes(pair.a, "service.lapsed").length, 0);
  });

  test("etcd away and the twins cut off from each other: both silent within a lease; together again without etcd: both serve again", () => {
    const pair = pairAtWork();
    pair.etcdUp = false;
    pair.partition("a>b", "b>a");
    pair.runFor(1_950);
    assert.deepEqual([pair.holders(A), pair.holders(B)], [[], []]);
    pair.heal();
    until(pair, () => pair.serves(pair.a, A) && pair.serves(pair.b, B), 3_000);
    pair.etcdUp = true;
    pair.runFor(5_000);
    assert.deepEqual([pair.holders(A), pair.holders(B)], [[pair.a], [pair.b]]);
  });

  test("one-way partition, and the one that is not heard has no etcd: it is silent before the other takes over", () => {
    for (const way of ["a>b", "b>a"] as const) {
      const pair = pairAtWork();
      pair.partition(way, "a>etcd");
      until(pair, () => pair.serves(pair.b, A), 2_600);
    }
  });
});

describe("slow networks lengthen no lease: the other does not know of the delay", () => {
  const slowly = (ways: Parameters<SimulatedPair["extraMs"]["set"]>[0][], etcd: boolean) => {
    for (let cutAfterMs = 0; cutAfterMs < 400; cutAfterMs += 20) {
      const pair = pairAtWork();
      if (!etcd) pair.partition("a>etcd");
      for (const way of ways) pair.extraMs.set(way, 330);
      pair.runFor(3_000 + cutAfterMs);
      assert.deepEqual(pair.holders(A), [pair.a]);
      pair.blackHole = pair.a;
      until(pair, () => pair.serves(pair.b, A), 3_000); // the pair proves at every step that there was one
    }
  };
  test("answers of etcd come late", () => slowly(["etcd>a"], true));
  test("grants come late", () => slowly(["b>a"], false));
  test("a claim that is answered late", () => {
    for (let cutAfterMs = 340; cutAfterMs < 460; cutAfterMs += 5) {
      const pair = new SimulatedPair();
      pair.partition("a>b", "b>a");
      pair.extraMs.set("etcd>a", 340);
      pair.startBoth();
      until(pair, () => pair.a.state?.home.tenure.name === "claiming", 4_000);
      pair.runFor(cutAfterMs);
      pair.blackHole = pair.a;
      pair.runFor(6_000);
    }
  });
});

test("a host that wakes up without etcd is granted nothing that its twin is about to take", () => {
  for (let pausedMs = 1_850; pausedMs < 2_150; pausedMs += 4) {
    const pair = pairAtWork();
    pair.partition("a>etcd");
    pair.runFor(1_000);
    pair.extraMs.set("etcd>b", 60);
    pair.pause(pair.a);
    pair.runFor(pausedMs);
    pair.resume(pair.a);
    pair.runFor(5_000);
    assert.equal(pair.holders(A).length, 1);
  }
});

test("processes that die together are all restarted at once, each from its spare; the same one again waits", () => {
  const settings: KeeperSettings = { host: A, twin: undefined, processes: ["rtpengine", "pop"], timing: KEEPER_TIMING };
  let state = initialKeeper(settings, { atMs: 0, boot: "a/1", memory: { epochs: {} } });
  const started: string[] = [];
  const step = (input: KeeperInput) => {
    const next = stepKeeper(settings, state, input);
    state = next.state;
    for (const effect of next.effects)
      if (effect.kind === "start-process") started.push(`${effect.process} at ${input.atMs}`);
      else if (effect.kind === "read-owner")
        step({
          kind: "owner-read",
          atMs: input.atMs,
          service: A,
          id: effect.id,
          outcome: { ok: false, failure: { code: "owner.store-away", detail: "" } },
        });
      else if (effect.kind === "fence-store")
        step({
          kind: "store-fenced",
          atMs: input.atMs,
          service: A,
          epoch: effect.epoch,
          outcome: { ok: true, value: undefined },
        });
  };
  step({ kind: "woke", atMs: 1 });
  for (const process of settings.processes) step({ kind: "process-serving", atMs: 10, service: A, process });
  for (const process of settings.processes) step({ kind: "process-died", atMs: 20, service: A, process });
  for (const process of settings.processes) step({ kind: "process-serving", atMs: 30, service: A, process });
  step({ kind: "process-died", atMs: 40, service: A, process: "pop" });
  for (let atMs = 50; atMs < 300; atMs += 10) step({ kind: "woke", atMs });
  assert.deepEqual(started, ["rtpengine at 20", "pop at 20", "pop at 140"]);
});

test("a service that began without Redis is fenced once it answers; not again, and not one that was", () => {
  const settings: KeeperSettings = { host: A, twin: undefined, processes: ["pop"], timing: KEEPER_TIMING };
  for (const answers of [false, true]) {
    let state = initialKeeper(settings, { atMs: 0, boot: "a/1", memory: { epochs: {} } });
    const fences: number[] = [];
    const step = (input: KeeperInput) => {
      const next = stepKeeper(settings, state, input);
      state = next.state;
      for (const effect of next.effects) if (effect.kind === "fence-store") fences.push(input.atMs);
      return next.effects;
    };
    const away = { ok: false, failure: { code: "store.away", forMs: 1 } } as const;
    const [read] = step({ kind: "woke", atMs: 1 }).flatMap((one) => (one.kind === "read-owner" ? [one.id] : []));
    const noEtcd = { ok: false, failure: { code: "owner.store-away", detail: "" } } as const;
    step({ kind: "owner-read", atMs: 2, service: A, id: read ?? 0, outcome: noEtcd });
    const epoch = state.home.tenure.name === "opening" ? state.home.tenure.held.epoch : 0;
    const fenced = (atMs: number, isAway: boolean) =>
      step({
        kind: "store-fenced",
        atMs,
        service: A,
        epoch,
        outcome: isAway ? away : { ok: true, value: undefined },
      });
    fenced(3, !answers);
    step({ kind: "state-store", atMs: 10, answers: true });
    if (!answers) fenced(11, false);
    step({ kind: "state-store", atMs: 20, answers: false });
    step({ kind: "state-store", atMs: 30, answers: true });
    assert.deepEqual(fences, answers ? [2] : [2, 10]);
  }
});

describe("on purpose", () => {
  test("drain: the service goes to the twin in order, without a lapse, and stays there", () => {
    const pair = pairAtWork();
    pair.tell(pair.a, { kind: "hand-over", id: "op-1", service: A });
    const tookMs = until(pair, () => pair.serves(pair.b, A), 500);
    assert.ok(tookMs < 200, `${tookMs} ms`);
    pair.runFor(20_000);
    assert.deepEqual(pair.holders(A), [pair.b]);
    assert.deepEqual(pair.a.replies, [{ id: "op-1", ok: true, code: "" }]);
    assert.deepEqual(pair.notes(pair.a, "service.lapsed"), []);
  });

  test("drain without etcd, without a twin that hears, or twice is refused with its reason", () => {
    const pair = pairAtWork();
    pair.tell(pair.a, { kind: "hand-over", id: "x", service: B });
    pair.etcdUp = false;
    pair.runFor(1_000);
    pair.tell(pair.a, { kind: "hand-over", id: "1", service: A });
    pair.etcdUp = true;
    pair.runFor(1_000);
    pair.pause(pair.b);
    pair.runFor(700);
    pair.tell(pair.a, { kind: "hand-over", id: "2", service: A });
    pair.resume(pair.b);
    pair.runFor(1_000);
    pair.tell(pair.a, { kind: "hand-over", id: "3", service: A });
    pair.tell(pair.a, { kind: "hand-over", id: "4", service: A });
    pair.tell(pair.b, { kind: "return-home", id: "5" });
    assert.deepEqual(
      pair.a.replies.map(({ id, code }) => `${id} ${code}`),
      ["x hand-over.not-serving", "1 hand-over.store-away", "2 hand-over.twin-unheard", "4 hand-over.under-way"],
    );
    assert.deepEqual(pair.b.replies, [{ id: "5", ok: false, code: "hand-over.already-home" }]);
  });

  test("nothing is moved while Redis is away: its calls would be lost; what has to leave leaves all the same", () => {
    const pair = pairAtWork();
    const redis = (answers: boolean) => {
      for (const host of [pair.a, pair.b]) pair.tell(host, { kind: "state-store", answers });
    };
    redis(false);
    pair.tell(pair.a, { kind: "hand-over", id: "1", service: A });
    redis(true);
    pair.tell(pair.a, { kind: "hand-over", id: "2", service: A });
    pair.runFor(3_500);
    redis(false);
    pair.tell(pair.a, { kind: "return-home", id: "3" });
    pair.runFor(1_000);
    assert.deepEqual(
      pair.a.replies.map(({ id, code }) => `${id} ${code}`),
      ["1 hand-over.state-away", "2 ", "3 hand-over.state-away"],
    );
    assert.deepEqual(pair.holders(A), [pair.b]);
    pair.tell(pair.b, { kind: "stop" });
    pair.runFor(3_500);
    assert.deepEqual(pair.holders(A), [pair.a]);
  });

  test("etcd goes away in the middle of a drain: the host has its service back, or the twin has it", () => {
    for (let afterMs = 0; afterMs < 60; afterMs += 5) {
      const pair = pairAtWork();
      pair.tell(pair.a, { kind: "hand-over", id: "op-1", service: A });
      pair.after(afterMs, () => {
        pair.etcdUp = false;
      });
      pair.runFor(20_000);
      assert.equal(pair.holders(A).length, 1, `etcd gone after ${afterMs} ms`);
      assert.equal(pair.a.replies.length, 1);
      pair.etcdUp = true;
      pair.runFor(10_000);
      assert.equal(pair.holders(A).length, 1);
    }
  });

  test("given to a twin that never took it: that host, when it starts, waits for what may have begun without it", () => {
    for (let startsAfterMs = 0; startsAfterMs < 2_000; startsAfterMs += 250) {
      // Given a service that was given to B, which could not take it and died; A took it back while etcd was away
      const pair = pairAtWork();
      pair.partition("b>etcd");
      pair.tell(pair.a, { kind: "hand-over", id: "op-1", service: A });
      pair.runFor(500);
      assert.equal(pair.record(A)?.host, B);
      pair.etcdUp = false;
      pair.runFor(500);
      pair.kill(pair.b);
      until(pair, () => pair.serves(pair.a, A), 3_000);
      // When B starts with etcd, and without A
      pair.partition("a>b", "b>a", "a>etcd");
      pair.cut.delete("b>etcd");
      pair.etcdUp = true;
      pair.runFor(startsAfterMs);
      pair.start(pair.b);
      // Then it takes it once A's lease has run out, not before (the pair proves it at every step)
      until(pair, () => pair.serves(pair.b, A), 3_000);
    }
  });

  test("stop: goodbye is said, nobody takes over, also not a twin that starts later", () => {
    const pair = pairAtWork();
    pair.tell(pair.a, { kind: "stop" });
    pair.runFor(10_000);
    assert.deepEqual(pair.holders(A), []);
    assert.deepEqual(pair.holders(B), [pair.b]);
    assert.equal(pair.record(A)?.state, "stopped");
    pair.kill(pair.b);
    pair.runFor(100);
    pair.start(pair.b);
    pair.runFor(10_000);
    assert.deepEqual(pair.holders(A), []);
    pair.start(pair.a);
    until(pair, () => pair.serves(pair.a, A), 500);
  });

  test("stop of a host that serves both: the twin's service goes home first", () => {
    const pair = pairAtWork();
    pair.kill(pair.a);
    pair.runFor(1_000);
    pair.start(pair.a);
    pair.runFor(2_000);
    pair.tell(pair.b, { kind: "stop" });
    until(pair, () => pair.serves(pair.a, A), 500);
    pair.runFor(10_000);
    assert.deepEqual(pair.holders(A), [pair.a]);
    assert.deepEqual(pair.holders(B), []);
  });
});

describe("processes", () => {
  test("one that dies is started again at once, the lease untouched", () => {
    const pair = pairAtWork();
    pair.killProcess(pair.a, A, "sip-server");
    pair.runFor(200);
    assert.ok(pair.a.sets.get(A)?.alive.has("sip-server"));
    assert.deepEqual(pair.holders(A), [pair.a]);
    assert.equal(pair.notes(pair.a, "process.restarting").length, 1);
  });

  test("one that hangs is replaced within two seconds; one that has just begun has longer, but not for ever", () => {
    const pair = pairAtWork();
    pair.runFor(KEEPER_TIMING.settleMs);
    const hangs = () => pair.notes(pair.a, "process.hung").length;
    pair.a.deaf.add("rtpengine");
    pair.runFor(2_100);
    assert.equal(hangs(), 1);
    pair.runFor(3_000);
    assert.ok(pair.a.sets.get(A)?.alive.has("rtpengine"));
    assert.equal(hangs(), 1, "it has much to catch up with");
    pair.runFor(KEEPER_TIMING.firstPongWithinMs);
    assert.equal(hangs(), 2);
    assert.deepEqual(pair.holders(A), [pair.a]);
  });

  test("one that dies again and again: its service goes to the twin, and does not come back by itself", () => {
    const pair = pairAtWork();
    for (let death = 0; death < 8; death++) {
      pair.killProcess(pair.a, A, "pop");
      pair.runFor(3_000);
    }
    assert.deepEqual(pair.holders(A), [pair.b]);
    pair.runFor(100_000);
    assert.deepEqual(pair.holders(A), [pair.b]);
  });

  test("the same with the twin away: it is restarted for ever, each 5 s at most", () => {
    const pair = pairAtWork();
    pair.kill(pair.b);
    for (let death = 0; death < 20; death++) {
      pair.killProcess(pair.a, A, "pop");
      pair.runFor(5_200);
      assert.ok(pair.a.sets.get(A)?.alive.has("pop"));
    }
    assert.equal(pair.notes(pair.a, "service.failing").length, 1);
  });
});
