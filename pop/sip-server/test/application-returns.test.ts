// An application loses its connection: what waits for it, what it gets back, and what becomes of its calls without it.

import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { test } from "node:test";
import { SimWorld } from "../../../kernel/sim/world.ts";
import { USER_AGENT_LIMITS } from "../core/limits.ts";
import { headerValue, type SipMessage } from "../core/message/message.ts";
import { type Application, event, offered, type Req, type Stage, scenario, until } from "./application.ts";
import { aRequest, aResponse, SDP } from "./peer.ts";
import { type Heard, SimulatedApplication, SimulatedHost } from "./simulated.ts";
import { SimulatedPhone } from "./simulated-phone.ts";

const ALICE = "10.0.0.1";
const BOB = "10.0.0.2";
const limits = USER_AGENT_LIMITS;

/** A call from Alice's application to Bob's, up and acknowledged. */
function callUp(tags: string, settings = {}) {
  const world = new SimWorld(1);
  const alice = new SimulatedHost(world, ALICE);
  const bob = new SimulatedHost(world, BOB, settings);
  bob.application.leave();
  bob.application = new SimulatedApplication(bob.endpoint, tags, "first");
  let dialogId = "";
  const answer = (heard: Heard) => {
    if (heard.what === "INVITE" || heard.what === "BYE" || heard.what === "INFO") bob.application.respond(heard, 200);
  };
  bob.application.onHeard = answer;
  alice.application.onHeard = (heard) => {
    if (heard.what === "200" && heard.text.includes("INVITE")) {
      dialogId = heard.dialogId;
      alice.application.request("ACK", heard.dialogId);
    }
    if (heard.what === "BYE" && heard.transactionId !== "unsolicited") alice.application.respond(heard, 200);
  };
  alice.application.request("INVITE", "", `sip:bob@${BOB}`);
  world.runFor(70_000);
  assert.equal(bob.endpoint.facts.dialogs, 1);
  assert.equal(bob.endpoint.facts.timers, 0, "an idle dialog has no timer");
  const back = (tagsNow = tags) => {
    // What waited comes with the hello: it is answered a moment later, by the connection it came on.
    const hear = (heard: Heard) => world.after(0, () => answer(heard));
    bob.application = new SimulatedApplication(bob.endpoint, tagsNow, `again-${world.nowMs()}`, hear);
    return bob.application;
  };
  return { world, alice, bob, dialogId, back };
}
const heardBy = ({ heard }: SimulatedApplication) => heard.map(({ what }) => what);

for (const tags of ["instance:one", "", "blue,green"])
  test(`a request in a dialog waits for its application to come back (tags "${tags}")`, () => {
    const { world, alice, bob, dialogId, back } = callUp(tags);
    bob.application.leave();
    alice.application.request("INFO", dialogId);
    world.runFor(3_000);
    assert.equal(alice.application.heard.at(-1)?.what, "200", "of the INVITE: nothing was said to the INFO yet");
    const again = back();
    world.runFor(1_000);
    assert.deepEqual(heardBy(again), ["INFO"]);
    assert.match(alice.application.heard.at(-1)?.text ?? "", /CSeq: \d+ INFO/);
    // The dialog is its own again, in both directions and beyond the grace time.
    world.runFor(2 * limits.orphanGraceMs);
    again.request("BYE", dialogId);
    world.runFor(70_000);
    assert.deepEqual(heardBy(again), ["INFO", "200"]);
    assert.ok(alice.isIdle && bob.isIdle, JSON.stringify(bob.endpoint.facts));
  });

test("an application that comes back too late: 500 with Retry-After, then the request that is tried again reaches it", () => {
  const { world, alice, bob, dialogId, back } = callUp("instance:one");
  bob.application.leave();
  alice.application.request("INFO", dialogId);
  world.runFor(limits.returnWaitMs + 500);
  assert.match(alice.application.heard.at(-1)?.text ?? "", /^SIP\/2\.0 500 [\s\S]*Retry-After: \d+/);
  const again = back();
  alice.application.request("INFO", dialogId);
  world.runFor(1_000);
  assert.deepEqual(heardBy(again), ["INFO"], "the one that was answered for it is not shown any more");
});

test("a BYE that nobody is there for ends the dialog; the application hears of it when it is back", () => {
  const { world, alice, bob, dialogId, back } = callUp("instance:one");
  bob.application.leave();
  alice.application.request("BYE", dialogId);
  world.runFor(10_000);
  assert.match(alice.application.heard.at(-1)?.text ?? "", /^SIP\/2\.0 200 [\s\S]*CSeq: \d+ BYE/);
  assert.equal(bob.endpoint.facts.dialogs, 0);
  const again = back();
  assert.deepEqual(
    again.heard.map(({ what, transactionId, dialogId }) => ({ what, transactionId, dialogId })),
    [{ what: "BYE", transactionId: "unsolicited", dialogId }],
  );
});

test("another process of the same application, by its instance name, gets none of it: BYE to both sides after the grace time", () => {
  const { world, alice, bob, dialogId, back } = callUp("instance:one");
  bob.application.leave();
  const other = back("instance:two");
  alice.application.request("INFO", dialogId);
  world.runFor(limits.orphanGraceMs + 1_000);
  assert.deepEqual(heardBy(other), []);
  assert.equal(alice.application.count("BYE"), 1);
  assert.match(alice.application.heard.find(({ what }) => what === "BYE")?.text ?? "", /application gone/);
  world.runFor(70_000);
  assert.ok(alice.isIdle && bob.isIdle, JSON.stringify(bob.endpoint.facts));
});

test("an unnamed one that shows it knows nothing of the dialogs it was given: they end at once", () => {
  const { world, alice, bob, dialogId, back } = callUp("");
  bob.application.leave();
  const other = back();
  other.onHeard = (heard) => other.respond(heard, 404);
  alice.application.request("INFO", dialogId);
  world.runFor(1_000);
  assert.equal(alice.application.count("404"), 1);
  assert.equal(alice.application.count("BYE"), 1);
  world.runFor(70_000);
  assert.ok(alice.isIdle && bob.isIdle, JSON.stringify(bob.endpoint.facts));
});

test("two unnamed ones away at once: a dialog goes to whoever uses it", () => {
  const { world, alice, bob, dialogId } = callUp("");
  const first = bob.application;
  const second = new SimulatedApplication(bob.endpoint, "", "second", (heard) => {
    if (heard.what === "INVITE") second.respond(heard, 200);
  });
  for (let count = 0; count < 2; count++) alice.application.request("INVITE", "", `sip:bob@${BOB}`);
  world.runFor(70_000);
  assert.deepEqual([first.count("INVITE"), second.count("INVITE")], [2, 1]);
  first.leave();
  second.leave();
  const one = new SimulatedApplication(bob.endpoint, "", "one again");
  const two = new SimulatedApplication(bob.endpoint, "", "two again");
  world.runFor(5_000);
  two.request("INFO", dialogId);
  world.runFor(1_000);
  assert.equal(alice.application.count("INFO"), 1);
  alice.application.request("BYE", dialogId);
  world.runFor(1_000);
  assert.deepEqual([heardBy(one), two.count("BYE")], [[], 1]);
});

test("a connection nobody has noticed to be dead gives way to the one that names the same process", () => {
  const { world, alice, dialogId, back } = callUp("instance:one");
  const again = back();
  alice.application.request("INFO", dialogId);
  world.runFor(1_000);
  assert.deepEqual(heardBy(again), ["INFO"]);
});

test("an INVITE that is being answered when the connection breaks can be answered by the application that is back", () => {
  const { world, alice, bob, back } = callUp("instance:one");
  bob.application.onHeard = () => {};
  alice.application.request("INVITE", "", `sip:bob@${BOB}`);
  world.runFor(1_000);
  const invite = bob.application.heard.at(-1);
  assert.ok(invite?.what === "INVITE");
  bob.application.leave();
  world.runFor(2_000);
  back().respond(invite, 200);
  world.runFor(1_000);
  assert.equal(alice.application.count("200"), 2);
  assert.equal(bob.endpoint.facts.dialogs, 2);
});

test("a phone that an absent application rings is cancelled after a while; one that answers is acknowledged and released", () => {
  for (const answers of [false, true]) {
    const world = new SimWorld(1);
    const alice = new SimulatedHost(world, ALICE);
    const bob = new SimulatedHost(world, BOB);
    bob.application.onHeard = (heard) => {
      if (heard.what === "INVITE") bob.application.respond(heard, 180);
      if (heard.what === "INVITE" && answers) world.after(2_000, () => bob.application.respond(heard, 200));
      if (heard.what === "BYE") bob.application.respond(heard, 200);
    };
    alice.application.request("INVITE", "", `sip:bob@${BOB}`);
    world.runFor(1_000);
    alice.application.leave();
    world.runFor(limits.returnWaitMs + 3_000);
    assert.equal(bob.application.count(answers ? "BYE" : "CANCEL"), 1, `answers: ${answers}`);
    world.runFor(limits.orphanGraceMs + 70_000);
    assert.ok(alice.isIdle && bob.isIdle, JSON.stringify(alice.endpoint.facts));
  }
});

test("orphans get their BYE at a bounded rate", () => {
  const world = new SimWorld(1);
  const alice = new SimulatedHost(world, ALICE);
  const bob = new SimulatedHost(world, BOB, { limits: { ...limits, orphanByesPerSecond: 20 } });
  bob.application.onHeard = (heard) => {
    if (heard.what === "INVITE") bob.application.respond(heard, 200);
  };
  alice.application.onHeard = (heard) => {
    if (heard.what === "200") alice.application.request("ACK", heard.dialogId);
    if (heard.what === "BYE") alice.application.respond(heard, 200);
  };
  for (let count = 0; count < 60; count++) alice.application.request("INVITE", "", `sip:bob@${BOB}`);
  world.runFor(70_000);
  assert.equal(bob.endpoint.facts.dialogs, 60);
  bob.application.leave();
  world.runFor(limits.orphanGraceMs + 1_000);
  const inOneSecond = alice.application.count("BYE");
  assert.ok(inOneSecond >= 18 && inOneSecond <= 24, `${inOneSecond}`);
  world.runFor(4_000);
  assert.equal(alice.application.count("BYE"), 60);
  world.runFor(70_000);
  assert.ok(alice.isIdle && bob.isIdle, JSON.stringify(bob.endpoint.facts));
});

// With the real drachtio-srf.

async function answered(stage: Stage) {
  const srf = await stage.application();
  const invited = offered(srf, "invite");
  const alice = await stage.udpPeer();
  const call = alice.call(`sip:answer@127.0.0.1:${stage.udpPort}`);
  call.invite();
  const { req, res } = await invited;
  const dialog = await srf.createUAS(req, res, { localSdp: SDP });
  await call.answered();
  call.ack();
  await event(dialog, "ack");
  return { srf, alice, call, dialog };
}

/** Its socket dies; it dials again by itself, and says hello. */
async function breakConnection(stage: Stage, srf: Application, dialog: { socket: Socket }): Promise<void> {
  const back = event(srf, "connect");
  dialog.socket.destroy();
  await until(() => stage.server.endpoint.facts.applications === 0, "noticed");
  await back;
}
type WithSocket = { socket: Socket };

scenario("drachtio-srf reconnects: a BYE sent while it was away reaches its dialog", async (stage) => {
  const { srf, alice, call, dialog } = await answered(stage);
  const ended = event<Req>(dialog, "destroy");
  const back = event(srf, "connect");
  (dialog as unknown as WithSocket).socket.destroy();
  await until(() => stage.server.endpoint.facts.applications === 0, "noticed");
  call.request("BYE");
  await back;
  assert.equal((await ended).method, "BYE");
  await alice.next(aResponse(200, "BYE"));
  assert.equal(
    alice.count((message: SipMessage) => message.kind === "response" && message.status === 481),
    0,
  );
  assert.equal(stage.server.endpoint.facts.dialogs, 0);
});

scenario("drachtio-srf reconnects: its dialogs go on in both directions, and end on its word", async (stage) => {
  const { srf, alice, call, dialog } = await answered(stage);
  await breakConnection(stage, srf, dialog as unknown as WithSocket);
  const asked = event<WithSocket>(dialog, "info");
  dialog.once("info", (_req, res) => res.send(200));
  call.request("INFO");
  await alice.next(aResponse(200, "INFO"));
  // drachtio-srf 5.0.29 sends a dialog's requests over the socket the dialog began on, and refuses when that is gone.
  await assert.rejects(dialog.request({ method: "INFO" }), { code: "ESOCKETDESTROYED" });
  (dialog as unknown as { req: WithSocket }).req.socket = (await asked).socket;
  const ended = dialog.destroy();
  const bye = await alice.next(aRequest("BYE"));
  assert.equal(headerValue(bye, "reason"), undefined);
  alice.respond(bye, 200, "OK");
  await ended;
  assert.equal(stage.server.endpoint.facts.dialogs, 0);
});

test("a 200 that waits for the PRACK goes out with it, however long the application that said it has been away", () => {
  for (const isPracked of [true, false]) {
    const world = new SimWorld(1);
    const bob = new SimulatedHost(world, BOB, {}, "instance:bob");
    const phone = new SimulatedPhone(world, BOB);
    const { application } = bob;
    application.onHeard = (heard) => {
      if (heard.what !== "INVITE") return;
      application.say(`sip|${heard.transactionId}|\r\nSIP/2.0 183 Progress\r\nRequire: 100rel\r\n\r\n${SDP}`);
      application.respond(heard, 200);
      application.leave();
    };
    const call = phone.call(`sip:app@${BOB}`, { headers: ["Supported: 100rel"] });
    call.invite();
    world.runFor(limits.returnWaitMs + 1_000);
    const progress = phone.responses("INVITE").at(-1);
    assert.equal(progress?.status, 183, phone.story);
    call.learn(progress);
    if (isPracked) call.request("PRACK", [`RAck: ${headerValue(progress, "rseq")} 1 INVITE`]);
    world.runFor(isPracked ? 1_000 : 40_000);
    assert.equal(phone.responses("INVITE").at(-1)?.status, isPracked ? 200 : 504, "RFC 3262 §3");
    world.runFor(200_000);
    assert.ok(bob.isIdle, JSON.stringify(bob.endpoint.facts));
  }
});
