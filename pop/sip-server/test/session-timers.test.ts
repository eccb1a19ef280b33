// Session timers (RFC 4028) between a phone, the server and its application, in simulated time.

import assert from "node:assert/strict";
import { test } from "node:test";
import { SimWorld } from "../../../kernel/sim/world.ts";
import { headerValue, type SipMessage } from "../core/message/message.ts";
import { SDP } from "./peer.ts";
import { type Heard, SimulatedHost } from "./simulated.ts";
import { acknowledged, SimulatedPhone } from "./simulated-phone.ts";

const SERVER = "10.0.0.1";
const ANSWER = SDP.replace("40000", "50000");

/** The phone calls, the application answers with `answer`'s headers. */
function called(headers: string[], answer = "") {
  const world = new SimWorld(1);
  const host = new SimulatedHost(world, SERVER);
  const { application } = host;
  const phone = new SimulatedPhone(world, SERVER);
  application.onHeard = (heard) => {
    if (
      heard.what === "INVITE" ||
      heard.what === "UPDATE" ||
      (heard.what === "BYE" && heard.transactionId !== "unsolicited")
    )
      application.say(`sip|${heard.transactionId}|\r\nSIP/2.0 200 OK\r\n${answer}\r\n${ANSWER}`);
  };
  const call = phone.call(`sip:app@${SERVER}`, { headers });
  call.invite();
  world.runFor(100);
  const response = acknowledged(phone, call);
  const startMs = world.nowMs();
  /** Runs until so long after the answer, roughly. */
  const until = (ms: number) => world.runFor(startMs + ms - world.nowMs());
  return { world, host, application, phone, call, response, until };
}
const reasons = (heard: readonly Heard[]) =>
  heard
    .filter(({ transactionId }) => transactionId === "unsolicited")
    .map(({ text }) => /text="([^"]*)"/.exec(text)?.[1]);
const expires = (message: SipMessage | undefined) => message && headerValue(message, "session-expires");
const kinds = (heard: readonly Heard[]) => heard.map(({ what }) => what).join(" ");

test("we refresh by re-INVITE at half the interval, with the description sent last; the application sees nothing of it", () => {
  const { application, phone, response, until, host } = called([
    "Supported: timer",
    "Session-Expires: 90;refresher=uas",
  ]);
  assert.equal(expires(response), "90;refresher=uas");
  assert.equal(headerValue(response, "require"), "timer");
  phone.onMessage = (message) => {
    if (message.kind === "request" && message.method === "INVITE")
      phone.respond(message, 200, "OK", {
        body: SDP,
        headers: ["Session-Expires: 90;refresher=uac", "Require: timer"],
      });
  };
  until(44_000);
  assert.equal(phone.requests("INVITE").length, 0);
  until(46_000);
  const [refresh] = phone.requests("INVITE");
  assert.ok(refresh !== undefined);
  assert.deepEqual([refresh.body, expires(refresh)], [ANSWER, "90;refresher=uac"]);
  assert.equal(phone.requests("ACK").length, 1);
  phone.respond(refresh, 200, "OK", { body: SDP }); // a copy: our ACK got lost
  until(46_500);
  assert.equal(phone.requests("ACK").length, 2);
  until(500_000);
  assert.ok(phone.requests("INVITE").length >= 10);
  assert.equal(kinds(application.heard), "INVITE ACK");
  assert.equal(host.endpoint.facts.dialogs, 1);
});

test("we refresh by UPDATE where the peer takes it; it answers 405 after all: by re-INVITE", () => {
  const { phone, until, application } = called([
    "Supported: timer",
    "Session-Expires: 90;refresher=uas",
    "Allow: INVITE, ACK, BYE, UPDATE",
  ]);
  phone.onMessage = (message) => {
    if (message.kind !== "request" || message.method === "ACK") return;
    if (message.method === "UPDATE" && phone.requests("UPDATE").length > 1) phone.respond(message, 405, "No");
    else phone.respond(message, 200, "OK", { headers: ["Session-Expires: 90;refresher=uac"] });
  };
  until(46_000);
  assert.deepEqual([phone.requests("UPDATE").length, phone.requests("INVITE").length], [1, 0]);
  assert.equal(phone.lastOf("UPDATE").body, "");
  until(92_000);
  assert.deepEqual([phone.requests("UPDATE").length, phone.requests("INVITE").length], [2, 1]);
  until(140_000);
  assert.deepEqual([phone.requests("UPDATE").length, phone.requests("INVITE").length], [2, 2]);
  assert.equal(kinds(application.heard), "INVITE ACK");
});

test("the peer should refresh, and does not: BYE before the interval is over, and the application is told", () => {
  const { phone, until, application, host } = called(["Supported: timer", "Session-Expires: 90;refresher=uac"]);
  phone.onMessage = (message) => {
    if (message.kind === "request" && message.method === "BYE") phone.respond(message, 200, "OK");
  };
  until(59_000);
  assert.equal(phone.requests("BYE").length, 0);
  until(61_000);
  assert.match(headerValue(phone.lastOf("BYE"), "reason") ?? "", /Session timer expired/);
  assert.deepEqual(reasons(application.heard), ["Session timer expired"]);
  until(200_000);
  assert.ok(host.isIdle, JSON.stringify(host.endpoint.facts));
});

test("the peer refreshes by re-INVITE; then an UPDATE makes us the refresher (RFC 4028 §9)", () => {
  const { phone, call, until, application, world } = called(["Supported: timer", "Session-Expires: 90;refresher=uac"]);
  until(50_000);
  call.request("INVITE", ["Supported: timer"], SDP);
  world.runFor(200);
  call.ack();
  until(100_000);
  assert.equal(phone.requests("BYE").length, 0, "110 s from here");
  call.request("UPDATE", ["Supported: timer", "Session-Expires: 120;refresher=uas"]);
  world.runFor(200);
  assert.equal(expires(phone.responses("UPDATE").at(-1)), "120;refresher=uas");
  phone.onMessage = (message) => {
    if (message.kind === "request" && message.method === "INVITE")
      phone.respond(message, 200, "OK", { headers: ["Session-Expires: 120;refresher=uac"] });
  };
  until(159_000);
  assert.equal(phone.requests("INVITE").length, 0);
  until(161_000);
  assert.equal(phone.requests("INVITE").length, 1);
  assert.equal(kinds(application.heard), "INVITE ACK INVITE ACK UPDATE");
});

test("too short an interval: 422 with Min-SE, without asking the application, in a dialog too", () => {
  const { phone, call, world, application } = called(["Supported: timer", "Session-Expires: 90;refresher=uac"]);
  const other = phone.call(`sip:app@${SERVER}`, { headers: ["Supported: timer", "Session-Expires: 60"] });
  other.invite();
  call.request("UPDATE", ["Supported: timer", "Session-Expires: 89"]);
  world.runFor(200);
  const refusals = phone.received.filter((message) => message.kind === "response" && message.status === 422);
  assert.deepEqual(refusals.map((refusal) => `${refusal.cseq.method} ${headerValue(refusal, "min-se")}`).sort(), [
    "INVITE 90",
    "UPDATE 90",
  ]);
  assert.equal(kinds(application.heard), "INVITE ACK");
});

test("the application asks for a session timer in its answer", () => {
  const { response, phone, until } = called([], "Session-Expires: 120;refresher=uac\r\n");
  assert.equal(expires(response), "120;refresher=uas", "the phone knows no session timers");
  phone.onMessage = (message) => {
    if (message.kind === "request" && message.method === "INVITE") phone.respond(message, 200, "OK", { body: SDP });
  };
  until(61_000);
  assert.equal(phone.requests("INVITE").length, 1);
  until(500_000);
  assert.equal(phone.requests("INVITE").length, 1, "its 2xx says nothing: no session timer any more");
});

for (const [status, headers, fromMs, toMs] of [
  [491, [], 0, 2_000], // the phone made the Call-ID
  [500, ["Retry-After: 3"], 3_000, 3_000],
] as const)
  test(`our refresh is refused with ${status}: again a little later`, () => {
    const { phone, until, world } = called(["Supported: timer", "Session-Expires: 600;refresher=uas"]);
    const atMs: number[] = [];
    phone.onMessage = (message) => {
      if (message.kind !== "request" || message.method !== "INVITE") return;
      atMs.push(world.nowMs());
      if (atMs.length === 1) phone.respond(message, status, "Later", { headers: [...headers] });
      else phone.respond(message, 200, "OK", { headers: ["Session-Expires: 600;refresher=uac"] });
    };
    until(310_000);
    const [first = 0, second = 0] = atMs;
    assert.equal(atMs.length, 2);
    assert.ok(second - first >= fromMs && second - first <= toMs + 60, `${second - first}`);
  });

for (const [what, status, reason] of [
  ["nobody answers our refresh", 0, "Session timer expired"],
  ["the peer does not know the dialog any more", 481, "Session timer expired"],
] as const)
  test(`${what}: BYE, and the application is told`, () => {
    const { phone, until, application, host } = called(["Supported: timer", "Session-Expires: 600;refresher=uas"]);
    phone.onMessage = (message) => {
      if (message.kind !== "request" || message.method === "ACK" || status === 0) return;
      phone.respond(message, status, "What call?");
    };
    until(340_000);
    assert.deepEqual(reasons(application.heard), [reason]);
    assert.ok(phone.requests("BYE").length >= 1);
    until(500_000);
    assert.ok(host.isIdle, JSON.stringify(host.endpoint.facts));
  });

/** The application calls the phone. */
function calling(headers: string, onInvite: (phone: SimulatedPhone, count: number) => void) {
  const world = new SimWorld(1);
  const host = new SimulatedHost(world, SERVER);
  const { application } = host;
  const phone = new SimulatedPhone(world, SERVER);
  phone.onMessage = (message) => {
    if (message.kind === "request" && message.method === "INVITE") onInvite(phone, phone.requests("INVITE").length);
  };
  let dialogId = "";
  application.onHeard = (heard) => {
    if (heard.what !== "200" || !heard.text.includes("INVITE")) return;
    ({ dialogId } = heard);
    application.request("ACK", dialogId);
  };
  application.say(`sip||\r\nINVITE sip:phone@127.0.0.1 SIP/2.0\r\n${headers}\r\n${SDP}`);
  world.runFor(1_000);
  return { world, host, application, phone, dialogId: () => dialogId };
}

test("a 422 to the application's INVITE: tried again with what it asks for, once, and the application sees the outcome", () => {
  const { world, application, phone } = calling("Session-Expires: 90\r\n", (of, count) => {
    if (count === 1) of.respond(of.lastOf("INVITE"), 422, "Too Small", { headers: ["Min-SE: 200"] });
    else of.respond(of.lastOf("INVITE"), 200, "OK", { headers: ["Session-Expires: 200;refresher=uac"], body: SDP });
  });
  const [first, second] = phone.requests("INVITE");
  assert.ok(first !== undefined && second !== undefined);
  assert.deepEqual([expires(first), expires(second), headerValue(second, "min-se")], ["90", "200", "200"]);
  assert.equal(headerValue(first, "supported"), "timer");
  assert.equal(second.cseq.number, first.cseq.number + 1);
  assert.deepEqual([second.callId, second.fromTag, second.body], [first.callId, first.fromTag, first.body]);
  assert.equal(kinds(application.heard), "200");
  assert.deepEqual(
    phone.requests("ACK").map(({ cseq }) => cseq.number),
    [first.cseq.number, second.cseq.number],
  );
  world.runFor(101_000);
  assert.equal(phone.requests("INVITE").length, 3, "and we refresh");
  assert.equal(phone.lastOf("INVITE").cseq.number, second.cseq.number + 1);
});

test("a second 422 is the application's", () => {
  const { application, phone } = calling("Session-Expires: 90\r\n", (of, count) =>
    of.respond(of.lastOf("INVITE"), 422, "Too Small", { headers: [`Min-SE: ${count * 200}`] }),
  );
  assert.equal(phone.requests("INVITE").length, 2);
  assert.equal(kinds(application.heard), "422");
});

test("a re-INVITE of the application carries the session timer on; one that is answered with 481 ends the call", () => {
  const { world, host, application, phone, dialogId } = calling("Session-Expires: 300\r\n", (of, count) => {
    if (count === 3) of.respond(of.lastOf("INVITE"), 481, "What call?");
    else of.respond(of.lastOf("INVITE"), 200, "OK", { headers: ["Session-Expires: 300;refresher=uas"], body: SDP });
  });
  application.say(`sip||${dialogId()}\r\nINVITE sip:placeholder SIP/2.0\r\n\r\n${SDP}`);
  world.runFor(1_000);
  assert.equal(expires(phone.lastOf("INVITE")), "300;refresher=uas");
  application.say(`sip||${dialogId()}\r\nINVITE sip:placeholder SIP/2.0\r\n\r\n${SDP}`);
  world.runFor(1_000);
  assert.ok(phone.requests("BYE").length >= 1);
  assert.deepEqual(reasons(application.heard), ["INVITE answered with 481"]);
  world.runFor(100_000);
  assert.ok(host.isIdle, JSON.stringify(host.endpoint.facts));
});
