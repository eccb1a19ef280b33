// REFER, SUBSCRIBE and NOTIFY through the whole server: which dialogs they make, keep and end. RFC 3515, 4488, 5057, 6665.

import assert from "node:assert/strict";
import { test } from "node:test";
import { SimWorld } from "../../../kernel/sim/world.ts";
import { headerValue } from "../core/message/message.ts";
import { event, offered, QUICK, type Req, type Res, type Stage, scenario, until } from "./application.ts";
import { aRequest, aResponse, SDP } from "./peer.ts";
import { type Heard, SimulatedHost } from "./simulated.ts";

async function callToBob(stage: Stage) {
  const srf = await stage.application();
  const bob = await stage.udpPeer();
  const answered = srf.createUAC(`sip:bob@127.0.0.1:${bob.port}`, { localSdp: SDP });
  const invite = await bob.next(aRequest("INVITE"));
  bob.respond(invite, 200, "OK", { body: SDP });
  const dialog = await answered;
  await bob.next(aRequest("ACK"));
  return { srf, bob, invite, dialog };
}

async function callFromAlice(stage: Stage) {
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

const dialogsOf = (stage: Stage): number => stage.server.endpoint.facts.dialogs;
const state = (value: string, event = "refer") => [`Event: ${event}`, `Subscription-State: ${value}`];

scenario(
  "the application transfers a call: its NOTIFYs outlive the BYE, the last one ends the dialog",
  async (stage) => {
    const { srf, bob, invite, dialog } = await callToBob(stage);
    const referring = dialog.request({ method: "REFER", headers: { "Refer-To": "<sip:carol@example.com>" } });
    const refer = await bob.next(aRequest("REFER"));
    assert.match(headerValue(refer, "contact") ?? "", /^<?sip:/);
    const told = event<Req>(dialog, "notify");
    bob.requestTo(invite, "NOTIFY", 1, { headers: state("active;expires=60"), body: "" }); // before the 202
    bob.respond(refer, 202, "Accepted");
    assert.equal((await referring).status, 202);
    dialog.once("notify", () => {});
    const first = await told;
    assert.equal(first.get("Event"), "refer");
    // The listener took it without an answer: the server gives one in time; here the application does.
    const bye = dialog.destroy();
    bob.respond(await bob.next(aRequest("BYE")), 200, "OK");
    await bye;
    assert.equal(dialogsOf(stage), 1);
    const last = offered(srf, "notify");
    bob.requestTo(invite, "NOTIFY", 2, { headers: state("terminated;reason=noresource") });
    const { req, res } = await last; // drachtio-srf has forgotten its dialog: it comes as any NOTIFY does
    assert.equal(req.get("Call-ID"), invite.callId);
    res.send(200);
    await bob.next(aResponse(200, "NOTIFY"));
    assert.equal(dialogsOf(stage), 0);
    bob.requestTo(invite, "NOTIFY", 3, { headers: state("terminated") });
    await bob.next(aResponse(481, "NOTIFY"));
  },
);

scenario("an INFO after the BYE finds no session, though a subscription keeps the dialog", async (stage) => {
  const { bob, invite, dialog } = await callToBob(stage);
  const referring = dialog.request({ method: "REFER", headers: { "Refer-To": "<sip:carol@example.com>" } });
  bob.respond(await bob.next(aRequest("REFER")), 202, "Accepted");
  await referring;
  bob.requestTo(invite, "BYE", 1);
  await bob.next(aResponse(200, "BYE"));
  assert.equal(dialogsOf(stage), 1);
  for (const [at, method] of ["INFO", "BYE", "UPDATE"].entries()) {
    bob.requestTo(invite, method, 2 + at);
    await bob.next(aResponse(481, method));
  }
  await assert.rejects(dialog.request({ method: "INFO" }), /unable to find dialog/);
});

scenario("REFER without a subscription leaves none: RFC 4488", async (stage) => {
  const { bob, invite, dialog } = await callToBob(stage);
  const headers = { "Refer-To": "<sip:carol@example.com>", "Refer-Sub": "false" };
  const referring = dialog.request({ method: "REFER", headers });
  const refer = await bob.next(aRequest("REFER"));
  assert.equal(headerValue(refer, "refer-sub"), "false");
  bob.respond(refer, 200, "OK", { headers: ["Refer-Sub: false"] });
  await referring;
  bob.requestTo(invite, "NOTIFY", 1, { headers: state("active") });
  await bob.next(aResponse(481, "NOTIFY"));
  const bye = dialog.destroy();
  bob.respond(await bob.next(aRequest("BYE")), 200, "OK");
  await bye;
  assert.equal(dialogsOf(stage), 0);
});

scenario("a refused REFER leaves no subscription either", async (stage) => {
  const { bob, invite, dialog } = await callToBob(stage);
  const referring = dialog.request({ method: "REFER", headers: { "Refer-To": "<sip:carol@example.com>" } });
  bob.respond(await bob.next(aRequest("REFER")), 603, "Decline");
  assert.equal((await referring).status, 603);
  bob.requestTo(invite, "NOTIFY", 1, { headers: state("active") });
  await bob.next(aResponse(481, "NOTIFY"));
});

scenario("two REFERs in one call have their NOTIFYs by id; one of neither gets 481", async (stage) => {
  const { bob, invite, dialog } = await callToBob(stage);
  const ids: number[] = [];
  for (let at = 0; at < 2; at++) {
    const referring = dialog.request({ method: "REFER", headers: { "Refer-To": "<sip:carol@example.com>" } });
    const refer = await bob.next(aRequest("REFER"));
    ids.push(refer.cseq.number);
    bob.respond(refer, 202, "Accepted");
    await referring;
  }
  dialog.on("notify", (_req: Req, res: Res) => res.send(200));
  const [first = 0, second = 0] = ids;
  const notify = async (cseq: number, value: string, name: string, status: number) => {
    bob.requestTo(invite, "NOTIFY", cseq, { headers: state(value, name) });
    await bob.next(aResponse(status, "NOTIFY"));
  };
  await notify(1, "active", `refer;id=${second}`, 200);
  await notify(2, "active", "refer", 200); // the first one's: RFC 3515 §2.4.6
  await notify(3, "active", `refer;id=${second + 7}`, 481);
  await notify(4, "active", "presence", 481);
  await notify(5, "terminated", "refer", 200);
  await notify(6, "active", `refer;id=${first}`, 481);
  await notify(7, "terminated", `refer;id=${second}`, 200);
  await notify(8, "terminated", `refer;id=${second}`, 481);
  bob.requestTo(invite, "NOTIFY", 9, { headers: ["Subscription-State: active"] });
  await bob.next(aResponse(400, "NOTIFY"));
});

scenario(
  "a peer transfers: the Refer-To reaches the application to the letter, its NOTIFYs reach the peer",
  async (stage) => {
    const { srf: _srf, alice, call, dialog } = await callFromAlice(stage);
    const referTo = "<sip:carol@example.com?Replaces=a%40b%3Bto-tag%3D1%3Bfrom-tag%3D2&Require=replaces>";
    dialog.on("refer", (req: Req, res: Res) => {
      assert.equal(req.get("Refer-To"), referTo);
      res.send(202);
    });
    call.request("REFER", [`Refer-To: ${referTo}`]);
    const accepted = await alice.next(aResponse(202, "REFER"));
    assert.ok(headerValue(accepted, "contact"));
    const notify = (value: string, body: string) =>
      dialog.request({
        method: "NOTIFY",
        headers: { Event: "refer", "Subscription-State": value, "Content-Type": "message/sipfrag;version=2.0" },
        body,
      });
    const trying = notify("active;expires=60", "SIP/2.0 100 Trying");
    const first = await alice.next(aRequest("NOTIFY"));
    assert.equal(first.body, "SIP/2.0 100 Trying");
    assert.ok(headerValue(first, "contact"));
    alice.respond(first, 200, "OK");
    await trying;
    call.request("BYE");
    await alice.next(aResponse(200, "BYE"));
    assert.equal(dialogsOf(stage), 1);
    const done = notify("terminated;reason=noresource", "SIP/2.0 200 OK");
    alice.respond(await alice.next(aRequest("NOTIFY")), 200, "OK");
    await done;
    assert.equal(dialogsOf(stage), 0);
  },
);

scenario("a REFER names one target: none or two get 400", async (stage) => {
  const { alice, call } = await callFromAlice(stage);
  call.request("REFER");
  await alice.next(aResponse(400, "REFER"));
  call.request("REFER", ["Refer-To: <sip:a@b>", "Refer-To: <sip:c@d>"]);
  await alice.next(aResponse(400, "REFER"));
});

scenario(
  "a subscription of the application: NOTIFY before the answer waits its turn; unsubscribed, it ends",
  async (stage) => {
    const srf = await stage.application();
    const bob = await stage.udpPeer();
    const subscribed = srf.createUAC(`sip:bob@127.0.0.1:${bob.port}`, {
      method: "SUBSCRIBE",
      headers: { Event: "presence", Expires: "600" },
    });
    const subscribe = await bob.next(aRequest("SUBSCRIBE"));
    const pidf = "<presence/>";
    bob.requestTo(subscribe, "NOTIFY", 1, { headers: state("active;expires=600", "presence"), body: pidf });
    bob.respond(subscribe, 200, "OK", { headers: ["Expires: 600"] });
    const dialog = await subscribed;
    const told = new Promise<Req>((resolve) => {
      dialog.once("notify", (req: Req, res: Res) => {
        res.send(200);
        resolve(req);
      });
    });
    // The NOTIFY came first: drachtio-srf has either taken it already, without a listener, or hands it over now.
    await bob.next(aResponse(200, "NOTIFY"));
    bob.requestTo(subscribe, "NOTIFY", 2, { headers: state("active;expires=600", "presence"), body: pidf });
    assert.equal((await told).body, pidf);
    assert.equal(dialogsOf(stage), 1);
    const refreshed = dialog.request({ method: "SUBSCRIBE", headers: { Event: "presence", Expires: "0" } });
    const last = await bob.next(aRequest("SUBSCRIBE"));
    assert.equal(last.toTag, "callee");
    bob.respond(last, 200, "OK", { headers: ["Expires: 0"] });
    await refreshed;
    bob.requestTo(subscribe, "NOTIFY", 3, { headers: state("terminated;reason=timeout", "presence") });
    await bob.next(aResponse(200, "NOTIFY"));
    await until(() => dialogsOf(stage) === 0, "the dialog is gone");
  },
);

scenario(
  "a notifier that falls silent: the subscription runs out, and the application hears that it is over",
  async (stage) => {
    const srf = await stage.application();
    const bob = await stage.udpPeer();
    const subscribed = srf.createUAC(`sip:bob@127.0.0.1:${bob.port}`, {
      method: "SUBSCRIBE",
      headers: { Event: "presence", Expires: "1" },
    });
    const subscribe = await bob.next(aRequest("SUBSCRIBE"));
    bob.respond(subscribe, 200, "OK", { headers: ["Expires: 1"] });
    const dialog = await subscribed;
    const over = await event<Req>(dialog, "notify"); // Timer N: no NOTIFY has come
    assert.equal(over.get("Subscription-State"), "terminated;reason=timeout");
    assert.equal(dialogsOf(stage), 0);
    bob.requestTo(subscribe, "NOTIFY", 1, { headers: state("active", "presence") });
    await bob.next(aResponse(481, "NOTIFY"));
  },
  QUICK,
);

scenario(
  "a subscription at the application: Expires is told, it lapses, the application says the last word",
  async (stage) => {
    const srf = await stage.application();
    const asked = offered(srf, "subscribe");
    const alice = await stage.udpPeer();
    const call = alice.call(`sip:status@127.0.0.1:${stage.udpPort}`);
    call.cseq = 1;
    alice.sendText(
      `${call.lines("SUBSCRIBE", alice.branch(), ["Event: dialog", "Expires: 1"]).join("\r\n")}\r\nContent-Length: 0\r\n\r\n`,
    );
    const { req, res } = await asked;
    const dialog = await srf.createUAS(req, res, { localSdp: "" });
    const answer = call.learn(await alice.next(aResponse(202, "SUBSCRIBE")));
    assert.equal(headerValue(answer, "expires"), "1");
    const notified = dialog.request({
      method: "NOTIFY",
      headers: { Event: "dialog", "Subscription-State": "active;expires=1" },
    });
    alice.respond(await alice.next(aRequest("NOTIFY")), 200, "OK");
    await notified;
    await event(dialog, "unsubscribe"); // nobody refreshed
    const ended = dialog.destroy();
    const last = await alice.next(aRequest("NOTIFY"));
    assert.match(headerValue(last, "subscription-state") ?? "", /^terminated/);
    alice.respond(last, 200, "OK");
    await ended;
    await until(() => dialogsOf(stage) === 0, "the dialog is gone");
  },
  QUICK,
);

// In simulated time: what takes minutes.

function hosts() {
  const world = new SimWorld(3);
  const alice = new SimulatedHost(world, "10.0.0.1");
  const bob = new SimulatedHost(world, "10.0.0.2");
  for (const { application } of [alice, bob])
    for (const verb of ["subscribe", "refer", "notify"]) application.say(`route|${verb}`);
  const answer = (host: SimulatedHost, to: Heard, status: number, headers: readonly string[] = []) =>
    host.application.say(
      `sip|${to.transactionId}|\r\nSIP/2.0 ${status} Said\r\n${headers.map((line) => `${line}\r\n`).join("")}\r\n`,
    );
  const ask = (host: SimulatedHost, dialogId: string, method: string, headers: readonly string[]) =>
    host.application.say(
      `sip||${dialogId}\r\n${method} sip:x@10.0.0.2 SIP/2.0\r\n${headers.map((line) => `${line}\r\n`).join("")}\r\n`,
    );
  const heard = (host: SimulatedHost, what: string) => {
    const found = host.application.heard.findLast((one) => one.what === what);
    assert.ok(found, `${what} was not heard`);
    return found;
  };
  return { world, alice, bob, answer, ask, heard };
}

test("an application that never says the last word: the server says it, and nothing is left on either side", () => {
  const { world, alice, bob, answer, ask, heard } = hosts();
  ask(alice, "", "SUBSCRIBE", ["Event: presence;id=4", "Expires: 120"]);
  world.runFor(100);
  answer(bob, heard(bob, "SUBSCRIBE"), 200);
  world.runFor(100);
  const { dialogId } = heard(alice, "200");
  assert.notEqual(dialogId, "");
  ask(bob, heard(bob, "SUBSCRIBE").dialogId || dialogId, "NOTIFY", [
    "Event: presence;id=4",
    "Subscription-State: active;expires=120",
  ]);
  world.runFor(100);
  answer(alice, heard(alice, "NOTIFY"), 200);
  world.runFor(119_000);
  assert.equal(alice.endpoint.facts.dialogs + bob.endpoint.facts.dialogs, 2);
  world.runFor(3_000);
  // Nobody refreshes: bob's application is asked for the last NOTIFY.
  assert.match(heard(bob, "SUBSCRIBE").text, /\r\nExpires: 0\r\n/);
  assert.equal(heard(bob, "SUBSCRIBE").transactionId, "unsolicited");
  world.runFor(32_500);
  assert.match(heard(alice, "NOTIFY").text, /Subscription-State: terminated;reason=timeout/);
  world.runFor(100_000);
  assert.ok(alice.isIdle, JSON.stringify(alice.endpoint.facts));
  assert.ok(bob.isIdle, JSON.stringify(bob.endpoint.facts));
});

test("a REFER outside dialogs makes a dialog with a subscription alone; its expiry ends it", () => {
  const { world, alice, bob, answer, ask, heard } = hosts();
  ask(alice, "", "REFER", ["Refer-To: <sip:carol@10.0.0.9>"]);
  world.runFor(100);
  answer(bob, heard(bob, "REFER"), 202);
  world.runFor(100);
  assert.equal(alice.endpoint.facts.dialogs + bob.endpoint.facts.dialogs, 2);
  const { dialogId } = heard(alice, "202");
  ask(bob, dialogId, "NOTIFY", ["Event: refer", "Subscription-State: active"]);
  world.runFor(100);
  assert.equal(heard(alice, "NOTIFY").dialogId, dialogId);
  answer(alice, heard(alice, "NOTIFY"), 200);
  // No BYE belongs here: RFC 6665 §4.5.
  ask(alice, dialogId, "BYE", []);
  world.runFor(50);
  assert.equal(bob.application.count("BYE"), 0);
  world.runFor(60_000 + 33_000);
  assert.equal(alice.endpoint.facts.dialogs + bob.endpoint.facts.dialogs, 0);
  world.runFor(64_000);
  assert.ok(alice.isIdle, JSON.stringify(alice.endpoint.facts));
  assert.ok(bob.isIdle, JSON.stringify(bob.endpoint.facts));
});

test("a SUBSCRIBE that forks: every fork's NOTIFY has a dialog, a stranger's has none; Timer N bounds it", () => {
  const world = new SimWorld(5);
  const alice = new SimulatedHost(world, "10.0.0.1");
  const answers: string[] = [];
  world.attach("10.0.0.2", (payload) => void answers.push(String(payload)));
  alice.application.say("sip||\r\nSUBSCRIBE sip:x@10.0.0.2 SIP/2.0\r\nEvent: presence\r\nExpires: 600\r\n\r\n");
  world.runFor(100);
  const subscribe = answers.shift() ?? "";
  const line = (name: string) => new RegExp(`\\r\\n${name}: ([^\\r]*)`).exec(subscribe)?.[1] ?? "";
  const notify = (tag: string, event: string, cseq = 1, to = line("From")) =>
    world.send(
      "10.0.0.2",
      "10.0.0.1",
      `NOTIFY sip:10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.2;branch=z9hG4bK${tag}${cseq}${event}\r\nMax-Forwards: 70\r\nFrom: <sip:x@10.0.0.2>;tag=${tag}\r\nTo: ${to}\r\nCall-ID: ${line("Call-ID")}\r\nCSeq: ${cseq} NOTIFY\r\nContact: <sip:10.0.0.2>\r\nEvent: ${event}\r\nSubscription-State: active;expires=600\r\nContent-Length: 0\r\n\r\n`,
    );
  notify("f1", "presence");
  notify("f2", "presence");
  notify("f3", "dialog");
  notify("f4", "presence", 1, "<sip:x>;tag=nobody");
  world.runFor(100);
  // Nothing reaches the application before its answer does.
  assert.equal(alice.application.count("NOTIFY"), 0);
  assert.equal(alice.endpoint.facts.dialogs, 2);
  assert.equal(answers.filter((text) => text.startsWith("SIP/2.0 481")).length, 2);
  world.send(
    "10.0.0.2",
    "10.0.0.1",
    `SIP/2.0 200 OK\r\nVia: ${line("Via")}\r\nFrom: ${line("From")}\r\nTo: <sip:x@10.0.0.2>;tag=f1\r\nCall-ID: ${line("Call-ID")}\r\nCSeq: ${line("CSeq")}\r\nContact: <sip:10.0.0.2>\r\nExpires: 600\r\nContent-Length: 0\r\n\r\n`,
  );
  world.runFor(100);
  assert.deepEqual(
    alice.application.heard.map(({ what }) => what),
    ["200", "NOTIFY", "NOTIFY"],
  );
  for (const heard of alice.application.heard.slice(1)) alice.application.respond(heard, 200);
  notify("f5", "presence");
  world.runFor(100);
  assert.equal(alice.endpoint.facts.dialogs, 3);
  world.runFor(32_500);
  answers.length = 0;
  notify("f6", "presence");
  world.runFor(100);
  assert.equal(answers.filter((text) => text.startsWith("SIP/2.0 481")).length, 1);
  // Nobody refreshes or speaks: all of it runs out.
  world.runFor(800_000);
  assert.ok(alice.isIdle, JSON.stringify(alice.endpoint.facts));
});

test("a SUBSCRIBE that fails takes its early NOTIFYs with it", () => {
  const world = new SimWorld(6);
  const alice = new SimulatedHost(world, "10.0.0.1");
  const answers: string[] = [];
  world.attach("10.0.0.2", (payload) => void answers.push(String(payload)));
  alice.application.say("sip||\r\nSUBSCRIBE sip:x@10.0.0.2 SIP/2.0\r\nEvent: presence\r\n\r\n");
  world.runFor(100);
  const subscribe = answers.shift() ?? "";
  const line = (name: string) => new RegExp(`\\r\\n${name}: ([^\\r]*)`).exec(subscribe)?.[1] ?? "";
  world.send(
    "10.0.0.2",
    "10.0.0.1",
    `NOTIFY sip:10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.2;branch=z9hG4bKn\r\nFrom: <sip:x@10.0.0.2>;tag=f1\r\nTo: ${line("From")}\r\nCall-ID: ${line("Call-ID")}\r\nCSeq: 1 NOTIFY\r\nContact: <sip:10.0.0.2>\r\nEvent: presence\r\nContent-Length: 0\r\n\r\n`,
  );
  world.runFor(40_000); // nobody answers the SUBSCRIBE: Timer F
  assert.deepEqual(
    alice.application.heard.map(({ what }) => what),
    ["408"],
  );
  assert.ok(answers.some((text) => /^SIP\/2\.0 (481|500)/.test(text)));
  world.runFor(64_000);
  assert.ok(alice.isIdle, JSON.stringify(alice.endpoint.facts));
});
