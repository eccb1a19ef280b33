// What a request passes before an application hears of it, and how long it may ask: Require, Replaces, Expires.
// RFC 3261 §8.2.2.3, §13.3.1; RFC 3891.

import assert from "node:assert/strict";
import { headerValue, type SipResponse } from "../core/message/message.ts";
import { type Application, event, offered, QUICK, type Req, type Res, type Stage, scenario } from "./application.ts";
import { aRequest, aResponse, type Call, SDP, type UdpPeer } from "./peer.ts";

scenario(
  "Require: unknown tags get 420 with Unsupported, outside and inside a dialog; those of the application pass",
  async (stage) => {
    const { alice, call } = await answered(stage, ["Require: 100rel, siprec"]);
    const other = alice.call(`sip:answer@127.0.0.1:${stage.udpPort}`, { headers: ["Require: timer, teleport"] });
    other.invite();
    assert.equal(headerValue(await alice.next(aResponse(420)), "unsupported"), "teleport");
    call.request("INFO", ["Require: teleport"]);
    assert.equal(headerValue(await alice.next(aResponse(420, "INFO")), "unsupported"), "teleport");
    call.request("BYE");
    await alice.next(aResponse(200, "BYE"));
  },
  { appOptionTags: ["SIPREC"] },
);

async function answered(stage: Stage, headers: readonly string[] = []) {
  const srf = await stage.application();
  const alice = await stage.udpPeer();
  const { call, dialog } = await answer(stage, srf, alice, headers);
  return { srf, alice, call, dialog };
}

async function answer(stage: Stage, srf: Application, alice: UdpPeer, headers: readonly string[] = []) {
  const invited = offered(srf, "invite");
  const call = alice.call(`sip:answer@127.0.0.1:${stage.udpPort}`, { headers });
  call.invite();
  const { req, res } = await invited;
  const dialog = await srf.createUAS(req, res, { localSdp: SDP });
  await call.answered();
  call.ack();
  await event(dialog, "ack");
  return { call, dialog };
}

/** Our tag is the peer's To tag. */
const replaces = ({ facts, toTag }: Call, more = "") =>
  `Replaces: ${facts.callId};to-tag=${toTag};from-tag=${facts.tag}${more}`;

async function invites(stage: Stage, peer: UdpPeer, headers: readonly string[], status: number): Promise<SipResponse> {
  peer.call(`sip:answer@127.0.0.1:${stage.udpPort}`, { headers }).invite();
  return peer.next(aResponse(status));
}

scenario("an INVITE that replaces a call goes to the application that has the call, header and all", async (stage) => {
  const srf = await stage.application();
  const alice = await stage.udpPeer();
  const handle: ((offer: { req: Req; res: Res }) => void)[] = [];
  srf.invite((req, res) => handle.shift()?.({ req, res }));
  const offer = () => new Promise<{ req: Req; res: Res }>((resolve) => handle.push(resolve));
  const first = offer();
  const call = alice.call(`sip:answer@127.0.0.1:${stage.udpPort}`);
  call.invite();
  const { req, res } = await first;
  const dialog = await srf.createUAS(req, res, { localSdp: SDP });
  await call.answered();
  call.ack();
  let elsewhere = 0;
  const idle = await stage.application();
  idle.invite((_req, res) => {
    elsewhere++;
    res.send(500);
  });
  for (let round = 0; round < 3; round++) {
    const carol = await stage.udpPeer();
    const replacing = offer();
    carol.call(`sip:answer@127.0.0.1:${stage.udpPort}`, { headers: ["Require: replaces", replaces(call)] }).invite();
    const { req, res } = await replacing;
    const [callId = "", ...params] = req.get("Replaces").split(";");
    assert.equal(callId, dialog.sip.callId);
    assert.ok(params.includes(`to-tag=${dialog.sip.localTag}`));
    res.send(486);
    await carol.next(aResponse(486));
  }
  assert.equal(elsewhere, 0);
  call.request("BYE");
  await alice.next(aResponse(200, "BYE"));
});

scenario(
  "Replaces without a match, of an answered call with early-only, of an ended one, and unreadable",
  async (stage) => {
    const { alice, call } = await answered(stage);
    await invites(stage, alice, ["Replaces: nothing@here;to-tag=1;from-tag=2"], 481);
    const swapped = `Replaces: ${call.facts.callId};to-tag=${call.facts.tag};from-tag=${call.toTag}`;
    await invites(stage, alice, [swapped], 481);
    await invites(stage, alice, [replaces(call, ";early-only")], 486);
    await invites(stage, alice, [replaces(call), replaces(call)], 400);
    await invites(stage, alice, ["Replaces: x;to-tag=1"], 400);
    call.request("BYE");
    await alice.next(aResponse(200, "BYE"));
    await invites(stage, alice, [replaces(call)], 603);
  },
);

scenario(
  "where applications relay Replaces the server does not look at it",
  async (stage) => {
    const srf = await stage.application();
    const alice = await stage.udpPeer();
    const invited = offered(srf, "invite");
    alice
      .call(`sip:answer@127.0.0.1:${stage.udpPort}`, { headers: ["Replaces: nothing@here;to-tag=1;from-tag=2"] })
      .invite();
    (await invited).res.send(486);
    await alice.next(aResponse(486));
  },
  { replaces: "passed" },
);

scenario("an early call of ours may be picked up elsewhere; one that rings here may not", async (stage) => {
  const srf = await stage.application();
  const bob = await stage.udpPeer();
  const ringing = srf.createUAC(`sip:bob@127.0.0.1:${bob.port}`, { localSdp: SDP });
  const invite = await bob.next(aRequest("INVITE"));
  bob.respond(invite, 180, "Ringing");
  const picked = offered(srf, "invite");
  const early = `Replaces: ${invite.callId};to-tag=${invite.fromTag};from-tag=callee;early-only`;
  const carol = await stage.udpPeer();
  const refused = assert.rejects(ringing, { status: 480 });
  // Only once the 180 has been read is there a dialog; UDP keeps the order on one socket alone.
  bob.call(`sip:answer@127.0.0.1:${stage.udpPort}`, { headers: [early] }).invite();
  const { res } = await picked;
  res.send(183);
  const progress = await bob.next(aResponse(183));
  const here = `Replaces: ${progress.callId};to-tag=${progress.toTag};from-tag=${progress.fromTag}`;
  await invites(stage, carol, [here], 481);
  res.send(486);
  await bob.next(aResponse(486));
  bob.respond(invite, 480, "Gone");
  await refused;
});

scenario("an INVITE that has expired gets 487, and the application hears that it is over", async (stage) => {
  const srf = await stage.application();
  const invited = offered(srf, "invite");
  const alice = await stage.udpPeer();
  const call = alice.call(`sip:answer@127.0.0.1:${stage.udpPort}`, { headers: ["Expires: 1"] });
  call.invite();
  const { req, res } = await invited;
  const cancelled = event(req, "cancel");
  res.send(180);
  const gone = await alice.next(aResponse(487));
  call.ackFailure(gone);
  await cancelled;
});

scenario(
  "an INVITE of the application that nobody answers within its Expires is cancelled",
  async (stage) => {
    const srf = await stage.application();
    const bob = await stage.udpPeer();
    const calling = srf.createUAC(`sip:bob@127.0.0.1:${bob.port}`, { localSdp: SDP, headers: { Expires: "1" } });
    const refused = assert.rejects(calling, { status: 487 });
    const invite = await bob.next(aRequest("INVITE"));
    bob.respond(invite, 180, "Ringing");
    const cancel = await bob.next(aRequest("CANCEL"));
    bob.respond(cancel, 200, "OK");
    bob.respond(invite, 487, "Request Terminated");
    await refused;
  },
  QUICK,
);

scenario("a redirect of our INVITE is the application's to follow", async (stage) => {
  const srf = await stage.application();
  const bob = await stage.udpPeer();
  const calling = srf.createUAC(`sip:bob@127.0.0.1:${bob.port}`, { localSdp: SDP });
  const refused = assert.rejects(calling, { status: 302 });
  const invite = await bob.next(aRequest("INVITE"));
  bob.respond(invite, 302, "Moved", { headers: ["Contact: <sip:carol@127.0.0.1:1>"] });
  await refused;
  assert.equal(bob.count(aRequest("INVITE")), 1);
});

scenario("the Reason of a BYE reaches the application to the letter", async (stage) => {
  const { alice, call, dialog } = await answered(stage);
  const reason = 'Q.850;cause=16;text="Terminated", SIP;cause=200';
  const ended = event<Req>(dialog, "destroy");
  call.request("BYE", [`Reason: ${reason}`]);
  await alice.next(aResponse(200, "BYE"));
  assert.equal((await ended).get("Reason"), reason);
});

scenario("Warning and Reason of a refusal pass as the application wrote them", async (stage) => {
  const srf = await stage.application();
  const alice = await stage.udpPeer();
  const invited = offered(srf, "invite");
  alice.call(`sip:answer@127.0.0.1:${stage.udpPort}`).invite();
  const { res } = await invited;
  res.send(488, { headers: { Warning: '304 pop.example "media type not available"', Reason: "SIP;cause=488" } });
  const refusal = await alice.next(aResponse(488));
  assert.equal(headerValue(refusal, "warning"), '304 pop.example "media type not available"');
  assert.equal(headerValue(refusal, "reason"), "SIP;cause=488");
});
