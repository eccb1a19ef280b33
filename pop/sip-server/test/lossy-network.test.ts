// What holds for every call on every network: properties over whole servers in simulated time.

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type LinkFaults, SimWorld } from "../../../kernel/sim/world.ts";
import { type Heard, SimulatedHost } from "./simulated.ts";

const CALLER = "10.0.0.1";
const CALLEE = "10.0.0.2";
const anyNetwork: fc.Arbitrary<LinkFaults> = fc.record({
  delayMs: fc.integer({ min: 0, max: 400 }),
  jitterMs: fc.integer({ min: 0, max: 300 }),
  lossRate: fc.double({ min: 0, max: 0.6, noNaN: true }),
  duplicateRate: fc.double({ min: 0, max: 0.5, noNaN: true }),
});

/** Longest way to silence: 65 s to the last 2xx, some day, a BYE lost for 32 s, and what lingers 32 s after that. */
const ENOUGH_MS = 300_000;
/**
 * All eleven copies of a BYE may be lost. Its sender is done then (RFC 3261 §15.1.1); the other side can not know,
 * and keeps a dialog that nothing in RFC 3261 ends (RFC 4028 §1 says so). Likewise no timer ends an INVITE that has
 * heard a 1xx and never its answer (§17.1.1.2). Both are for the application, and every application of these
 * properties hangs up or cancels by itself that long after: then nothing may be left, whatever was lost.
 */
const SOME_DAY_MS = 120_000;
const finals = (heard: readonly Heard[]) => heard.filter(({ what }) => /^[2-6]\d\d$/.test(what));

function hosts(seed: number, network: LinkFaults) {
  const world = new SimWorld(seed, network);
  return { world, caller: new SimulatedHost(world, CALLER), callee: new SimulatedHost(world, CALLEE) };
}

/** Unless the other side has: a dialog that outlives a BYE which did arrive is not tidied up here. */
function hangUp({ application }: SimulatedHost, dialogId: string): void {
  if (application.count("BYE") === 0) application.request("BYE", dialogId);
}

/** A call that is answered, held for two seconds and ended by one side; the other hangs up some day. */
function callOf(seed: number, network: LinkFaults, calleeEnds: boolean) {
  const { world, caller, callee } = hosts(seed, network);
  callee.application.onHeard = (heard) => {
    if (heard.what === "INVITE") {
      callee.application.respond(heard, 180);
      world.after(1_500, () => callee.application.respond(heard, 200));
    } else if (heard.what === "ACK")
      world.after(calleeEnds ? 2_000 : SOME_DAY_MS, () => hangUp(callee, heard.dialogId));
    else if (heard.what === "BYE" && heard.transactionId !== "unsolicited") callee.application.respond(heard, 200);
  };
  caller.application.onHeard = (heard) => {
    if (heard.what === "200" && heard.text.includes("INVITE")) {
      caller.application.request("ACK", heard.dialogId);
      world.after(calleeEnds ? SOME_DAY_MS : 2_000, () => hangUp(caller, heard.dialogId));
    } else if (heard.what === "BYE" && heard.transactionId !== "unsolicited") caller.application.respond(heard, 200);
  };
  caller.application.request("INVITE", "", `sip:bob@${CALLEE}`);
  world.after(SOME_DAY_MS, () => caller.application.cancel());
  return { world, caller, callee };
}

test("property: a call that is answered, held and ended leaves nothing behind, on any network", () => {
  fc.assert(
    fc.property(fc.integer(), anyNetwork, fc.boolean(), (seed, network, calleeEnds) => {
      const { world, caller, callee } = callOf(seed, network, calleeEnds);
      world.runFor(ENOUGH_MS);

      const answers = finals(caller.application.heard).filter(({ text }) => /CSeq: \d+ INVITE/.test(text));
      assert.equal(answers.length, 1, "exactly one outcome of the INVITE");
      assert.equal(callee.application.count("INVITE") <= 1, true, "the callee is asked once at most");
      assert.equal(callee.application.count("ACK") <= 1, true);
      assert.ok(caller.isIdle, JSON.stringify(caller.endpoint.facts));
      assert.ok(callee.isIdle, JSON.stringify(callee.endpoint.facts));
    }),
    { numRuns: 150 },
  );
});

test("all eleven copies of a BYE are lost: its sender is done, the peer's dialog waits for its application", () => {
  const { world, caller, callee } = callOf(1142187476, { delayMs: 0, lossRate: 0.597 }, false);
  world.runFor(SOME_DAY_MS);
  const byes = world.history.filter(({ payload }) => String(payload).startsWith("BYE"));
  assert.deepEqual(
    byes.map(({ from, lost }) => `${from} ${lost}`),
    Array<string>(11).fill(`${CALLER} true`),
  );
  assert.equal(caller.application.heard.at(-1)?.what, "408");
  assert.ok(caller.isIdle, JSON.stringify(caller.endpoint.facts));
  assert.equal(callee.endpoint.facts.dialogs, 1, "for the callee the call is up");

  world.runFor(ENOUGH_MS - SOME_DAY_MS);
  assert.ok(caller.isIdle, JSON.stringify(caller.endpoint.facts));
  assert.ok(callee.isIdle, JSON.stringify(callee.endpoint.facts));
});

test("property: a refusal is heard once, or the INVITE ends without it; nothing is left behind", () => {
  fc.assert(
    fc.property(fc.integer(), anyNetwork, fc.constantFrom(302, 404, 486, 503, 603), (seed, network, status) => {
      const { world, caller, callee } = hosts(seed, network);
      callee.application.onHeard = (heard) => {
        if (heard.what === "INVITE") world.after(700, () => callee.application.respond(heard, status));
      };
      caller.application.request("INVITE", "", `sip:bob@${CALLEE}`);
      world.after(SOME_DAY_MS, () => caller.application.cancel());
      world.runFor(ENOUGH_MS);

      const outcomes = finals(caller.application.heard).map(({ what }) => Number(what));
      assert.equal(outcomes.length, 1);
      // Not one copy of the INVITE arrived: 408. A 100 did, and no copy of the refusal: 487, the application cancelled.
      assert.ok([status, 408, 487].includes(outcomes[0] ?? 0));
      assert.ok(caller.isIdle, JSON.stringify(caller.endpoint.facts));
      assert.ok(callee.isIdle, JSON.stringify(callee.endpoint.facts));
    }),
    { numRuns: 150 },
  );
});

test("property: a cancelled call ends on both sides, whatever crosses what", () => {
  fc.assert(
    fc.property(
      fc.integer(),
      anyNetwork,
      fc.integer({ min: 0, max: 4_000 }),
      fc.integer({ min: 0, max: 4_000 }),
      (seed, network, answerAfterMs, cancelAfterMs) => {
        const { world, caller, callee } = hosts(seed, network);
        callee.application.onHeard = (heard) => {
          if (heard.what === "INVITE") world.after(answerAfterMs, () => callee.application.respond(heard, 200));
          else if (heard.what === "ACK") world.after(SOME_DAY_MS, () => hangUp(callee, heard.dialogId));
          else if (heard.what === "BYE" && heard.transactionId !== "unsolicited")
            callee.application.respond(heard, 200);
        };
        caller.application.onHeard = (heard) => {
          if (heard.what !== "200" || !/CSeq: \d+ INVITE/.test(heard.text)) return;
          caller.application.request("ACK", heard.dialogId);
          // A CANCEL too late to count: the application ends what it did not want.
          world.after(1_000, () => caller.application.request("BYE", heard.dialogId));
        };
        caller.application.request("INVITE", "", `sip:bob@${CALLEE}`);
        world.after(cancelAfterMs, () => caller.application.cancel());
        world.runFor(ENOUGH_MS);

        const outcomes = finals(caller.application.heard).filter(({ text }) => /CSeq: \d+ INVITE/.test(text));
        assert.equal(outcomes.length, 1, "exactly one outcome of the INVITE");
        assert.ok(caller.isIdle, JSON.stringify(caller.endpoint.facts));
        assert.ok(callee.isIdle, JSON.stringify(callee.endpoint.facts));
      },
    ),
    { numRuns: 150 },
  );
});

test("the same seed tells the same story", () => {
  const story = () => {
    const { world, caller, callee } = hosts(7, { delayMs: 50, jitterMs: 200, lossRate: 0.3, duplicateRate: 0.2 });
    callee.application.onHeard = (heard) => {
      if (heard.what === "INVITE") callee.application.respond(heard, 486);
    };
    caller.application.request("INVITE", "", `sip:bob@${CALLEE}`);
    world.runFor(60_000);
    return world.history;
  };
  assert.deepEqual(story(), story());
});
