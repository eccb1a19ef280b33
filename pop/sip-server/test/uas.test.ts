// A caller, the server, and a real drachtio-srf application that answers.

import assert from "node:assert/strict";
import { test } from "node:test";
import { SimWorld } from "../../../kernel/sim/world.ts";
import { headerValue, type SipMessage } from "../core/message/message.ts";
import { event, offered, QUICK, type Req, type Stage, scenario, until } from "./application.ts";
import { aRequest, aResponse, type Call, SDP } from "./peer.ts";
import { SimulatedHost } from "./simulated.ts";

async function answeredCall(stage: Stage) {
  const srf = await stage.application();
  const invited = offered(srf, "invite");
  const alice = await stage.udpPeer();
  const call = alice.call(`sip:answer@127.0.0.1:${stage.udpPort}`);
  call.invite();
  const { req, res } = await invited;
  const dialog = await srf.createUAS(req, res, { localSdp: SDP, headers: { "X-App": "one" } });
  const answer = await call.answered();
  call.ack();
  await event(dialog, "ack");
  return { srf, alice, call, dialog, answer, req };
}
const isAnswer = (message: SipMessage) => aResponse(200, "INVITE")(message);

scenario("a call is answered, and the caller ends it", async (stage) => {
  const { alice, call, dialog, answer, req } = await answeredCall(stage);
  assert.equal(headerValue(answer, "contact"), `<sip:127.0.0.1:${stage.udpPort}>`);
  assert.equal(headerValue(answer, "x-app"), "one");
  assert.equal(headerValue(answer, "content-type"), "application/sdp");
  assert.equal(answer.body, SDP);
  assert.equal(dialog.id, `${call.facts.callId};from-tag=${call.facts.tag}`);
  assert.equal(dialog.sip.localTag, answer.toTag);
  assert.match(req.get("via"), new RegExp(`rport=${alice.port}`));
  assert.equal(alice.count(aResponse(100)), 1);
  const ended = event<Req>(dialog, "destroy");
  call.request("BYE");
  await alice.next(aResponse(200, "BYE"));
  assert.equal((await ended).method, "BYE");
  assert.equal(stage.server.endpoint.facts.dialogs, 0);
});

scenario("a call is answered, and the application ends it", async (stage) => {
  const { alice, call, dialog } = await answeredCall(stage);
  const ended = dialog.destroy();
  const bye = await alice.next(aRequest("BYE"));
  assert.equal(bye.cseq.number, 2);
  assert.equal(bye.fromTag, call.toTag);
  assert.equal(bye.toTag, call.facts.tag);
  alice.respond(bye, 200, "OK");
  await ended;
  assert.equal(stage.server.endpoint.facts.dialogs, 0);
});

scenario(
  "a BYE of the application waits for the ACK to our 200 (RFC 3261 §15)",
  async (stage) => {
    const srf = await stage.application();
    const invited = offered(srf, "invite");
    const alice = await stage.udpPeer();
    const call = alice.call(`sip:answer@127.0.0.1:${stage.udpPort}`);
    call.invite();
    const { req, res } = await invited;
    const dialog = await srf.createUAS(req, res, { localSdp: SDP });
    await call.answered();
    const ended = dialog.destroy();
    await alice.next(aResponse(200, "INVITE")); // a copy: T1 has passed, and still no BYE
    assert.equal(alice.count(aRequest("BYE")), 0);
    call.ack();
    alice.respond(await alice.next(aRequest("BYE")), 200, "OK");
    await ended;
  },
  QUICK,
);

test("a second BYE of the application before that ACK is refused, the first goes, and nothing is left", () => {
  const world = new SimWorld(1);
  const alice = new SimulatedHost(world, "10.0.0.1");
  const bob = new SimulatedHost(world, "10.0.0.2");
  bob.application.onHeard = (heard) => {
    if (heard.what === "INVITE") {
      bob.application.respond(heard, 180);
      world.after(1_000, () => bob.application.respond(heard, 200));
    }
  };
  alice.application.onHeard = (heard) => {
    if (heard.what === "BYE") alice.application.respond(heard, 200);
    if (heard.what !== "200") return;
    bob.application.request("BYE", heard.dialogId);
    bob.application.request("BYE", heard.dialogId);
    world.after(1_000, () => alice.application.request("ACK", heard.dialogId));
  };
  alice.application.request("INVITE", "", "sip:bob@10.0.0.2");
  world.runFor(3_000);
  assert.equal(alice.application.count("BYE"), 1, "with the ACK, not when it would be too late");
  world.runFor(97_000);
  assert.deepEqual(
    bob.application.heard.slice(-3).map(({ what }) => what),
    ["491", "ACK", "200"],
  );
  assert.ok(alice.isIdle, JSON.stringify(alice.endpoint.facts));
  assert.ok(bob.isIdle, JSON.stringify(bob.endpoint.facts));
});

scenario("a copy of the INVITE gets the last response and no second 100", async (stage) => {
  const srf = await stage.application();
  const invited = offered(srf, "invite");
  const alice = await stage.udpPeer();
  const call = alice.call(`sip:answer@127.0.0.1:${stage.udpPort}`);
  call.invite();
  const { res } = await invited;
  await alice.next(aResponse(100));
  res.send(180);
  const ringing = await alice.next(aResponse(180));
  call.again();
  assert.equal((await alice.next(aResponse(180))).toTag, ringing.toTag);
  res.send(486);
  const busy = await alice.next(aResponse(486));
  assert.equal(busy.toTag, ringing.toTag);
  assert.equal(headerValue(busy, "contact"), undefined);
  call.ackFailure(busy);
  assert.equal(alice.count(aResponse(100)), 1);
});

for (const [status, headers] of [
  [486, {}],
  [302, { Contact: "<sip:elsewhere@127.0.0.1>" }],
  [603, { Reason: 'SIP;cause=603;text="no"' }],
] as const)
  scenario(
    `a refusal with ${status} is repeated until its ACK, which the application never sees`,
    async (stage) => {
      const srf = await stage.application();
      const invited = offered(srf, "invite");
      const alice = await stage.udpPeer();
      const call = alice.call(`sip:answer@127.0.0.1:${stage.udpPort}`);
      call.invite();
      const { res } = await invited;
      res.send(status, { headers });
      const first = await alice.next(aResponse(status));
      for (const [name, value] of Object.entries(headers)) assert.equal(headerValue(first, name.toLowerCase()), value);
      call.ackFailure(await alice.next(aResponse(status)));
      await until(() => stage.server.endpoint.facts.transactions === 0, "transaction forgotten after Timer I");
    },
    QUICK,
  );

scenario(
  "a lost 200 is sent again until the ACK comes",
  async (stage) => {
    const srf = await stage.application();
    const invited = offered(srf, "invite");
    const alice = await stage.udpPeer();
    const call = alice.call(`sip:answer@127.0.0.1:${stage.udpPort}`);
    call.invite();
    const { req, res } = await invited;
    const dialog = await srf.createUAS(req, res, { localSdp: SDP });
    await call.answered();
    await alice.next(isAnswer as never);
    await alice.next(isAnswer as never);
    const acknowledged = event(dialog, "ack");
    call.ack();
    await acknowledged;
    const copies = alice.count(isAnswer);
    call.ack(); // a copy of the ACK is absorbed
    call.request("INFO");
    await alice.next(aResponse(200, "INFO"));
    assert.equal(alice.count(isAnswer), copies);
  },
  QUICK,
);

scenario(
  "without an ACK the call ends after 64 T1: BYE, and the application is told why",
  async (stage) => {
    const srf = await stage.application();
    const invited = offered(srf, "invite");
    const alice = await stage.udpPeer();
    const call = alice.call(`sip:answer@127.0.0.1:${stage.udpPort}`);
    call.invite();
    const { req, res } = await invited;
    const dialog = await srf.createUAS(req, res, { localSdp: SDP });
    const why = new Promise((resolve) => dialog.once("destroy", (_bye, reason) => resolve(reason)));
    const bye = await alice.next(aRequest("BYE"));
    assert.equal(headerValue(bye, "reason"), 'SIP;cause=200;text="ACK timeout"');
    alice.respond(bye, 200, "OK");
    assert.equal(await why, "ACK timeout");
    assert.equal(stage.server.endpoint.facts.dialogs, 0);
  },
  QUICK,
);

scenario("CANCEL before the application reacts: 200, 487, and the application hears of it", async (stage) => {
  const srf = await stage.application();
  const invited = offered(srf, "invite");
  const alice = await stage.udpPeer();
  const call = alice.call(`sip:answer@127.0.0.1:${stage.udpPort}`);
  call.invite();
  const { req, res } = await invited;
  const cancelled = event<Req>(req, "cancel");
  call.cancel();
  const ok = await alice.next(aResponse(200, "CANCEL"));
  const terminated = await alice.next(aResponse(487, "INVITE"));
  assert.equal(ok.toTag, terminated.toTag);
  call.ackFailure(terminated);
  assert.equal((await cancelled).method, "CANCEL");
  const late = new Promise((resolve) => res.send(200, { body: SDP }, (error) => resolve(error)));
  assert.equal(await late, "Response not sent due to unknown transaction");
});

scenario("CANCEL while it rings: one To tag throughout", async (stage) => {
  const srf = await stage.application();
  const invited = offered(srf, "invite");
  const alice = await stage.udpPeer();
  const call = alice.call(`sip:answer@127.0.0.1:${stage.udpPort}`);
  call.invite();
  const { req, res } = await invited;
  const cancelled = event(req, "cancel");
  res.send(180);
  const ringing = await alice.next(aResponse(180));
  call.cancel();
  const terminated = await alice.next(aResponse(487, "INVITE"));
  assert.equal(terminated.toTag, ringing.toTag);
  call.ackFailure(terminated);
  await cancelled;
  assert.equal(stage.server.endpoint.facts.dialogs, 0);
});

scenario("CANCEL that crosses our 200 has no effect; the caller acknowledges and ends", async (stage) => {
  const srf = await stage.application();
  const invited = offered(srf, "invite");
  const alice = await stage.udpPeer();
  const call = alice.call(`sip:answer@127.0.0.1:${stage.udpPort}`);
  call.invite();
  const { req, res } = await invited;
  const dialog = await srf.createUAS(req, res, { localSdp: SDP });
  call.cancel();
  await alice.next(aResponse(200, "CANCEL"));
  await call.answered();
  const ended = event(dialog, "destroy");
  call.ack();
  call.request("BYE");
  await alice.next(aResponse(200, "BYE"));
  await ended;
});

scenario("a re-INVITE of the caller reaches the application; its ACK too", async (stage) => {
  const { alice, call, dialog } = await answeredCall(stage);
  const held = SDP.replace("t=0 0", "a=sendonly\r\nt=0 0");
  dialog.on("modify", (_req, res) => res.send(200, { body: SDP.replace("40000", "40002") }));
  call.reinvite(held);
  const answer = await alice.next(aResponse(200, "INVITE"));
  assert.match(answer.body, /40002/);
  const acknowledged = event(dialog, "ack");
  call.ack();
  await acknowledged;
  assert.equal(dialog.remote.sdp, held);
});

scenario("a refresh is answered by drachtio-srf itself", async (stage) => {
  const { alice, call, dialog } = await answeredCall(stage);
  const refreshed = event(dialog, "refresh");
  call.reinvite();
  await refreshed;
  assert.equal((await alice.next(aResponse(200, "INVITE"))).body, SDP);
  call.ack();
});

scenario("the application re-INVITEs the caller", async (stage) => {
  const { alice, dialog, call } = await answeredCall(stage);
  const answered = dialog.modify(SDP.replace("40000", "40004"));
  const invite = await alice.next(aRequest("INVITE"));
  assert.match(invite.body, /40004/);
  assert.equal(invite.uri, `sip:peer@127.0.0.1:${alice.port}`);
  alice.respond(invite, 100, "Trying");
  alice.respond(invite, 180, "Ringing"); // after a 1xx the C++ server loses the 200
  alice.respond(invite, 200, "OK", { body: SDP });
  assert.equal(await answered, SDP);
  const ack = await alice.next(aRequest("ACK"));
  assert.equal(ack.cseq.number, invite.cseq.number);
  assert.equal(ack.fromTag, call.toTag);
});

scenario("re-INVITEs that cross: the caller's gets 491, and so does ours (RFC 3261 §14)", async (stage) => {
  const { alice, dialog, call } = await answeredCall(stage);
  const refused = assert.rejects(dialog.modify(SDP.replace("40000", "40004")), { status: 491 });
  const invite = await alice.next(aRequest("INVITE"));
  call.reinvite();
  await alice.next(aResponse(491, "INVITE"));
  alice.respond(invite, 491, "Request Pending");
  await refused;
  await alice.next(aRequest("ACK"));
});

scenario("INFO, MESSAGE, UPDATE, OPTIONS and REFER inside the dialog", async (stage) => {
  const { alice, call, dialog } = await answeredCall(stage);
  for (const method of ["INFO", "MESSAGE", "UPDATE", "OPTIONS", "REFER"]) {
    dialog.once(method.toLowerCase(), (req, res) => res.send(200, { headers: { "X-Said": req.get("X-Say") } }));
    call.request(method, [`X-Say: ${method}`, "Refer-To: <sip:carol@127.0.0.1>"]);
    assert.equal(headerValue(await alice.next(aResponse(200, method)), "x-said"), method);
  }
});

scenario("INFO from the application to the caller", async (stage) => {
  const { alice, dialog } = await answeredCall(stage);
  const answered = dialog.request({ method: "INFO", headers: { "Content-Type": "application/dtmf" }, body: "5" });
  const info = await alice.next(aRequest("INFO"));
  assert.equal(info.body, "5");
  assert.equal(headerValue(info, "content-type"), "application/dtmf");
  alice.respond(info, 200, "OK");
  assert.equal((await answered).status, 200);
});

scenario("a request of the caller with an old CSeq gets 500", async (stage) => {
  const { alice, call } = await answeredCall(stage);
  call.cseq = 8;
  call.request("INFO");
  await alice.next(aResponse(200, "INFO"));
  call.cseq = 4;
  call.request("INFO");
  await alice.next(aResponse(500, "INFO"));
});

for (const method of ["OPTIONS", "MESSAGE", "REGISTER"] as const)
  scenario(`${method} outside a dialog is the application's`, async (stage) => {
    const srf = await stage.application();
    const asked = offered(srf, method.toLowerCase() as "options");
    const alice = await stage.udpPeer();
    const call = alice.call(`sip:here@127.0.0.1:${stage.udpPort}`);
    call.request(method);
    const { res } = await asked;
    res.send(200, { headers: { Allow: "INVITE" } });
    const answer = await alice.next(aResponse(200, method));
    assert.equal(headerValue(answer, "allow"), "INVITE");
    assert.notEqual(answer.toTag, "");
  });

scenario("what belongs to no dialog gets 481, what nobody knows 501", async (stage) => {
  await stage.application();
  const alice = await stage.udpPeer();
  for (const [method, status] of [
    ["BYE", 481],
    ["UPDATE", 481],
    ["PRACK", 481],
    ["CANCEL", 481],
    ["DANCE", 501],
  ] as const) {
    alice.call(`sip:here@127.0.0.1:${stage.udpPort}`).request(method);
    await alice.next(aResponse(status, method));
  }
  const lost = alice.call(`sip:here@127.0.0.1:${stage.udpPort}`);
  lost.toTag = "nobody";
  lost.invite();
  lost.ackFailure(await alice.next(aResponse(481, "INVITE")));
});

scenario("the same INVITE by two paths: the second gets 482 (RFC 3261 §8.2.2.2)", async (stage) => {
  const srf = await stage.application();
  const invited = offered(srf, "invite");
  const alice = await stage.udpPeer();
  const call = alice.call(`sip:here@127.0.0.1:${stage.udpPort}`);
  call.invite();
  await invited;
  call.invite();
  await alice.next(aResponse(482, "INVITE"));
});

scenario(
  "a reliable provisional is repeated until PRACK, which the application answers",
  async (stage) => {
    const srf = await stage.application();
    const invited = offered(srf, "invite");
    const alice = await stage.udpPeer();
    const call = alice.call(`sip:answer@127.0.0.1:${stage.udpPort}`, { headers: ["Supported: 100rel"] });
    call.invite();
    const { req, res } = await invited;
    res.send(183, { headers: { Require: "100rel" }, body: SDP });
    const progress = call.learn(await alice.next(aResponse(183)));
    const rseq = Number(headerValue(progress, "rseq"));
    assert.ok(rseq >= 1 && rseq < 2 ** 31);
    assert.notEqual(headerValue(progress, "contact"), undefined);
    await alice.next(aResponse(183)); // repeated
    call.request("PRACK", [`RAck: ${rseq + 6} 1 INVITE`]);
    await alice.next(aResponse(481, "PRACK"));
    call.request("PRACK", [`RAck: ${rseq} 1 INVITE`]);
    await until(
      () => alice.count(aResponse(200, "PRACK")) + alice.count(aResponse(404, "PRACK")) > 0,
      "PRACK answered",
    );
    const copies = alice.count(aResponse(183));
    await srf.createUAS(req, res, { localSdp: SDP });
    await alice.next(aResponse(200, "INVITE"));
    call.cseq = 1;
    call.ack();
    assert.equal(alice.count(aResponse(183)), copies);
  },
  QUICK,
);

scenario("a reliable provisional to a caller who cannot: refused", async (stage) => {
  const srf = await stage.application();
  const invited = offered(srf, "invite");
  const alice = await stage.udpPeer();
  alice.call(`sip:answer@127.0.0.1:${stage.udpPort}`).invite();
  const { res } = await invited;
  const refused = await new Promise((resolve) => res.send(183, { headers: { Require: "100rel" } }, resolve));
  assert.equal(refused, "Remote endpoint does not support 100rel");
});

scenario(
  "an INVITE no application reacts to gets 408 while the caller still waits",
  async (stage) => {
    const srf = await stage.application();
    const invited = offered(srf, "invite");
    const alice = await stage.udpPeer();
    const call = alice.call(`sip:answer@127.0.0.1:${stage.udpPort}`);
    call.invite();
    const { req } = await invited;
    const cancelled = event(req, "cancel");
    call.ackFailure(await alice.next(aResponse(408, "INVITE")));
    await cancelled;
  },
  QUICK,
);

scenario("an INVITE without Contact gets 400", async (stage) => {
  await stage.application();
  const alice = await stage.udpPeer();
  const call = alice.call(`sip:answer@127.0.0.1:${stage.udpPort}`);
  const lines = call.lines("INVITE", alice.branch()).filter((line) => !line.startsWith("Contact"));
  alice.sendText(`${lines.join("\r\n")}\r\nContent-Length: 0\r\n\r\n`);
  assert.equal((await alice.next(aResponse(400))).reason, "Missing Contact");
});

scenario("UTF-8 and long headers pass through both ways, byte for byte", async (stage) => {
  const srf = await stage.application();
  const invited = offered(srf, "invite");
  const alice = await stage.udpPeer();
  const long = "x".repeat(9_000);
  const latin = Buffer.from("Zoë 日本", "utf8").toString("latin1");
  const call: Call = alice.call(`sip:answer@127.0.0.1:${stage.udpPort}`, {
    headers: [`X-Long: ${long}`, `Subject: ${latin}`],
  });
  call.invite();
  const { req, res } = await invited;
  assert.equal(req.get("X-Long"), long);
  assert.equal(req.get("subject"), "Zoë 日本");
  res.send(200, { body: "grüße", headers: { "Content-Type": "text/plain", "X-Name": "Zoë" } });
  const answer = await call.answered();
  assert.equal(Buffer.from(answer.body, "latin1").toString("utf8"), "grüße");
  assert.equal(headerValue(answer, "content-length"), "7");
  call.ack();
});

scenario(
  "at its bound the server refuses new calls, and the calls it has go on",
  async (stage) => {
    const srf = await stage.application();
    srf.invite((req, res) => void srf.createUAS(req, res, { localSdp: SDP }));
    const alice = await stage.udpPeer();
    const calls: Call[] = [];
    for (let count = 0; count < 10; count++) {
      const call = alice.call(`sip:answer@127.0.0.1:${stage.udpPort}`);
      call.invite();
      await call.answered();
      call.ack();
      calls.push(call);
    }
    const refused = alice.call(`sip:answer@127.0.0.1:${stage.udpPort}`);
    refused.invite();
    refused.ackFailure(await alice.next(aResponse(503, "INVITE")));
    calls[0]?.request("BYE");
    await alice.next(aResponse(200, "BYE"));
    const taken = alice.call(`sip:answer@127.0.0.1:${stage.udpPort}`);
    taken.invite();
    await taken.answered();
  },
  { dialogsMax: 10 },
);
