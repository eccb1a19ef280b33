// A call through a proxying application, on a network that loses, delays and doubles: what holds whatever is lost.

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type LinkFaults, SimWorld } from "../../../kernel/sim/world.ts";
import { type Heard, SimulatedHost } from "./simulated.ts";

const [CALLER, PROXY, ONE, TWO] = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"] as const;
const anyNetwork: fc.Arbitrary<LinkFaults> = fc.record({
  delayMs: fc.integer({ min: 0, max: 300 }),
  jitterMs: fc.integer({ min: 0, max: 200 }),
  lossRate: fc.double({ min: 0, max: 0.4, noNaN: true }),
  duplicateRate: fc.double({ min: 0, max: 0.4, noNaN: true }),
});
const anyOrder = fc.record({
  forking: fc.constantFrom("serial", "simultaneous"),
  provisional: fc.constantFrom("", "2s"),
  final: fc.constantFrom("", "6s"),
  remain: fc.boolean(),
});
/** What a callee does with its INVITE. */
const anyCallee = fc.constantFrom("answers", "refuses", "rings");

/** By then everybody has hung up or cancelled, and every transaction of that has ended. */
const SOME_DAY_MS = 120_000;
const ENOUGH_MS = 500_000;

test("property: a proxied call has one outcome for its caller, and leaves nothing behind at anybody", () => {
  fc.assert(
    fc.property(fc.integer(), anyNetwork, anyOrder, anyCallee, anyCallee, (seed, network, order, first, second) => {
      const world = new SimWorld(seed, network);
      const hosts = [CALLER, PROXY, ONE, TWO].map((address) => new SimulatedHost(world, address));
      const [caller, proxy, one, two] = hosts as [SimulatedHost, SimulatedHost, SimulatedHost, SimulatedHost];
      const hangUp = ({ application }: SimulatedHost, dialogId: string) => {
        if (application.count("BYE") === 0) application.request("BYE", dialogId);
      };
      const bye = (host: SimulatedHost, heard: Heard) => {
        if (heard.what === "BYE" && heard.transactionId !== "unsolicited") host.application.respond(heard, 200);
      };
      proxy.application.onHeard = ({ what, transactionId }) => {
        const { forking, provisional, final, remain } = order;
        const how = `${remain ? "remainInDialog" : ""}|fullResponse||${forking}|${provisional}|${final}`;
        if (what === "INVITE")
          proxy.application.say(
            `proxy|${transactionId}|${how}|sip:x@${ONE}|sip:x@${TWO}\r\nINVITE sip:x@${ONE} SIP/2.0\r\n\r\n`,
          );
      };
      for (const [host, does] of [
        [one, first],
        [two, second],
      ] as const)
        host.application.onHeard = (heard) => {
          if (heard.what === "INVITE") {
            if (does !== "refuses") host.application.respond(heard, 180);
            if (does === "answers") world.after(1_500, () => host.application.respond(heard, 200));
            if (does === "refuses") host.application.respond(heard, 486);
            if (does === "rings") world.after(SOME_DAY_MS, () => host.application.respond(heard, 480));
          } else if (heard.what === "ACK") world.after(SOME_DAY_MS, () => hangUp(host, heard.dialogId));
          else bye(host, heard);
        };
      caller.application.onHeard = (heard) => {
        if (heard.what === "200" && heard.text.includes("INVITE")) {
          caller.application.request("ACK", heard.dialogId);
          world.after(2_000, () => hangUp(caller, heard.dialogId));
        } else bye(caller, heard);
      };
      caller.application.request("INVITE", "", `sip:service@${PROXY}`);
      world.after(SOME_DAY_MS, () => caller.application.cancel());
      world.runFor(ENOUGH_MS);

      const outcomes = caller.application.heard.filter(
        ({ what, text }) => /^[2-6]\d\d$/.test(what) && /CSeq: \d+ INVITE/.test(text),
      );
      assert.equal(outcomes.length, 1, "exactly one outcome of the INVITE");
      for (const host of hosts) {
        assert.ok(host.isIdle, `${host.address} ${JSON.stringify(host.endpoint.facts)}`);
        assert.equal(host.endpoint.counters.total("internal_errors"), 0);
      }
      assert.equal(proxy.application.count("BYE"), 0, "the proxying application hears nothing more");
    }),
    { numRuns: 120 },
  );
});
