// Calls as data: a server is replaced, in the middle of calls, by another that has only their records.

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type LinkFaults, SimWorld } from "../../../kernel/sim/world.ts";
import { headerValue } from "../core/message/message.ts";
import { RECORD_VERSION } from "../core/record/versions.ts";
import { SDP } from "./peer.ts";
import { type Heard, SimulatedHost } from "./simulated.ts";
import { acknowledged, SimulatedPhone } from "./simulated-phone.ts";

const ALICE = "10.0.0.1";
const BOB = "10.0.0.2";
const ENOUGH_MS = 400_000;
const SOME_DAY_MS = 120_000;

function hosts(seed: number, network: LinkFaults = { delayMs: 20 }) {
  const world = new SimWorld(seed, network);
  const alice = new SimulatedHost(world, ALICE, {}, "instance:alice");
  const bob = new SimulatedHost(world, BOB, {}, "instance:bob");
  return { world, alice, bob };
}
const finals = (heard: readonly Heard[]) =>
  heard.filter(({ what, text }) => /^[2-6]\d\d$/.test(what) && /CSeq: \d+ INVITE/.test(text));
const isAsked = ({ transactionId }: Heard) => transactionId !== "unsolicited";

interface Plan {
  readonly answerAfterMs: number;
  readonly holdMs: number;
  readonly calleeEnds: boolean;
  readonly cancelAfterMs: number;
}

/** The applications outlive their servers: they act by their own clocks, on whichever server is there. */
function callOf({ world, alice, bob }: ReturnType<typeof hosts>, plan: Plan): void {
  const { answerAfterMs, holdMs, calleeEnds, cancelAfterMs } = plan;
  bob.application.onHeard = (heard) => {
    if (heard.what === "INVITE") {
      bob.application.respond(heard, 180);
      world.after(answerAfterMs, () => bob.application.respond(heard, 200));
    } else if (heard.what === "ACK")
      world.after(calleeEnds ? holdMs : SOME_DAY_MS, () => bob.application.request("BYE", heard.dialogId));
    else if (heard.what === "BYE" && isAsked(heard)) bob.application.respond(heard, 200);
  };
  alice.application.onHeard = (heard) => {
    if (heard.what === "200" && heard.text.includes(" INVITE")) {
      alice.application.request("ACK", heard.dialogId);
      world.after(calleeEnds ? SOME_DAY_MS : holdMs, () => alice.application.request("BYE", heard.dialogId));
    } else if (heard.what === "BYE" && isAsked(heard)) alice.application.respond(heard, 200);
  };
  alice.application.request("INVITE", "", `sip:bob@${BOB}`);
  world.after(cancelAfterMs, () => alice.application.cancel());
}

const anyPlan = fc.record({
  answerAfterMs: fc.integer({ min: 0, max: 6_000 }),
  holdMs: fc.integer({ min: 0, max: 6_000 }),
  calleeEnds: fc.boolean(),
  cancelAfterMs: fc.oneof(fc.constant(SOME_DAY_MS), fc.integer({ min: 0, max: 8_000 })),
});
const anyTakeovers = fc.array(fc.record({ atMs: fc.integer({ min: 1, max: 20_000 }), who: fc.boolean() }), {
  minLength: 1,
  maxLength: 6,
});

for (const [what, network] of [
  ["a good network", fc.constant<LinkFaults>({ delayMs: 20 })],
  [
    "any network",
    fc.record({
      delayMs: fc.integer({ min: 0, max: 400 }),
      jitterMs: fc.integer({ min: 0, max: 300 }),
      lossRate: fc.double({ min: 0, max: 0.5, noNaN: true }),
      duplicateRate: fc.double({ min: 0, max: 0.5, noNaN: true }),
    }),
  ],
] as const)
  test(`property: servers replaced at any time: one outcome, nothing left behind, on ${what}`, () => {
    fc.assert(
      fc.property(fc.integer(), network, anyPlan, anyTakeovers, (seed, faults, plan, takeovers) => {
        const at = hosts(seed, faults);
        callOf(at, plan);
        for (const { atMs, who } of takeovers) at.world.after(atMs, () => (who ? at.alice : at.bob).takeOver());
        at.world.runFor(ENOUGH_MS);
        assert.equal(finals(at.alice.application.heard).length, 1, "exactly one outcome of the INVITE");
        assert.ok(at.bob.application.count("INVITE") <= 1, "the callee is asked once at most");
        assert.ok(at.bob.application.count("ACK") <= 1);
        assert.ok(at.alice.isIdle, JSON.stringify(at.alice.endpoint.facts));
        assert.ok(at.bob.isIdle, JSON.stringify(at.bob.endpoint.facts));
      }),
      { numRuns: 120 },
    );
  });

test("property: what is written down after a takeover is what was written down before it", () => {
  fc.assert(
    fc.property(fc.integer(), anyPlan, fc.integer({ min: 1, max: 12_000 }), (seed, plan, atMs) => {
      const at = hosts(seed, { delayMs: 50, lossRate: 0.2 });
      callOf(at, plan);
      at.world.runFor(atMs);
      for (const host of [at.alice, at.bob]) {
        const before = withoutAppWaits(host);
        host.takeOver();
        assert.deepEqual(withoutAppWaits(host), before);
      }
    }),
    { numRuns: 60 },
  );
});

/** All but the moment, rounded to the wheel's tick, and how long the application may take: it has just connected. */
function withoutAppWaits({ endpoint }: SimulatedHost): unknown {
  const { takenUnixMs, ...state } = endpoint.exportState();
  return JSON.parse(JSON.stringify(state), (name, value) => {
    if (name === "dueUnixMs") return Math.round((value - takenUnixMs) / 64);
    if (name === "timers")
      return value.filter((timer: { name: string }) => timer.name !== "silence" && timer.name !== "absence");
    return name === "sip" && value === "" ? undefined : value;
  });
}

test("an idle dialog goes on in another process: requests both ways, CSeq numbers continue, BYE from either side", () => {
  for (const callerEnds of [true, false]) {
    const { world, alice, bob } = hosts(1);
    let dialogId = "";
    bob.application.onHeard = (heard) => {
      if (heard.what === "INVITE" || heard.what === "INFO" || heard.what === "BYE") bob.application.respond(heard, 200);
    };
    alice.application.onHeard = (heard) => {
      if (heard.what === "200" && heard.text.includes(" INVITE")) {
        ({ dialogId } = heard);
        alice.application.request("ACK", dialogId);
      } else if (heard.what === "INFO" || heard.what === "BYE") alice.application.respond(heard, 200);
    };
    alice.application.request("INVITE", "", `sip:bob@${BOB}`);
    world.runFor(70_000);
    alice.application.request("INFO", dialogId);
    world.runFor(40_000);
    const record = bob.endpoint.exportState();
    assert.deepEqual([record.dialogs.length, record.transactions.length, record.pending.length], [1, 0, 0]);
    assert.ok(JSON.stringify(record).length < 2_048, "an idle dialog is small");
    alice.takeOver();
    bob.takeOver();
    alice.application.request("INFO", dialogId);
    bob.application.request("INFO", dialogId);
    world.runFor(1_000);
    assert.deepEqual([alice.application.count("INFO"), bob.application.count("INFO")], [1, 2]);
    const numbers = bob.application.heard
      .filter(({ what }) => what === "INFO")
      .map(({ text }) => Number(/CSeq: (\d+)/.exec(text)?.[1]));
    assert.equal(numbers[1], (numbers[0] ?? 0) + 1);
    (callerEnds ? alice : bob).application.request("BYE", dialogId);
    world.runFor(70_000);
    assert.ok(alice.isIdle && bob.isIdle);
  }
});

test("our 2xx is repeated by the new process until its ACK, which reaches the application", () => {
  const { world, alice, bob } = hosts(1);
  bob.application.onHeard = (heard) => {
    if (heard.what === "INVITE") bob.application.respond(heard, 200);
  };
  let dialogId = "";
  alice.application.onHeard = (heard) => {
    if (heard.what === "200") ({ dialogId } = heard);
  };
  alice.application.request("INVITE", "", `sip:bob@${BOB}`);
  world.runFor(200);
  bob.takeOver();
  const sent = () =>
    world.history.filter(({ from, payload }) => from === BOB && String(payload).startsWith("SIP/2.0 200")).length;
  const before = sent();
  world.runFor(4_000);
  assert.ok(sent() >= before + 2, "0.5, 1, 2 s");
  alice.takeOver();
  alice.application.request("ACK", dialogId);
  world.runFor(200);
  assert.equal(bob.application.count("ACK"), 1);
  const after = sent();
  world.runFor(10_000);
  assert.equal(sent(), after);
});

test("a reliable provisional is repeated by the new process until its PRACK", () => {
  const world = new SimWorld(1);
  const host = new SimulatedHost(world, ALICE, {}, "instance:a");
  const phone = new SimulatedPhone(world, ALICE);
  let invite: Heard | undefined;
  host.application.onHeard = (heard) => {
    if (heard.what === "INVITE") {
      invite = heard;
      host.application.say(`sip|${heard.transactionId}|\r\nSIP/2.0 183 Progress\r\nRequire: 100rel\r\n\r\n${SDP}`);
    } else if (heard.what === "PRACK") host.application.respond(heard, 200);
  };
  const call = phone.call(`sip:app@${ALICE}`, { headers: ["Supported: 100rel"] });
  call.invite();
  world.runFor(100);
  host.takeOver();
  world.runFor(1_000);
  const copies = phone.responses("INVITE").filter(({ status }) => status === 183);
  assert.ok(copies.length >= 2);
  for (const copy of copies) call.learn(copy);
  assert.ok(invite !== undefined);
  host.application.respond(invite, 200); // held: the description is not acknowledged yet
  host.takeOver();
  world.runFor(100);
  assert.equal(phone.responses("INVITE").filter(({ status }) => status === 200).length, 0);
  const [first] = copies;
  assert.ok(first !== undefined);
  call.request("PRACK", [`RAck: ${headerValue(first, "rseq")} 1 INVITE`]);
  world.runFor(100);
  call.cseq = 1;
  acknowledged(phone, call);
  world.runFor(100);
  assert.equal(host.application.count("ACK"), 1);
});

test("a session timer goes on where it was", () => {
  const world = new SimWorld(1);
  const host = new SimulatedHost(world, ALICE, {}, "instance:a");
  const phone = new SimulatedPhone(world, ALICE);
  host.application.onHeard = (heard) => {
    if (heard.what === "INVITE") host.application.say(`sip|${heard.transactionId}|\r\nSIP/2.0 200 OK\r\n\r\n${SDP}`);
  };
  const call = phone.call(`sip:app@${ALICE}`, { headers: ["Supported: timer", "Session-Expires: 90;refresher=uas"] });
  call.invite();
  world.runFor(100);
  acknowledged(phone, call);
  world.runFor(40_000);
  host.takeOver();
  phone.onMessage = (message) => {
    if (message.kind !== "request" || message.method !== "INVITE") return;
    host.takeOver(); // with the refresh under way
    phone.respond(message, 200, "OK", { headers: ["Session-Expires: 90;refresher=uac"], body: SDP });
  };
  world.runFor(4_000);
  assert.equal(phone.requests("INVITE").length, 0);
  world.runFor(2_000);
  assert.equal(phone.requests("INVITE").length, 1);
  assert.equal(phone.requests("ACK").length, 1);
  world.runFor(46_000);
  assert.equal(phone.requests("INVITE").length, 2);
});

test("a record of another version, or of other listen points, is refused and changes nothing", () => {
  const { world, alice, bob } = hosts(1);
  callOf({ world, alice, bob }, { answerAfterMs: 0, holdMs: 60_000, calleeEnds: true, cancelAfterMs: SOME_DAY_MS });
  world.runFor(2_000);
  const record = bob.endpoint.exportState();
  const other = new SimulatedHost(world, "10.0.0.3");
  for (const [bad, reason] of [
    [{ ...record, version: RECORD_VERSION + 1 }, /version 3, and this server reads 1 and 2/],
    [record, /no such listen point here/],
    [
      { ...record, dialogs: [], pending: [], transactions: [{ ...record.transactions[0], request: "nonsense" }] },
      /none|listen point/,
    ],
  ] as const) {
    const restored = other.endpoint.restoreState(bad as typeof record);
    assert.ok(!restored.ok);
    assert.match(restored.failure.reason, reason);
  }
  assert.equal(other.endpoint.facts.dialogs, 0);
  const again = bob.endpoint.restoreState(record);
  assert.ok(!again.ok);
  assert.match(again.failure.reason, /already here/);
});

test("one call can be written down alone, and taken up beside others", () => {
  const { world, alice, bob } = hosts(1);
  callOf({ world, alice, bob }, { answerAfterMs: 0, holdMs: 60_000, calleeEnds: true, cancelAfterMs: SOME_DAY_MS });
  alice.application.request("INVITE", "", `sip:bob@${BOB}`);
  world.runFor(2_000);
  const [first, second] = bob.endpoint.exportState().dialogs.map(({ dialog }) => dialog.callId);
  assert.ok(first !== undefined && second !== undefined && first !== second);
  const records = [first, second].map((callId) => bob.endpoint.exportState(callId));
  assert.deepEqual(
    records.map(({ dialogs }) => dialogs.length),
    [1, 1],
  );
  const other = new SimulatedHost(world, BOB, {}, "instance:bob");
  for (const record of records) assert.ok(other.endpoint.restoreState(JSON.parse(JSON.stringify(record))).ok);
  assert.deepEqual(other.endpoint.facts.dialogs, 2);
});

test("a BYE that waits for the ACK to our 2xx goes out by the new process", () => {
  const { world, alice, bob } = hosts(1);
  bob.application.onHeard = (heard) => {
    if (heard.what === "INVITE") bob.application.respond(heard, 200);
  };
  alice.application.onHeard = (heard) => {
    if (heard.what === "BYE") alice.application.respond(heard, 200);
    if (heard.what !== "200") return;
    bob.application.request("BYE", heard.dialogId);
    world.after(100, () => bob.takeOver());
    world.after(1_000, () => alice.application.request("ACK", heard.dialogId));
  };
  alice.application.request("INVITE", "", `sip:bob@${BOB}`);
  world.runFor(900);
  assert.equal(alice.application.count("BYE"), 0);
  world.runFor(70_000);
  assert.equal(alice.application.count("BYE"), 1);
  assert.equal(bob.application.heard.at(-1)?.what, "200");
  assert.ok(alice.isIdle && bob.isIdle, JSON.stringify(bob.endpoint.facts));
});

test("a ringing INVITE can be cancelled through the new process, also when the callee never says another word", () => {
  for (const isDead of [false, true]) {
    const { world, alice, bob } = hosts(1);
    bob.application.onHeard = (heard) => {
      if (heard.what === "INVITE") bob.application.respond(heard, 180);
    };
    alice.application.request("INVITE", "", `sip:bob@${BOB}`);
    world.runFor(5_000);
    alice.takeOver();
    if (isDead) world.link(ALICE, BOB, { delayMs: 0, lossRate: 1 });
    alice.application.cancel();
    world.runFor(isDead ? 40_000 : 1_000);
    assert.equal(alice.application.count("487"), 1);
    assert.equal(bob.application.count("CANCEL"), isDead ? 0 : 1);
    world.runFor(70_000);
    assert.ok(alice.isIdle, JSON.stringify(alice.endpoint.facts));
  }
});

test("a record with a fault anywhere in it is refused, and nothing of it is taken up", () => {
  const { world, alice, bob } = hosts(1);
  bob.application.onHeard = (heard) => {
    if (heard.what === "INVITE") bob.application.respond(heard, 200);
  };
  alice.application.onHeard = (heard) => {
    if (heard.what === "200") bob.application.request("BYE", heard.dialogId);
  };
  alice.application.request("INVITE", "", `sip:bob@${BOB}`);
  world.runFor(500);
  alice.application.request("OPTIONS", "", `sip:bob@${BOB}`);
  bob.application.say("route|options");
  world.runFor(500);
  const faults: string[] = [];
  for (const [address, host] of [
    [ALICE, alice],
    [BOB, bob],
  ] as const) {
    const whole = JSON.stringify(host.endpoint.exportState());
    const places = whole.match(/"(?:pointId|request|invite|ack|sip)":"[^"]/g)?.length ?? 0;
    for (let place = 0; place < places; place++) {
      let at = 0;
      const bad = whole.replace(/"(pointId|request|invite|ack|sip)":"[^"](?:[^"\\]|\\.)*"/g, (field, name) => {
        if (at++ !== place) return field;
        faults.push(name);
        return `"${name}":"nonsense"`;
      });
      const other = new SimulatedHost(new SimWorld(2), address);
      const before = other.endpoint.facts;
      const restored = other.endpoint.restoreState(JSON.parse(bad));
      assert.ok(!restored.ok, `${place}`);
      assert.equal(restored.failure.code, "record.unusable");
      assert.deepEqual(other.endpoint.facts, before);
    }
    const other = new SimulatedHost(new SimWorld(2), address);
    assert.ok(other.endpoint.restoreState(JSON.parse(whole)).ok);
  }
  assert.deepEqual([...new Set(faults)].sort(), ["invite", "pointId", "request", "sip"]);
});
