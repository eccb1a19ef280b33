// createB2BUA of a real drachtio-srf application between two parties.

import assert from "node:assert/strict";
import { headerValue } from "../core/message/message.ts";
import { event, offered, type Stage, scenario } from "./application.ts";
import { aRequest, aResponse, SDP } from "./peer.ts";

async function between(stage: Stage, more: Record<string, unknown> = {}) {
  const srf = await stage.application();
  const invited = offered(srf, "invite");
  const alice = await stage.udpPeer();
  const bob = await stage.udpPeer();
  const call = alice.call(`sip:bob@127.0.0.1:${stage.udpPort}`, { headers: ["X-Trace: 7", "Supported: 100rel"] });
  call.invite();
  const { req, res } = await invited;
  const joined = srf.createB2BUA(req, res, `sip:bob@127.0.0.1:${bob.port}`, {
    proxyRequestHeaders: ["X-Trace"],
    proxyResponseHeaders: ["X-Bob"],
    ...more,
  });
  joined.catch(() => {});
  const invite = await bob.next(aRequest("INVITE"));
  return { alice, bob, call, joined, invite };
}

async function joinedCall(stage: Stage) {
  const parts = await between(stage);
  const { alice, bob, call, joined, invite } = parts;
  assert.equal(headerValue(invite, "x-trace"), "7");
  bob.respond(invite, 180, "Ringing");
  assert.equal((await alice.next(aResponse(180))).status, 180);
  bob.respond(invite, 200, "OK", { body: SDP.replace("40000", "50000"), headers: ["X-Bob: yes"] });
  const answer = await call.answered();
  assert.match(answer.body, /50000/);
  assert.equal(headerValue(answer, "x-bob"), "yes");
  call.ack();
  await bob.next(aRequest("ACK"));
  const { uas, uac } = await joined;
  uas.on("destroy", () => void uac.destroy());
  uac.on("destroy", () => void uas.destroy());
  return { ...parts, uas, uac };
}

scenario("two parties are joined; the caller hangs up", async (stage) => {
  const { alice, bob, call } = await joinedCall(stage);
  call.request("BYE");
  await alice.next(aResponse(200, "BYE"));
  bob.respond(await bob.next(aRequest("BYE")), 200, "OK");
});

scenario("two parties are joined; the callee hangs up", async (stage) => {
  const { alice, bob, invite } = await joinedCall(stage);
  bob.requestTo(invite, "BYE", 1);
  await bob.next(aResponse(200, "BYE"));
  alice.respond(await alice.next(aRequest("BYE")), 200, "OK");
});

scenario("re-INVITE and INFO pass from one leg to the other", async (stage) => {
  const { alice, bob, call, uas, uac } = await joinedCall(stage);
  uas.on("modify", (req, res) => {
    void uac.modify(req.body).then((sdp) => res.send(200, { body: sdp }));
  });
  uas.on("info", (req, res) => {
    void uac.request({ method: "INFO", body: req.body, headers: { "Content-Type": "application/dtmf" } });
    res.send(200);
  });
  call.reinvite(SDP.replace("t=0 0", "a=sendonly\r\nt=0 0"));
  const second = await bob.next(aRequest("INVITE"));
  assert.match(second.body, /sendonly/);
  bob.respond(second, 200, "OK", { body: SDP });
  await alice.next(aResponse(200, "INVITE"));
  call.ack();
  await bob.next(aRequest("ACK"));
  call.request("INFO", [], "9");
  assert.equal((await bob.next(aRequest("INFO"))).body, "9");
});

scenario("the callee refuses: the caller hears the same", async (stage) => {
  const { alice, bob, call, joined, invite } = await between(stage);
  bob.respond(invite, 486, "Busy Here");
  call.ackFailure(await alice.next(aResponse(486)));
  await assert.rejects(joined, { status: 486 });
});

scenario("the caller gives up while it rings: the callee is cancelled", async (stage) => {
  const { alice, bob, call, joined, invite } = await between(stage);
  bob.respond(invite, 180, "Ringing");
  await alice.next(aResponse(180));
  call.cancel();
  await alice.next(aResponse(200, "CANCEL"));
  call.ackFailure(await alice.next(aResponse(487, "INVITE")));
  const cancel = await bob.next(aRequest("CANCEL"));
  bob.respond(cancel, 200, "OK");
  bob.respond(invite, 487, "Request Terminated");
  await assert.rejects(joined, { status: 487 });
});

scenario("a reliable provisional passes through, PRACK on both legs", async (stage) => {
  const { alice, bob, call, joined, invite } = await between(stage, {
    headers: { Supported: "100rel" },
    proxyResponseHeaders: ["require"],
  });
  bob.respond(invite, 183, "Session Progress", { headers: ["Require: 100rel", "RSeq: 5"], body: SDP });
  bob.respond(await bob.next(aRequest("PRACK")), 200, "OK");
  const progress = call.learn(await alice.next(aResponse(183)));
  const rseq = headerValue(progress, "rseq");
  call.request("PRACK", [`RAck: ${rseq} 1 INVITE`]);
  bob.respond(invite, 200, "OK", { body: SDP });
  await call.answered();
  call.cseq = 1;
  call.ack();
  const { uas } = await joined;
  const ended = event(uas, "destroy");
  call.cseq = 3;
  call.request("BYE");
  await alice.next(aResponse(200, "BYE"));
  await ended;
});
