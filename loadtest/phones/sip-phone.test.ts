import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { after, test } from "node:test";
import { SipPhone } from "./sip-phone.ts";
import type { WhenCalled } from "./when-called.ts";

const open: SipPhone[] = [];
after(() => Promise.all(open.map((phone) => phone.close())));

async function pair(whenCalled: WhenCalled): Promise<{ caller: SipPhone; agent: SipPhone }> {
  const caller = await SipPhone.open({ host: "127.0.0.1", port: 0, user: "+4930111", t1Ms: 50 });
  const agent = await SipPhone.open({ host: "127.0.0.1", port: 0, user: "alice", t1Ms: 50, whenCalled });
  open.push(caller, agent);
  return { caller, agent };
}

test("two phones talk: each hears the other's tone, a digit arrives, the caller hangs up", async () => {
  const { caller, agent } = await pair({ kind: "answer", afterMs: 30, toneHz: 700 });
  const call = await caller.dial({ uri: agent.uri, toneHz: 440 });
  await call.until("ringing");
  await call.until("answered");
  const rung = await agent.nextCall();
  await rung.until("confirmed");
  await Promise.all([
    call.probe.until((heard) => heard.durationMs() > 400 && heard.toneShare(700) > 0.9),
    rung.probe.until((heard) => heard.durationMs() > 400 && heard.toneShare(440) > 0.9),
  ]);
  await call.press("5");
  await rung.probe.until((heard) => heard.digits(101).some(({ digit }) => digit === "5"));
  call.hangUp();
  await Promise.all([call.until("ended"), rung.until("ended")]);
  assert.deepEqual([call.end?.by, rung.end?.by, rung.end?.how], ["us", "them", "bye"]);
  assert.equal(rung.count("in", "ACK"), 1);
});

test("the called phone hangs up by itself", async () => {
  const { caller, agent } = await pair({ kind: "answer", hangUpAfterMs: 50 });
  const call = await caller.dial({ uri: agent.uri });
  await call.until("ended");
  assert.deepEqual([call.end?.by, call.end?.how], ["them", "bye"]);
  const rung = await agent.nextCall();
  await rung.until("ended");
  assert.deepEqual([rung.end?.by, rung.end?.how], ["us", "bye"]);
});

test("a refusal ends the call with its status", async () => {
  const { caller, agent } = await pair({ kind: "refuse", status: 486, reason: "Busy Here" });
  const call = await caller.dial({ uri: agent.uri });
  await call.until("ended");
  assert.deepEqual([call.end?.how, call.end?.status], ["refused", 486]);
  await assert.rejects(call.until("answered"), /not answered: the call ended: refused with 486/);
});

test("a call that rings is cancelled: CANCEL, 487, ACK", async () => {
  const { caller, agent } = await pair({ kind: "ring" });
  const call = await caller.dial({ uri: agent.uri });
  await call.until("ringing");
  call.cancel();
  await call.until("ended");
  const rung = await agent.nextCall();
  await rung.until("ended");
  assert.deepEqual([call.end?.how, call.end?.status], ["cancel", 487]);
  assert.deepEqual([rung.end?.by, rung.end?.how, rung.count("in", "CANCEL")], ["them", "cancel", 1]);
});

test("hold and back: a re-INVITE is answered in the opposite direction's terms", async () => {
  const { caller, agent } = await pair({ kind: "answer" });
  const call = await caller.dial({ uri: agent.uri });
  await call.until("answered");
  assert.equal((await call.reinvite("sendonly")).status, 200);
  assert.equal((await call.reinvite("sendrecv")).status, 200);
  call.hangUp();
  await call.until("ended");
});

test("a silent phone: the caller gives up by Timer B", async () => {
  const caller = await SipPhone.open({ host: "127.0.0.1", port: 0, user: "+4930111", t1Ms: 10 });
  open.push(caller);
  const dead = createSocket("udp4");
  await new Promise<void>((resolve) => dead.bind(0, "127.0.0.1", resolve));
  const call = await caller.dial({ uri: `sip:x@127.0.0.1:${dead.address().port}` });
  await call.until("ended");
  assert.equal(call.end?.how, "timeout");
  assert.ok(call.count("out", "INVITE") >= 5);
  await new Promise<void>((resolve) => dead.close(() => resolve()));
});

test("waiting has an end: the message says what was waited for and what came", async () => {
  const { caller, agent } = await pair({ kind: "ring" });
  const call = await caller.dial({ uri: agent.uri });
  await call.until("ringing");
  await assert.rejects(call.until("answered", 30), /not answered within 30 ms \(so far: ringing\)/);
});

test("over TCP: a connection that is gone is made anew by whoever speaks next", async () => {
  const open4 = (user: string, whenCalled?: WhenCalled) =>
    SipPhone.open({ host: "127.0.0.1", port: 0, user, transport: "tcp", ...(whenCalled ? { whenCalled } : {}) });
  const caller = await open4("+4930112");
  const agent = await open4("bob", { kind: "answer" });
  open.push(caller, agent);
  const call = await caller.dial({ uri: agent.uri });
  await call.until("answered");
  const rung = await agent.nextCall();
  await rung.until("confirmed");
  caller.dropConnections();
  assert.equal((await rung.request("UPDATE")).status, 200);
  agent.dropConnections();
  call.hangUp();
  await Promise.all([call.until("ended"), rung.until("ended")]);
  assert.deepEqual([call.end?.status, rung.end?.by], [200, "them"]);
});

test("by SRTP: both hear each other, and nothing goes undeciphered", async () => {
  const { caller, agent } = await pair({ kind: "answer", toneHz: 700 });
  const call = await caller.dial({ uri: agent.uri, toneHz: 440, probe: { srtp: true } });
  await call.until("answered");
  const rung = await agent.nextCall();
  await Promise.all([
    call.probe.until((heard) => heard.durationMs() > 400 && heard.toneShare(700) > 0.9),
    rung.probe.until((heard) => heard.durationMs() > 400 && heard.toneShare(440) > 0.9),
  ]);
  assert.deepEqual([call.probe.undeciphered, rung.probe.undeciphered], [0, 0]);
});
