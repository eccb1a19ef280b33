// What crosses on the wire inside a call: offers, UPDATE, PRACK, re-INVITE and BYE. RFC 3261 §14, 3262, 3311, 5407.

import assert from "node:assert/strict";
import { test } from "node:test";
import { SimWorld } from "../../../kernel/sim/world.ts";
import { headerValue, type SipMessage } from "../core/message/message.ts";
import { type Call, SDP } from "./peer.ts";
import { type Heard, SimulatedHost } from "./simulated.ts";
import { acknowledged, SimulatedPhone } from "./simulated-phone.ts";

const SERVER = "10.0.0.1";

function stage() {
  const world = new SimWorld(1);
  const host = new SimulatedHost(world, SERVER);
  const phone = new SimulatedPhone(world, SERVER);
  const { application } = host;
  const say = (heard: Heard, status: number, headers = "", body = "") =>
    application.say(`sip|${heard.transactionId}|\r\nSIP/2.0 ${status} Said\r\n${headers}\r\n${body}`);
  const last = (what: string) => {
    const heard = application.heard.findLast((one) => one.what === what);
    if (heard === undefined) throw new Error(`the application heard no ${what}`);
    return heard;
  };
  return { world, host, phone, application, say, last };
}

/** The phone has called, and the call is up. */
function callUp(answer = SDP) {
  const at = stage();
  const call = at.phone.call(`sip:app@${SERVER}`);
  call.invite();
  at.world.runFor(100);
  at.say(at.last("INVITE"), 200, "", answer);
  at.world.runFor(100);
  acknowledged(at.phone, call);
  at.world.runFor(100);
  const { dialogId } = at.last("INVITE").dialogId === "" ? at.last("ACK") : at.last("INVITE");
  return { ...at, call, dialogId };
}

/** The phone has called with 100rel, and a 183 with an answer is out. */
function progress() {
  const at = stage();
  const call = at.phone.call(`sip:app@${SERVER}`, { headers: ["Supported: 100rel"] });
  call.invite();
  at.world.runFor(100);
  const invite = at.last("INVITE");
  at.say(invite, 183, "Require: 100rel\r\n", SDP);
  at.world.runFor(100);
  const response = at.phone.responses("INVITE").at(-1);
  assert.ok(response?.status === 183);
  call.learn(response);
  return { ...at, call, invite };
}
/** For the latest reliable provisional. */
const prack = (call: Call) => {
  const rseq = call.peer.received
    .map((message) => headerValue(message, "rseq"))
    .findLast((number) => number !== undefined);
  call.request("PRACK", [`RAck: ${rseq} 1 INVITE`]);
};
const retryAfter = (message: SipMessage | undefined) => Number(message && headerValue(message, "retry-after"));
const last = (phone: SimulatedPhone, method: string) => phone.responses(method).at(-1);

test("an UPDATE with an offer while our re-INVITE's offer is open: 491; without one it passes (RFC 3311 §5.2)", () => {
  const { world, phone, application, call, dialogId } = callUp();
  application.say(`sip||${dialogId}\r\nINVITE sip:placeholder SIP/2.0\r\n\r\n${SDP}`);
  world.runFor(100);
  call.request("UPDATE", [], SDP);
  world.runFor(100);
  assert.equal(last(phone, "UPDATE")?.status, 491);
  call.request("UPDATE");
  world.runFor(100);
  assert.equal(application.count("UPDATE"), 1);
});

test("a second UPDATE, and an INVITE with an offer, before the first UPDATE is answered: 500 with Retry-After", () => {
  const { world, phone, application, call, say, last: heard } = callUp();
  call.request("UPDATE", [], SDP);
  world.runFor(100);
  call.request("UPDATE");
  world.runFor(100);
  const refused = last(phone, "UPDATE");
  assert.equal(refused?.status, 500);
  assert.ok(retryAfter(refused) >= 0 && retryAfter(refused) <= 10);
  call.request("INVITE", [], SDP);
  world.runFor(100);
  assert.equal(last(phone, "INVITE")?.status, 500);
  assert.equal(application.count("UPDATE"), 1);
  say(heard("UPDATE"), 200, "", SDP);
  world.runFor(100);
  call.request("UPDATE", [], SDP);
  world.runFor(100);
  assert.equal(application.count("UPDATE"), 2, "the exchange is over: the next may begin");
});

test("an offer that is refused is off the table", () => {
  const { world, phone, application, call, say, last: heard } = callUp();
  call.request("UPDATE", [], SDP);
  world.runFor(100);
  say(heard("UPDATE"), 488);
  world.runFor(100);
  assert.equal(last(phone, "UPDATE")?.status, 488);
  call.request("UPDATE", [], SDP);
  world.runFor(100);
  assert.equal(application.count("UPDATE"), 2);
});

test("the application's UPDATE with an offer while another offer is open is told 491, and does not leave", () => {
  const { world, phone, application, call, dialogId } = callUp();
  call.request("UPDATE", [], SDP);
  world.runFor(100);
  application.say(`sip||${dialogId}\r\nUPDATE sip:placeholder SIP/2.0\r\n\r\n${SDP}`);
  world.runFor(100);
  assert.equal(application.heard.at(-1)?.what, "491");
  assert.equal(phone.requests("UPDATE").length, 0);
});

test("UPDATE in an early dialog, both ways, once the 183's answer has its PRACK", () => {
  const { world, phone, application, call, say, last: heard, invite } = progress();
  call.request("UPDATE", [], SDP);
  world.runFor(100);
  assert.equal(application.count("UPDATE"), 1, "the answer was in the 183");
  say(heard("UPDATE"), 200, "", SDP);
  prack(call);
  world.runFor(100);
  say(heard("PRACK"), 200);
  application.say(`sip||${heard("PRACK").dialogId}\r\nUPDATE sip:placeholder SIP/2.0\r\n\r\n${SDP}`);
  world.runFor(100);
  phone.respond(phone.lastOf("UPDATE"), 200, "OK", { body: SDP });
  world.runFor(100);
  assert.match(application.heard.at(-1)?.text ?? "", /^SIP\/2\.0 200 [\s\S]*CSeq: \d+ UPDATE/);
  say(invite, 200);
  world.runFor(100);
  assert.equal(last(phone, "INVITE")?.status, 200);
});

test("a 2xx waits for the PRACK of a 183 that carries a description (RFC 3262 §3); one that does not is not waited for", () => {
  const { world, phone, application, call, say, invite } = progress();
  say(invite, 200);
  world.runFor(100);
  assert.equal(last(phone, "INVITE")?.status, 183);
  const { length } = application.replies;
  prack(call);
  world.runFor(100);
  assert.equal(last(phone, "INVITE")?.status, 200);
  assert.equal(application.replies.length, length + 1, "the application hears that it was sent when it is");

  const other = stage();
  const quick = other.phone.call(`sip:app@${SERVER}`, { headers: ["Supported: 100rel"] });
  quick.invite();
  other.world.runFor(100);
  other.say(other.last("INVITE"), 180, "Require: 100rel\r\n");
  other.say(other.last("INVITE"), 200, "", SDP);
  other.world.runFor(100);
  assert.equal(last(other.phone, "INVITE")?.status, 200);
});

test("a CANCEL while a 2xx waits for its PRACK: 487, and the application's 2xx was not sent", () => {
  const { world, phone, application, call, say, invite } = progress();
  say(invite, 200);
  const tag = call.toTag;
  call.toTag = "";
  call.target = call.facts.to;
  call.cancel();
  call.toTag = tag;
  world.runFor(100);
  assert.equal(last(phone, "INVITE")?.status, 487);
  assert.match(application.replies.at(-1) ?? "", /NOK\|Response not sent due to unknown transaction/);
});

test("PRACK: a copy gets the same answer, one for what is acknowledged already 481, silence 504 (RFC 3262 §3)", () => {
  const { world, phone, application, call, say, last: heard } = progress();
  prack(call);
  world.runFor(100);
  say(heard("PRACK"), 200);
  world.runFor(100);
  const sent = world.history.findLast(({ payload }) => String(payload).startsWith("PRACK"));
  phone.sendText(String(sent?.payload));
  world.runFor(100);
  assert.deepEqual(
    phone.responses("PRACK").map(({ status }) => status),
    [200, 200],
  );
  assert.equal(application.count("PRACK"), 1);
  prack(call);
  world.runFor(100);
  assert.equal(last(phone, "PRACK")?.status, 481);

  const other = progress();
  other.world.runFor(40_000);
  assert.equal(last(other.phone, "INVITE")?.status, 504);
  assert.equal(other.application.heard.at(-1)?.what, "CANCEL");
});

test("forks that send reliable provisionals: each PRACK goes into its own early dialog (RFC 3262 §7.2)", () => {
  const { world, phone, application } = stage();
  application.say(`sip||\r\nINVITE sip:phone@127.0.0.1 SIP/2.0\r\nSupported: 100rel\r\n\r\n${SDP}`);
  world.runFor(100);
  const invite = phone.lastOf("INVITE");
  for (const [tag, number] of [
    ["one", 70],
    ["two", 900],
  ] as const)
    phone.respond(invite, 183, "Progress", { tag, headers: ["Require: 100rel", `RSeq: ${number}`], body: SDP });
  world.runFor(100);
  const [first, second] = application.heard;
  assert.equal(first?.dialogId, second?.dialogId);
  for (const number of [70, 900])
    application.say(
      `sip||${first?.dialogId}\r\nPRACK sip:placeholder SIP/2.0\r\nRAck: ${number} ${invite.cseq.number} INVITE\r\n\r\n`,
    );
  world.runFor(100);
  assert.deepEqual(
    phone.requests("PRACK").map((request) => `${request.toTag} ${headerValue(request, "rack")?.split(" ")[0]}`),
    ["one 70", "two 900"],
  );
  phone.respond(invite, 200, "OK", { tag: "one", body: SDP });
  world.runFor(100);
  application.request("ACK", first?.dialogId ?? "");
  world.runFor(100);
  assert.equal(phone.lastOf("ACK").toTag, "one");
});

test("two re-INVITEs of the peer at once: 500 with a random Retry-After (RFC 3261 §14.2)", () => {
  const waits = new Set<number>();
  const { world, phone, call } = callUp();
  call.reinvite();
  world.runFor(100);
  for (let count = 0; count < 12; count++) {
    call.reinvite();
    world.runFor(100);
    assert.equal(last(phone, "INVITE")?.status, 500);
    waits.add(retryAfter(last(phone, "INVITE")));
  }
  assert.ok(waits.size > 1 && [...waits].every((seconds) => seconds >= 0 && seconds <= 10), [...waits].join());
});

test("the application's re-INVITE before the ACK to its 2xx is told 491, and does not leave (RFC 3261 §14.1)", () => {
  const { world, phone, application, say, last: heard } = stage();
  const call = phone.call(`sip:app@${SERVER}`);
  call.invite();
  world.runFor(100);
  say(heard("INVITE"), 200, "", SDP);
  application.say(
    `sip||${call.facts.callId};from-tag=${call.facts.tag}\r\nINVITE sip:placeholder SIP/2.0\r\n\r\n${SDP}`,
  );
  world.runFor(100);
  assert.equal(application.heard.at(-1)?.what, "491");
  assert.equal(phone.requests("INVITE").length, 0);
});

test("BYEs that cross: both are answered, the application hears only of its own (RFC 5407 §3.2)", () => {
  const { world, host, phone, application, call, dialogId } = callUp();
  application.request("BYE", dialogId);
  world.runFor(100);
  call.request("BYE");
  call.request("INFO");
  world.runFor(100);
  assert.equal(last(phone, "BYE")?.status, 200);
  assert.equal(last(phone, "INFO")?.status, 481);
  phone.respond(phone.lastOf("BYE"), 200, "OK");
  world.runFor(70_000);
  assert.deepEqual([application.count("BYE"), application.count("200")], [0, 1]);
  assert.ok(host.isIdle, JSON.stringify(host.endpoint.facts));
});

test("BYE in an early dialog: the caller's ends the INVITE with 487; the callee's may not leave (RFC 3261 §15)", () => {
  const { world, host, phone, application, call, say, last: heard, invite } = progress();
  application.request("BYE", `${call.facts.callId};from-tag=${call.facts.tag}`);
  world.runFor(100);
  assert.equal(application.heard.at(-1)?.what, "481");
  assert.equal(phone.requests("BYE").length, 0);
  call.request("BYE");
  world.runFor(100);
  assert.equal(last(phone, "INVITE")?.status, 487);
  say(heard("BYE"), 200);
  say(invite, 200);
  world.runFor(70_000);
  assert.equal(last(phone, "BYE")?.status, 200);
  assert.ok(host.isIdle, JSON.stringify(host.endpoint.facts));
});

test("a BYE that crosses our re-INVITE, and one that overtakes the answer to the peer's (RFC 5407 §3.1)", () => {
  const ours = callUp();
  ours.application.say(`sip||${ours.dialogId}\r\nINVITE sip:placeholder SIP/2.0\r\n\r\n${SDP}`);
  ours.world.runFor(100);
  ours.call.request("BYE");
  ours.world.runFor(100);
  ours.say(ours.last("BYE"), 200);
  ours.phone.respond(ours.phone.lastOf("INVITE"), 487, "Request Terminated");
  ours.world.runFor(70_000);
  assert.equal(last(ours.phone, "BYE")?.status, 200);
  assert.equal(ours.application.heard.at(-1)?.what, "487");
  assert.equal(ours.phone.requests("BYE").length, 0, "the dialog is gone: nobody ends it again");
  assert.ok(ours.host.isIdle, JSON.stringify(ours.host.endpoint.facts));

  const theirs = callUp();
  theirs.call.reinvite();
  theirs.world.runFor(100);
  theirs.call.request("BYE");
  theirs.world.runFor(100);
  assert.equal(theirs.phone.responses("INVITE").at(-1)?.status, 487);
  theirs.say(theirs.last("BYE"), 200);
  theirs.world.runFor(70_000);
  assert.equal(last(theirs.phone, "BYE")?.status, 200);
});

test("a re-INVITE without an offer: our 2xx offers, the ACK answers and reaches the application", () => {
  const { world, phone, application, call, say, last: heard } = callUp();
  call.request("INVITE");
  world.runFor(100);
  say(heard("INVITE"), 200, "", SDP);
  world.runFor(100);
  call.request("UPDATE", [], SDP);
  world.runFor(100);
  assert.equal(last(phone, "UPDATE")?.status, 491, "our offer has no answer yet");
  call.cseq--;
  call.ack(SDP);
  world.runFor(100);
  assert.match(application.heard.at(-1)?.text ?? "", /^ACK [\s\S]*\r\nm=audio/);
  call.cseq++;
  call.request("UPDATE", [], SDP);
  world.runFor(100);
  assert.equal(application.count("UPDATE"), 1);
});

for (const method of ["INFO", "UPDATE", "MESSAGE", "OPTIONS", "BYE", "INVITE"])
  test(`an application that never answers a ${method} in a dialog gets an answer sent for it`, () => {
    const { world, phone, host, call } = callUp();
    call.request(method, [], method === "INVITE" ? SDP : "");
    world.runFor(130_000);
    assert.equal(last(phone, method)?.status, method === "INVITE" ? 408 : 500);
    assert.equal(host.endpoint.facts.pendingRequests, 0);
    assert.equal(host.endpoint.facts.dialogs, method === "BYE" ? 0 : 1);
  });
