import assert from "node:assert/strict";
import { test } from "node:test";
import { asId, type CallId } from "../../../kernel/ids.ts";
import type { CallInput } from "../../core/call/call-execution.ts";
import type { RoutingDirective } from "../../core/call/contact-routing.ts";
import { inQueue, offer, queued, talking } from "./paper-calls.ts";
import { PaperPop, SDP_OF_PHONE } from "./paper-pop.ts";
import { ACME } from "./paper-tenant.ts";

const ACK: CallInput = { kind: "caller-acked" };
const BYE: CallInput = { kind: "caller-hung-up", reason: "BYE" };

test("ladder: greeted, queued, offered, joined, hung up by the caller", async () => {
  const pop = new PaperPop(ACME);
  const call = await inQueue(pop);
  await pop.region(queued(call));
  await pop.pass(2_000);
  assert.equal(pop.server.playing(call)?.items[0]?.kind, "file"); // music
  await pop.region(offer(call));
  await pop.says("agent", "200", call, { kind: "leg-answered", leg: pop.leg(call), sdp: SDP_OF_PHONE });
  assert.equal(pop.relay.heardByCaller(call), pop.leg(call));
  await pop.pass(1_000);
  await pop.says("caller", "BYE", call, BYE);
  assert.equal(
    pop.ladder(),
    `
     0  caller --> INVITE +498912345678
     0  caller <-- 200
     0  caller --> ACK
     0  caller --> digit 1
     0  region <-- enqueue
     0  region --> queued
  2000  region --> offer
  2000  agent  <-- INVITE sip:alice@127.30.0.1
  2000  agent  --> 200
  2000  region <-- offer-accepted
  3000  caller --> BYE
  3000  agent  <-- BYE normal
  3000  region <-- agent-released
`,
  );
  const [record] = pop.records();
  assert.equal(record?.endCode, "normal");
  assert.deepEqual(
    record?.segments.map(({ kind }) => kind),
    ["flow", "ringing", "queue", "agent"],
  );
  assert.deepEqual(pop.relay.calls, []);
  assert.deepEqual(pop.server.calls, []);
  assert.deepEqual([...pop.store.written.keys()], [call], "its record, until the region has it");
});

test("ladder: the agent rejects, the next one answers and hangs up first", async () => {
  const pop = new PaperPop(ACME);
  const call = await inQueue(pop);
  await pop.region(queued(call));
  await pop.region(offer(call));
  await pop.says("agent", "486", call, {
    kind: "leg-failed",
    leg: pop.leg(call),
    status: 486,
    detail: "Busy Here",
  });
  assert.equal(pop.relay.heardByCaller(call), "worker");
  await pop.region({ ...offer(call), offerId: asId<"offer">("o2") } as RoutingDirective);
  await pop.says("agent", "200", call, { kind: "leg-answered", leg: pop.leg(call, 2), sdp: SDP_OF_PHONE });
  await pop.says("agent", "BYE", call, { kind: "leg-hung-up", leg: pop.leg(call, 2), reason: "BYE" });
  assert.equal(
    pop.ladder(),
    `
     0  caller --> INVITE +498912345678
     0  caller <-- 200
     0  caller --> ACK
     0  caller --> digit 1
     0  region <-- enqueue
     0  region --> queued
     0  region --> offer
     0  agent  <-- INVITE sip:alice@127.30.0.1
     0  agent  --> 486
     0  region <-- offer-failed
     0  region --> offer
     0  agent  <-- INVITE sip:alice@127.30.0.1
     0  agent  --> 200
     0  region <-- offer-accepted
     0  agent  --> BYE
     0  caller <-- BYE normal
     0  region <-- agent-released
`,
  );
  assert.equal(pop.records()[0]?.endedBy, "agent");
});

test("a region that is away: music for ten seconds, then the flow's failure path, then goodbye", async () => {
  const pop = new PaperPop(ACME, { regionReachable: false });
  const call = await inQueue(pop);
  await pop.pass(9_900);
  assert.equal(pop.server.playing(call)?.items[0]?.kind, "file");
  assert.deepEqual(
    pop.signalling.asked.map(({ command }) => command),
    ["200"],
  );
  await pop.pass(200);
  await pop.promptEnds(call); // goodbye
  assert.deepEqual(
    pop.signalling.asked.map(({ command }) => command),
    ["200", "BYE"],
  );
});

test("a region that comes back hears who waits, with the time since when", async () => {
  const pop = new PaperPop(ACME);
  const call = await inQueue(pop);
  const enqueuedAtUnixMs = pop.world.unixMs();
  await pop.region(queued(call));
  pop.routing.goAway();
  await pop.pass(30_000);
  pop.routing.comeBack();
  const hello = pop.routing.reports.at(-1);
  assert.ok(hello?.kind === "hello");
  assert.deepEqual(
    hello.waiting.map(({ contactId, enqueuedAtUnixMs: since }) => [contactId, since]),
    [[call, enqueuedAtUnixMs]],
  );
});

test("the fourth call at once over a trunk of three is refused with 503 and Retry-After; an ended one makes room", async () => {
  const pop = new PaperPop(ACME);
  const calls = [await pop.ring(), await pop.ring(), await pop.ring()];
  const refused = await pop.ring();
  const last = pop.signalling.asked.at(-1);
  assert.equal(last?.call, refused);
  assert.match(`${last?.command} ${last?.detail}`, /^503 trunk.at-capacity, Retry-After \d+$/);
  const [first] = calls;
  assert.ok(first !== undefined);
  await pop.says("caller", "CANCEL", first, { kind: "caller-cancelled" });
  await pop.ring();
  assert.equal(pop.signalling.asked.at(-1)?.command, "200");
});

test("unknown numbers get 404, and strangers are not told anything useful", async () => {
  const pop = new PaperPop(ACME);
  await pop.ring("+15550100");
  assert.match(String(pop.signalling.asked.at(-1)?.detail), /^number.unknown/);
  await pop.ring("+498912345678", "192.0.2.1");
  assert.equal(pop.signalling.asked.at(-1)?.command, "403");
  assert.deepEqual(pop.signalling.trusted, ["127.20.0.0/24", "127.20.0.9/32", "127.30.0.0/24"]);
});

test("a snapshot that makes no sense is refused whole, and calls go on by the old one", async () => {
  const pop = new PaperPop(ACME);
  const refused = pop.calls.apply({ ...ACME, version: 2, flows: [], queues: [] });
  assert.ok(!refused.ok && refused.failure.mistakes.length >= 1);
  assert.equal(pop.calls.appliedVersion(), 1);
  await pop.ring();
  assert.equal(pop.signalling.asked.at(-1)?.command, "200");
});

test("draining: new calls get 503, the one that runs goes on, the rest is hung up at the deadline", async () => {
  const pop = new PaperPop(ACME);
  const call = await inQueue(pop);
  let finished = false;
  void pop.calls.finish(20_000).then(() => {
    finished = true;
  });
  await pop.ring();
  assert.match(String(pop.signalling.asked.at(-1)?.detail), /^pop.draining/);
  assert.equal(pop.signalling.serving(), false);
  await pop.pass(19_000);
  assert.equal(finished, false);
  await pop.pass(1_100);
  assert.equal(finished, true);
  assert.deepEqual(
    pop.records().map(({ contactId, endCode }) => [contactId, endCode]),
    [[call, "pop.drained"]],
  );
});

test("a prompt that cannot be spoken: the default treatment, then the call is released; never dead air", async () => {
  const pop = new PaperPop(ACME);
  pop.prompts.missing.add("text/Welcome");
  const call = await pop.ring();
  await pop.says("caller", "ACK", call, ACK);
  assert.deepEqual(pop.prompts.asked.at(-1), { kind: "text", text: "Sorry" });
  await pop.promptEnds(call);
  assert.equal(pop.signalling.asked.at(-1)?.command, "BYE");
  assert.match(String(pop.records()[0]?.endCode), /^flow\./);
});

test("a checkpoint tells a twin everything: where the flow is, what plays, what is due when", async () => {
  const pop = new PaperPop(ACME);
  const call = await inQueue(pop);
  await pop.region(queued(call));
  const checkpoint = JSON.parse(pop.store.written.get(call) ?? "{}");
  assert.equal(checkpoint.v, 2);
  assert.equal(checkpoint.state.phase.place.name, "waiting");
  assert.equal(checkpoint.state.phase.playing.repeat, "forever");
  assert.equal(checkpoint.callerOffer, SDP_OF_PHONE);
  assert.deepEqual(checkpoint.flow, { id: "support", version: 1 });
  assert.deepEqual(checkpoint.dialogs, [{ leg: "caller", sipCallId: `sip-${call}`, role: "uas" }]);
  assert.ok(checkpoint.deadlinesUnixMs["call.limit"] > pop.world.unixMs());
});

test("an adapter that throws in the middle of a call costs that command alone: the call still ends, whole", async () => {
  const pop = new PaperPop(ACME);
  const call = await inQueue(pop);
  await pop.region(queued(call));
  await pop.region(offer(call));
  pop.signalling.cancelLeg = () => {
    throw new Error("not connected");
  };
  await pop.says("caller", "BYE", call, BYE);
  assert.deepEqual(
    pop.records().map(({ contactId, endCode }) => [contactId, endCode]),
    [[call, "abandoned"]],
  );
  assert.equal(pop.routing.reports.at(-1)?.kind, "cancel");
  assert.deepEqual(pop.relay.calls, []);
  assert.equal(pop.calls.presence().calls, 0);
});

test("a caller who moved its audio is found there again after the media worker was restarted", async () => {
  const pop = new PaperPop(ACME);
  const call = await inQueue(pop);
  const offers: string[] = [];
  const anchor = pop.relay.anchor.bind(pop.relay);
  pop.relay.anchor = (of, offered, worker) => {
    offers.push(offered);
    return anchor(of, offered, worker);
  };
  const moved = SDP_OF_PHONE.replaceAll("127.20.0.1", "127.20.0.77");
  await pop.says("caller", "INVITE", call, { kind: "reoffered", side: "caller", request: "1", sdp: moved });
  pop.server.lose();
  pop.calls.workerBack();
  await pop.settle();
  assert.deepEqual(offers, [moved]);
});

test("a media worker restarted during a conversation speaks to the caller when the far party has left", async () => {
  const pop = new PaperPop(ACME);
  const call = await pop.ring();
  await pop.says("caller", "ACK", call, ACK);
  await pop.promptEnds(call);
  await pop.presses(call, "9");
  await pop.says("agent", "200", call, { kind: "leg-answered", leg: pop.leg(call), sdp: SDP_OF_PHONE });
  pop.server.lose();
  pop.calls.workerBack();
  await pop.says("agent", "BYE", call, { kind: "leg-hung-up", leg: pop.leg(call), reason: "BYE" });
  assert.ok(pop.server.playing(call) !== undefined, "goodbye is played");
  await pop.promptEnds(call);
  assert.equal(pop.records()[0]?.endCode, "normal");
});

test("a media worker restarted before the caller's ACK still plays the greeting", async () => {
  const pop = new PaperPop(ACME);
  const call = await pop.ring();
  pop.server.lose();
  pop.calls.workerBack();
  await pop.says("caller", "ACK", call, ACK);
  assert.ok(pop.server.playing(call) !== undefined, "the greeting is played");
});

test("a clean stop waits for the media of every call, not of the last alone; and is not called off", async () => {
  const pop = new PaperPop(ACME);
  const slow = await pop.ring();
  await pop.ring();
  const release = pop.relay.release.bind(pop.relay);
  let letGo = () => {};
  pop.relay.release = async (call) => {
    if (call === slow) await new Promise<void>((resolve) => (letGo = resolve));
    await release(call);
  };
  let finished = false;
  void pop.calls.finish(1_000).then(() => {
    finished = true;
  });
  pop.calls.command({ kind: "drain", on: false });
  await pop.ring();
  assert.match(String(pop.signalling.asked.at(-1)?.detail), /^pop.draining/);
  await pop.pass(1_100);
  assert.equal(finished, false);
  letGo();
  await pop.settle();
  assert.equal(finished, true);
  assert.deepEqual(pop.relay.calls, []);
});

const refer = (pop: PaperPop, call: CallId, number: string | undefined, n = 1): CallInput => ({
  kind: "referred",
  side: pop.leg(call, n),
  request: "7",
  number,
});

test("ladder: the agent refers the caller to a number: both talk until the target is there, then the agent is let go", async () => {
  const pop = new PaperPop(ACME);
  const call = await talking(pop);
  await pop.says("agent", "REFER", call, refer(pop, call, "+4930123456"));
  assert.equal(pop.relay.heardByCaller(call), pop.leg(call));
  await pop.says("agent", "180 of the target", call, { kind: "leg-ringing", leg: pop.leg(call, 2), status: 180 });
  await pop.says("agent", "200 of the target", call, {
    kind: "leg-answered",
    leg: pop.leg(call, 2),
    sdp: SDP_OF_PHONE,
  });
  assert.equal(pop.relay.heardByCaller(call), pop.leg(call, 2));
  await pop.pass(1_000);
  await pop.says("agent", "BYE of the target", call, { kind: "leg-hung-up", leg: pop.leg(call, 2), reason: "BYE" });
  assert.equal(
    pop.ladder(),
    `
     0  caller --> INVITE +498912345678
     0  caller <-- 200
     0  caller --> ACK
     0  caller --> digit 1
     0  region <-- enqueue
     0  region --> queued
     0  region --> offer
     0  agent  <-- INVITE sip:alice@127.30.0.1
     0  agent  --> 200
     0  region <-- offer-accepted
     0  agent  --> REFER
     0  agent  <-- 202
     0  agent  <-- NOTIFY 100
     0  agent  <-- INVITE sip:+4930123456@127.20.0.9:5060
     0  agent  --> 180 of the target
     0  agent  <-- NOTIFY 180
     0  agent  --> 200 of the target
     0  agent  <-- NOTIFY 200, the last
     0  agent  <-- BYE transfer.done
     0  region <-- agent-released
  1000  agent  --> BYE of the target
  1000  caller <-- BYE normal
`,
  );
  const [record] = pop.records();
  assert.deepEqual(
    record?.segments.map(({ kind, outcome }) => `${kind} ${outcome}`),
    [
      "flow ended",
      "ringing answered",
      "queue answered",
      "ringing answered",
      "agent transferred",
      "transfer ended",
      "flow ended",
    ],
  );
});

test("ladder: the target of a REFER is busy: the referrer hears so, and the two talk on", async () => {
  const pop = new PaperPop(ACME);
  const call = await talking(pop);
  await pop.says("agent", "REFER", call, refer(pop, call, "+4930123456"));
  await pop.says("agent", "486 of the target", call, {
    kind: "leg-failed",
    leg: pop.leg(call, 2),
    status: 486,
    detail: "Busy Here",
  });
  assert.equal(pop.relay.heardByCaller(call), pop.leg(call));
  await pop.says("caller", "BYE", call, BYE);
  assert.equal(
    pop.ladder(),
    `
     0  caller --> INVITE +498912345678
     0  caller <-- 200
     0  caller --> ACK
     0  caller --> digit 1
     0  region <-- enqueue
     0  region --> queued
     0  region --> offer
     0  agent  <-- INVITE sip:alice@127.30.0.1
     0  agent  --> 200
     0  region <-- offer-accepted
     0  agent  --> REFER
     0  agent  <-- 202
     0  agent  <-- NOTIFY 100
     0  agent  <-- INVITE sip:+4930123456@127.20.0.9:5060
     0  agent  --> 486 of the target
     0  agent  <-- NOTIFY 486, the last
     0  caller --> BYE
     0  agent  <-- BYE normal
     0  region <-- agent-released
`,
  );
  assert.deepEqual(pop.relay.calls, []);
});

test("ladder: a referrer that hangs up at once leaves the caller with us until the target answers", async () => {
  const pop = new PaperPop(ACME);
  const call = await talking(pop);
  await pop.says("agent", "REFER", call, refer(pop, call, "+4930123456"));
  await pop.says("agent", "BYE", call, { kind: "leg-hung-up", leg: pop.leg(call), reason: "BYE" });
  assert.equal(pop.relay.heardByCaller(call), "worker");
  await pop.says("agent", "200 of the target", call, {
    kind: "leg-answered",
    leg: pop.leg(call, 2),
    sdp: SDP_OF_PHONE,
  });
  assert.equal(pop.relay.heardByCaller(call), pop.leg(call, 2));
  await pop.says("caller", "BYE", call, BYE);
  assert.equal(
    pop.ladder(),
    `
     0  caller --> INVITE +498912345678
     0  caller <-- 200
     0  caller --> ACK
     0  caller --> digit 1
     0  region <-- enqueue
     0  region --> queued
     0  region --> offer
     0  agent  <-- INVITE sip:alice@127.30.0.1
     0  agent  --> 200
     0  region <-- offer-accepted
     0  agent  --> REFER
     0  agent  <-- 202
     0  agent  <-- NOTIFY 100
     0  agent  <-- INVITE sip:+4930123456@127.20.0.9:5060
     0  agent  --> BYE
     0  region <-- agent-released
     0  agent  --> 200 of the target
     0  caller --> BYE
     0  agent  <-- BYE normal
`,
  );
});

test("a REFER that cannot be followed is refused: from the caller, to no number, a second one, and the target dies with the caller", async () => {
  const pop = new PaperPop(ACME);
  const call = await talking(pop);
  await pop.says("caller", "REFER", call, { kind: "referred", side: "caller", request: "2", number: "+4930123456" });
  await pop.says("agent", "REFER to a name", call, refer(pop, call, undefined));
  await pop.says("agent", "REFER", call, refer(pop, call, "+4930123456"));
  await pop.says("agent", "REFER again", call, refer(pop, call, "+4930123457"));
  await pop.says("caller", "BYE", call, BYE);
  assert.equal(
    pop.ladder(),
    `
     0  caller --> INVITE +498912345678
     0  caller <-- 200
     0  caller --> ACK
     0  caller --> digit 1
     0  region <-- enqueue
     0  region --> queued
     0  region --> offer
     0  agent  <-- INVITE sip:alice@127.30.0.1
     0  agent  --> 200
     0  region <-- offer-accepted
     0  caller --> REFER
     0  caller <-- 603
     0  agent  --> REFER to a name
     0  agent  <-- 404
     0  agent  --> REFER
     0  agent  <-- 202
     0  agent  <-- NOTIFY 100
     0  agent  <-- INVITE sip:+4930123456@127.20.0.9:5060
     0  agent  --> REFER again
     0  agent  <-- 491
     0  caller --> BYE
     0  agent  <-- CANCEL
     0  agent  <-- BYE normal
     0  region <-- agent-released
`,
  );
  assert.equal(pop.records().length, 1);
});
