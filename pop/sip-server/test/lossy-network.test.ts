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

/** Longest way to silence: a call, its BYE lost for 32 s, and what lingers 32 s after that. */
const ENOUGH_MS = 300_000;
const finals = (heard: readonly Heard[]) => heard.filter(({ what }) => /^[2-6]\d\d$/.test(what));

function hosts(seed: number, network: LinkFaults) {
  const world = new SimWorld(seed, network);
  return { world, caller: new SimulatedHost(world, CALLER), callee: new SimulatedHost(world, CALLEE) };
}

test("property: a call that is answered, held and ended leaves nothing behind, on any network", () => {
  fc.assert(
    fc.property(fc.integer(), anyNetwork, fc.boolean(), (seed, network, calleeEnds) => {
      const { world, caller, callee } = hosts(seed, network);
      callee.application.onHeard = (heard) => {
        if (heard.what === "INVITE") {
          callee.application.respond(heard, 180);
          world.after(1_500, () => callee.application.respond(heard, 200));
        } else if (heard.what === "ACK" && calleeEnds)
          world.after(2_000, () => callee.application.request("BYE", heard.dialogId));
        else if (heard.what === "BYE" && heard.transactionId !== "unsolicited") callee.application.respond(heard, 200);
      };
      caller.application.onHeard = (heard) => {
        if (heard.what === "200" && heard.text.includes("INVITE")) {
          caller.application.request("ACK", heard.dialogId);
          if (!calleeEnds) world.after(2_000, () => caller.application.request("BYE", heard.dialogId));
          // Had the callee's BYE got lost for good, the caller would end the call some day; the network does not decide.
          else world.after(120_000, () => caller.application.request("BYE", heard.dialogId));
        } else if (heard.what === "BYE" && heard.transactionId !== "unsolicited")
          caller.application.respond(heard, 200);
      };
      caller.application.request("INVITE", "", `sip:bob@${CALLEE}`);
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

test("property: a refusal is heard once, or the INVITE times out; nothing is left behind", () => {
  fc.assert(
    fc.property(fc.integer(), anyNetwork, fc.constantFrom(302, 404, 486, 503, 603), (seed, network, status) => {
      const { world, caller, callee } = hosts(seed, network);
      callee.application.onHeard = (heard) => {
        if (heard.what === "INVITE") world.after(700, () => callee.application.respond(heard, status));
      };
      caller.application.request("INVITE", "", `sip:bob@${CALLEE}`);
      world.runFor(ENOUGH_MS);

      const outcomes = finals(caller.application.heard).map(({ what }) => Number(what));
      // Once a 100 has been heard and the refusal is lost for good, the transaction waits for ever: RFC 3261 §17.1.1.2
      // has no timer in Proceeding, and giving up is the application's business.
      const isWaiting = outcomes.length === 0 && caller.endpoint.facts.clientCalls === 1;
      if (!isWaiting) {
        assert.equal(outcomes.length, 1);
        assert.ok(outcomes[0] === status || outcomes[0] === 408);
        assert.ok(caller.isIdle, JSON.stringify(caller.endpoint.facts));
      }
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
          else if (heard.what === "BYE" && heard.transactionId !== "unsolicited")
            callee.application.respond(heard, 200);
        };
        let invite = "";
        caller.application.onHeard = (heard) => {
          if (heard.what !== "200" || !/CSeq: \d+ INVITE/.test(heard.text)) return;
          caller.application.request("ACK", heard.dialogId);
          // A CANCEL too late to count: the application ends what it did not want.
          world.after(1_000, () => caller.application.request("BYE", heard.dialogId));
        };
        const send = caller.application.send.bind(caller.application);
        caller.application.send = (payload) => {
          const tokens = payload.split("\r\n", 1)[0]?.split("|") ?? [];
          if (tokens[1] === "response" && tokens[3] === "OK" && invite === "" && payload.includes("\r\nINVITE"))
            invite = tokens[10] ?? "";
          send(payload);
        };
        caller.application.request("INVITE", "", `sip:bob@${CALLEE}`);
        world.after(cancelAfterMs, () => caller.application.say(`sip|${invite}|\r\nCANCEL sip:x SIP/2.0\r\n\r\n`));
        world.runFor(ENOUGH_MS);

        assert.ok(invite !== "");
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
