// A 2xx that comes after the BYE of the same call: the callee got no ACK for 32 s, ended the call, and its BYE was faster.

import assert from "node:assert/strict";
import { test } from "node:test";
import { SimWorld } from "../../../kernel/sim/world.ts";
import { SimulatedHost } from "./simulated.ts";

const CALLER = "10.0.0.1";
const CALLEE = "10.0.0.2";
const SWIFT = { delayMs: 20 };
const LAME = { delayMs: 40_000 };

function stage() {
  const world = new SimWorld(1, SWIFT);
  const caller = new SimulatedHost(world, CALLER);
  const callee = new SimulatedHost(world, CALLEE);
  const sent = (from: string, start: string) =>
    world.history.filter((arrival) => arrival.from === from && String(arrival.payload).startsWith(start)).length;
  /** The callee's 2xx take 40 s each, its BYE 32 s later does not. */
  const overtake = () => {
    world.link(CALLEE, CALLER, LAME);
    world.after(31_900, () => world.link(CALLEE, CALLER, SWIFT));
  };
  return { world, caller, callee, sent, overtake };
}

test("a 200 after the BYE on its early dialog makes a new dialog (RFC 3261 §13.2.2.4)", () => {
  const { world, caller, callee, sent, overtake } = stage();
  callee.application.onHeard = (heard) => {
    if (heard.what !== "INVITE") return;
    callee.application.respond(heard, 180);
    world.after(1_000, () => {
      overtake();
      callee.application.respond(heard, 200);
    });
  };
  let dialogId = "";
  caller.application.onHeard = (heard) => {
    if (heard.what === "BYE") caller.application.respond(heard, 200);
    if (heard.what !== "200") return;
    ({ dialogId } = heard);
    caller.application.request("ACK", dialogId);
  };
  caller.application.request("INVITE", "", `sip:bob@${CALLEE}`);
  world.runFor(35_000);
  assert.equal(caller.application.count("BYE"), 1, "the BYE was first");
  assert.equal(caller.endpoint.facts.dialogs, 0);
  world.runFor(10_000);
  assert.equal(caller.application.count("200"), 1);
  assert.ok(sent(CALLER, "ACK") >= 1);
  assert.equal(caller.endpoint.facts.dialogs, 1, "it counts, so that it is ended should its application go");

  caller.application.request("BYE", dialogId);
  world.runFor(100_000);
  assert.equal(caller.application.count("481"), 1, "the callee knows it no longer");
  assert.ok(caller.isIdle, JSON.stringify(caller.endpoint.facts));
  assert.ok(callee.isIdle, JSON.stringify(callee.endpoint.facts));
});

test("a 200 to a re-INVITE after the BYE is acknowledged, and the dialog stays ended", () => {
  const { world, caller, callee, sent, overtake } = stage();
  callee.application.onHeard = (heard) => {
    if (heard.what !== "INVITE") return;
    callee.application.respond(heard, 180);
    world.after(1_000, () => {
      if (callee.application.count("INVITE") === 2) overtake();
      callee.application.respond(heard, 200);
    });
  };
  let dialogId = "";
  caller.application.onHeard = (heard) => {
    if (heard.what === "BYE") caller.application.respond(heard, 200);
    if (heard.what !== "200" || dialogId !== "") return;
    ({ dialogId } = heard);
    caller.application.request("ACK", dialogId);
    world.after(1_000, () => caller.application.request("INVITE", dialogId));
  };
  caller.application.request("INVITE", "", `sip:bob@${CALLEE}`);
  world.runFor(38_000);
  assert.equal(caller.application.count("BYE"), 1, "the BYE was first");
  const acks = sent(CALLER, "ACK");
  world.runFor(100_000);
  assert.equal(caller.application.count("200"), 2, "the re-INVITE has its answer");
  assert.ok(sent(CALLER, "ACK") > acks, "and the answer its ACK, although the application gave none");

  caller.application.request("INFO", dialogId);
  world.runFor(1_000);
  assert.equal(sent(CALLER, "INFO"), 0, "there is no such dialog");
  assert.ok(caller.isIdle, JSON.stringify(caller.endpoint.facts));
  assert.ok(callee.isIdle, JSON.stringify(callee.endpoint.facts));
});
