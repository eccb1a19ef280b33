// A real drachtio-srf application that calls, the server, and a callee.

import assert from "node:assert/strict";
import { headersOf, headerValue } from "../core/message/message.ts";
import { event, QUICK, type Req, type Stage, scenario, until } from "./application.ts";
import { aRequest, aResponse, SDP, type UdpPeer } from "./peer.ts";

async function callTo(stage: Stage, bob: UdpPeer, options: Record<string, unknown> = {}) {
  const srf = await stage.application();
  const provisionals: number[] = [];
  let sent: (req: Req) => void = () => {};
  const asked = new Promise<Req>((resolve) => {
    sent = resolve;
  });
  const answered = srf.createUAC(
    `sip:bob@127.0.0.1:${bob.port}`,
    { localSdp: SDP, ...options },
    { cbRequest: (_error, req) => sent(req), cbProvisional: (res) => provisionals.push(res.status) },
  );
  answered.catch(() => {});
  const invite = await bob.next(aRequest("INVITE"));
  return { srf, answered, invite, provisionals, req: await asked };
}

scenario("a call rings, is answered and acknowledged; the application hangs up", async (stage) => {
  const bob = await stage.udpPeer();
  const { answered, invite, provisionals } = await callTo(stage, bob, {
    callingNumber: "1234",
    headers: { "X-In": "abc", Subject: "hello" },
  });
  const us = `127.0.0.1:${stage.udpPort}`;
  assert.equal(headerValue(invite, "from"), `<sip:1234@${us}>;tag=${invite.fromTag}`);
  assert.equal(headerValue(invite, "contact"), `<sip:1234@${us}>`);
  assert.equal(headerValue(invite, "x-in"), "abc");
  assert.equal(headerValue(invite, "max-forwards"), "70");
  assert.equal(headersOf(invite, "via").length, 1);
  bob.respond(invite, 100, "Trying");
  bob.respond(invite, 180, "Ringing");
  bob.respond(invite, 200, "OK", { body: SDP });
  const dialog = await answered;
  assert.deepEqual(provisionals, [180]);
  assert.equal(dialog.id, `${invite.callId};from-tag=${invite.fromTag}`);
  const ack = await bob.next(aRequest("ACK"));
  assert.equal(ack.cseq.number, invite.cseq.number);
  assert.equal(ack.toTag, "callee");
  assert.notEqual(ack.via.branch, invite.via.branch);
  const gone = dialog.destroy();
  const bye = await bob.next(aRequest("BYE"));
  assert.equal(bye.cseq.number, invite.cseq.number + 1);
  bob.respond(bye, 200, "OK");
  await gone;
  assert.equal(stage.server.endpoint.facts.dialogs, 0);
});

scenario("the callee hangs up", async (stage) => {
  const bob = await stage.udpPeer();
  const { answered, invite } = await callTo(stage, bob);
  bob.respond(invite, 200, "OK", { body: SDP });
  const dialog = await answered;
  await bob.next(aRequest("ACK"));
  const ended = event(dialog, "destroy");
  bob.requestTo(invite, "BYE", 1);
  await bob.next(aResponse(200, "BYE"));
  await ended;
});

scenario("a 200 sent again is acknowledged again, without asking the application", async (stage) => {
  const bob = await stage.udpPeer();
  const { answered, invite } = await callTo(stage, bob);
  bob.respond(invite, 200, "OK", { body: SDP });
  await answered;
  const first = await bob.next(aRequest("ACK"));
  bob.respond(invite, 200, "OK", { body: SDP });
  const again = await bob.next(aRequest("ACK"));
  assert.equal(again.via.branch, first.via.branch);
});

scenario(
  "a lost INVITE is sent again; nobody there at all is a 408",
  async (stage) => {
    const bob = await stage.udpPeer();
    const { answered } = await callTo(stage, bob);
    await bob.next(aRequest("INVITE"));
    await assert.rejects(answered, { status: 408 });
    // At 0, 1, 3, 7, 15, 31 T1; at 63 too, unless the wheel's ticks (8 ms here against a T1 of 20) have added up to one.
    assert.ok(bob.count(aRequest("INVITE")) >= 6);
  },
  QUICK,
);

for (const [status, reason] of [
  [486, "Busy Here"],
  [302, "Moved Temporarily"],
  [503, "Service Unavailable"],
] as const)
  scenario(`a refusal with ${status} reaches the application; its ACK is ours`, async (stage) => {
    const bob = await stage.udpPeer();
    const { answered, invite } = await callTo(stage, bob);
    bob.respond(invite, status, reason, { headers: ["X-Why: because"] });
    await assert.rejects(answered, { status, reason });
    const ack = await bob.next(aRequest("ACK"));
    assert.equal(ack.via.branch, invite.via.branch);
    bob.respond(invite, status, reason);
    await bob.next(aRequest("ACK"));
    assert.equal(stage.server.endpoint.facts.clientCalls, 0);
  });

scenario(
  "a CANCEL waits for the first provisional (RFC 3261 §9.1)",
  async (stage) => {
    const bob = await stage.udpPeer();
    const { answered, invite, req } = await callTo(stage, bob);
    req.cancel();
    await bob.next(aRequest("INVITE")); // a copy: T1 has passed
    assert.equal(bob.count(aRequest("CANCEL")), 0);
    bob.respond(invite, 180, "Ringing");
    const cancel = await bob.next(aRequest("CANCEL"));
    assert.equal(cancel.via.branch, invite.via.branch);
    assert.equal(cancel.cseq.number, invite.cseq.number);
    bob.respond(cancel, 200, "OK");
    bob.respond(invite, 487, "Request Terminated");
    await assert.rejects(answered, { status: 487 });
    await bob.next(aRequest("ACK"));
  },
  QUICK,
);

scenario("a CANCEL while it rings goes at once, with its Reason", async (stage) => {
  const bob = await stage.udpPeer();
  const { answered, invite, req, provisionals } = await callTo(stage, bob);
  bob.respond(invite, 183, "Session Progress", { body: SDP });
  await until(() => provisionals.length === 1, "183 seen");
  req.cancel({ headers: { Reason: 'SIP;cause=487;text="gone"' } });
  const cancel = await bob.next(aRequest("CANCEL"));
  assert.equal(headerValue(cancel, "reason"), 'SIP;cause=487;text="gone"');
  bob.respond(cancel, 200, "OK");
  bob.respond(invite, 487, "Request Terminated");
  await assert.rejects(answered, { status: 487 });
});

scenario(
  "a CANCEL whose INVITE never gets a final response: 487 after 64 T1",
  async (stage) => {
    const bob = await stage.udpPeer();
    const { answered, invite, req, provisionals } = await callTo(stage, bob);
    bob.respond(invite, 180, "Ringing");
    await until(() => provisionals.length === 1, "180 seen");
    req.cancel();
    bob.respond(await bob.next(aRequest("CANCEL")), 200, "OK");
    await assert.rejects(answered, { status: 487 });
  },
  QUICK,
);

scenario("a 200 that crosses our CANCEL is acknowledged, then ended, and the application is told", async (stage) => {
  const bob = await stage.udpPeer();
  const { answered, invite, req, provisionals } = await callTo(stage, bob);
  bob.respond(invite, 180, "Ringing");
  await until(() => provisionals.length === 1, "180 seen");
  req.cancel();
  const cancel = await bob.next(aRequest("CANCEL"));
  bob.respond(invite, 200, "OK", { body: SDP });
  bob.respond(cancel, 200, "OK");
  const dialog = await answered;
  const why = new Promise((resolve) => dialog.once("destroy", (_bye, reason) => resolve(reason)));
  await bob.next(aRequest("ACK"));
  const bye = await bob.next(aRequest("BYE"));
  assert.match(headerValue(bye, "reason") ?? "", /cancel race condition/);
  bob.respond(bye, 200, "OK");
  assert.equal(await why, "ACK-BYE due to cancel race condition");
});

scenario("a second 200, of another fork, is acknowledged and ended (RFC 3261 §13.2.2.4)", async (stage) => {
  const bob = await stage.udpPeer();
  const { answered, invite } = await callTo(stage, bob);
  bob.respond(invite, 180, "Ringing", { tag: "one" });
  bob.respond(invite, 180, "Ringing", { tag: "two" });
  bob.respond(invite, 200, "OK", { body: SDP, tag: "two" });
  const dialog = await answered;
  assert.equal((await bob.next(aRequest("ACK"))).toTag, "two");
  bob.respond(invite, 200, "OK", { body: SDP, tag: "one" });
  assert.equal((await bob.next(aRequest("ACK"))).toTag, "one");
  const bye = await bob.next(aRequest("BYE"));
  assert.equal(bye.toTag, "one");
  bob.respond(bye, 200, "OK");
  const info = dialog.request({ method: "INFO" });
  const asked = await bob.next(aRequest("INFO"));
  assert.equal(asked.toTag, "two");
  bob.respond(asked, 200, "OK");
  await info;
});

scenario("re-INVITE of the callee, of the application, INFO both ways, UPDATE", async (stage) => {
  const bob = await stage.udpPeer();
  const { answered, invite } = await callTo(stage, bob, { callingNumber: "77" });
  bob.respond(invite, 200, "OK", { body: SDP });
  const dialog = await answered;
  await bob.next(aRequest("ACK"));
  const contact = `<sip:77@127.0.0.1:${stage.udpPort}>`;

  dialog.on("modify", (_req, res) => res.send(200, { body: SDP }));
  bob.requestTo(invite, "INVITE", 10, { body: SDP.replace("40000", "40010") });
  assert.equal(headerValue(await bob.next(aResponse(200, "INVITE")), "contact"), contact);
  const acknowledged = event(dialog, "ack");
  bob.requestTo(invite, "ACK", 10);
  await acknowledged;

  const modified = dialog.modify(SDP.replace("40000", "40020"));
  const second = await bob.next(aRequest("INVITE"));
  bob.respond(second, 200, "OK", { body: SDP });
  assert.equal(await modified, SDP);
  assert.equal((await bob.next(aRequest("ACK"))).cseq.number, second.cseq.number);

  const update = dialog.request({ method: "UPDATE" });
  const updating = await bob.next(aRequest("UPDATE"));
  assert.equal(headerValue(updating, "contact"), contact);
  bob.respond(updating, 200, "OK");
  await update;

  const info = dialog.request({ method: "INFO", body: "1", headers: { "Content-Type": "application/dtmf" } });
  bob.respond(await bob.next(aRequest("INFO")), 200, "OK");
  assert.equal((await info).status, 200);

  bob.requestTo(invite, "INFO", 11);
  await bob.next(aResponse(200, "INFO"));
  bob.requestTo(invite, "UPDATE", 12);
  await bob.next(aResponse(200, "UPDATE"));
});

scenario("a reliable provisional is acknowledged with PRACK; a copy of it is not shown twice", async (stage) => {
  const bob = await stage.udpPeer();
  const { answered, invite, provisionals } = await callTo(stage, bob, { headers: { Supported: "100rel" } });
  const reliable = { headers: ["Require: 100rel", "RSeq: 71"], body: SDP };
  bob.respond(invite, 183, "Session Progress", reliable);
  const prack = await bob.next(aRequest("PRACK"));
  assert.equal(headerValue(prack, "rack"), `71 ${invite.cseq.number} INVITE`);
  assert.equal(prack.cseq.number, invite.cseq.number + 1);
  bob.respond(prack, 200, "OK");
  bob.respond(invite, 183, "Session Progress", reliable);
  bob.respond(invite, 200, "OK");
  await answered;
  assert.deepEqual(provisionals, [183]);
  assert.equal((await bob.next(aRequest("ACK"))).cseq.number, invite.cseq.number);
});

scenario("digest: the retry keeps Call-ID and tag, and its own CSeq", async (stage) => {
  const bob = await stage.udpPeer();
  const { answered, invite } = await callTo(stage, bob, { auth: { username: "u", password: "p" } });
  bob.respond(invite, 401, "Unauthorized", { headers: ['WWW-Authenticate: Digest realm="r", nonce="n"'] });
  await bob.next(aRequest("ACK"));
  const retry = await bob.next(aRequest("INVITE"));
  assert.equal(retry.callId, invite.callId);
  assert.equal(retry.fromTag, invite.fromTag);
  assert.equal(retry.cseq.number, invite.cseq.number + 1);
  assert.match(headerValue(retry, "authorization") ?? "", /^Digest username="u"/);
  bob.respond(retry, 200, "OK", { body: SDP });
  await answered;
  assert.match(headerValue(await bob.next(aRequest("ACK")), "authorization") ?? "", /^Digest/);
});

scenario("Record-Route of the answer becomes the Route of what follows", async (stage) => {
  const bob = await stage.udpPeer();
  const { answered, invite } = await callTo(stage, bob);
  const record = [`Record-Route: <sip:127.0.0.1:${bob.port};lr;x=2>, <sip:127.0.0.9;lr;x=1>`];
  bob.respond(invite, 200, "OK", { body: SDP, headers: record });
  // The proxy next to us is the last in the list: here it does not exist, so the ACK goes to nobody.
  await answered;
  const dialog = stage.server.endpoint.facts.dialogs;
  assert.equal(dialog, 1);
  assert.equal(bob.count(aRequest("ACK")), 0);
});

scenario("a proxy named by the application is the next hop, the Request-URI stays", async (stage) => {
  const srf = await stage.application();
  const bob = await stage.udpPeer();
  const answered = srf.createUAC("sip:bob@192.0.2.1", { localSdp: SDP, proxy: `sip:127.0.0.1:${bob.port}` });
  const invite = await bob.next(aRequest("INVITE"));
  assert.equal(invite.uri, "sip:bob@192.0.2.1");
  bob.respond(invite, 200, "OK", { body: SDP });
  await answered;
  await bob.next(aRequest("ACK"));
});

scenario("OPTIONS and MESSAGE outside a dialog", async (stage) => {
  const srf = await stage.application();
  const bob = await stage.udpPeer();
  const ping = await srf.request(`sip:127.0.0.1:${bob.port}`, { method: "OPTIONS" });
  const options = await bob.next(aRequest("OPTIONS"));
  const answered = event<{ status: number }>(ping, "response");
  bob.respond(options, 200, "OK");
  assert.equal((await answered).status, 200);
  const wrong = srf.request(`sip:127.0.0.1:${bob.port}`, { method: "MESSAGE", body: "hi" });
  await assert.rejects(wrong, /missing content-type/);
  const headers = { "Content-Type": "text/plain" };
  await srf.request(`sip:127.0.0.1:${bob.port}`, { method: "MESSAGE", body: "hi", headers });
  assert.equal((await bob.next(aRequest("MESSAGE"))).body, "hi");
});

scenario("what cannot be sent is refused in drachtio's words", async (stage) => {
  const srf = await stage.application();
  const bob = await stage.udpPeer();
  const call = (uri: string) => srf.createUAC(uri, { localSdp: SDP });
  await assert.rejects(call(`sip:me@127.0.0.1:${stage.udpPort}`), /can not send request to myself/);
  await assert.rejects(call(`sip:a@127.0.0.1:${bob.port};transport=ws`), /requested protocol\/transport not available/);
  const { answered, invite } = await callTo(stage, bob);
  bob.respond(invite, 200, "OK", { body: SDP });
  const dialog = await answered;
  bob.requestTo(invite, "BYE", 1);
  await bob.next(aResponse(200, "BYE"));
  await assert.rejects(dialog.request({ method: "INFO" }), { code: "ENODIALOG" });
  await assert.rejects(call("sip:a@no-such-host.invalid"), { status: 503 });
});

scenario("SUBSCRIBE makes a dialog, NOTIFY lives in it", async (stage) => {
  const srf = await stage.application();
  const bob = await stage.udpPeer();
  const headers = { Event: "presence", Expires: "60" };
  const subscribed = srf.createUAC(`sip:bob@127.0.0.1:${bob.port}`, { method: "SUBSCRIBE", headers });
  const subscribe = await bob.next(aRequest("SUBSCRIBE"));
  bob.respond(subscribe, 202, "Accepted");
  const dialog = await subscribed;
  const notified = event<Req>(dialog, "notify");
  dialog.on("notify", (_req: Req, res: { send(status: number): void }) => res.send(200));
  bob.requestTo(subscribe, "NOTIFY", 1, { headers: ["Event: presence", "Subscription-State: active"] });
  await bob.next(aResponse(200, "NOTIFY"));
  await notified;
});

scenario("an INVITE without offer: the application answers in its ACK", async (stage) => {
  const srf = await stage.application();
  const bob = await stage.udpPeer();
  const answered = srf.createUAC(`sip:bob@127.0.0.1:${bob.port}`, { noAck: true });
  const invite = await bob.next(aRequest("INVITE"));
  assert.equal(invite.body, "");
  bob.respond(invite, 200, "OK", { body: SDP });
  const { sdp, ack } = (await answered) as unknown as { sdp: string; ack(sdp: string): Promise<unknown> };
  assert.equal(sdp, SDP);
  const dialog = ack(SDP.replace("40000", "40100"));
  assert.match((await bob.next(aRequest("ACK"))).body, /40100/);
  await dialog;
});

scenario("a 200 without Contact is acknowledged and ended; drachtio-srf reports it", async (stage) => {
  const bob = await stage.udpPeer();
  const { answered, invite } = await callTo(stage, bob);
  const via = headerValue(invite, "via");
  const from = headerValue(invite, "from");
  const to = headerValue(invite, "to");
  const { callId, cseq } = invite;
  bob.sendText(
    `SIP/2.0 200 OK\r\nv: ${via}\r\nf: ${from}\r\nt: ${to};tag=q\r\ni: ${callId}\r\nCSeq: ${cseq.number} INVITE\r\nl: 0\r\n\r\n`,
  );
  await assert.rejects(answered, { status: 500 });
  await bob.next(aRequest("ACK"));
  bob.respond(await bob.next(aRequest("BYE")), 200, "OK");
  assert.equal(stage.server.endpoint.facts.dialogs, 0);
});

scenario("two re-INVITEs of the application at once: the second is told 491, the first goes on", async (stage) => {
  const bob = await stage.udpPeer();
  const { answered, invite } = await callTo(stage, bob);
  bob.respond(invite, 200, "OK", { body: SDP });
  const dialog = await answered;
  await bob.next(aRequest("ACK"));
  const first = dialog.request({ method: "INVITE", body: SDP });
  const second = await dialog.request({ method: "INVITE", body: SDP });
  assert.equal(second.status, 491);
  const third = await dialog.request({ method: "INVITE", body: SDP });
  assert.equal(third.status, 491);
  bob.respond(await bob.next(aRequest("INVITE")), 200, "OK", { body: SDP });
  assert.equal((await first).status, 200);
  await bob.next(aRequest("ACK"));
});
