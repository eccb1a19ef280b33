import assert from "node:assert/strict";
import { test } from "node:test";
import { inQueue, talking } from "./paper-calls.ts";
import { PaperPop, SDP_OF_PHONE } from "./paper-pop.ts";
import { ACME } from "./paper-tenant.ts";

test("ladder: the relay loses a call that talks; a re-INVITE to each side, and it goes on", async () => {
  const pop = new PaperPop(ACME);
  const call = await talking(pop);
  await pop.pass(1_000);
  pop.relay.forget(call);
  await pop.settle();
  assert.equal(pop.relay.heardByCaller(call), "worker");
  await pop.says("agent", "200 (re-INVITE)", call, {
    kind: "reinvite-answered",
    side: pop.leg(call),
    sdp: SDP_OF_PHONE,
  });
  await pop.says("caller", "200 (re-INVITE)", call, { kind: "reinvite-answered", side: "caller", sdp: SDP_OF_PHONE });
  assert.equal(pop.relay.heardByCaller(call), pop.leg(call));
  assert.equal(pop.server.sendsTo(call), undefined, "the worker is hushed again");
  await pop.pass(1_000);
  await pop.says("caller", "BYE", call, { kind: "caller-hung-up", reason: "BYE" });
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
  1000  caller <-- re-INVITE
  1000  agent  <-- re-INVITE
  1000  agent  --> 200 (re-INVITE)
  1000  caller --> 200 (re-INVITE)
  2000  caller --> BYE
  2000  agent  <-- BYE normal
  2000  region <-- agent-released
`,
  );
  assert.deepEqual(
    pop.records().map(({ endCode, reAnchored }) => [endCode, reAnchored]),
    [["normal", 1]],
  );
  assert.equal(pop.counts.filter(({ kind }) => kind === "re-anchored").length, 1);
  assert.deepEqual(pop.relay.calls, []);
});

test("a caller with music only: one re-INVITE, and the music was never begun anew", async () => {
  const pop = new PaperPop(ACME);
  const call = await inQueue(pop);
  const music = pop.server.playing(call)?.play;
  pop.relay.forget(call);
  await pop.settle();
  await pop.says("caller", "200 (re-INVITE)", call, { kind: "reinvite-answered", side: "caller", sdp: SDP_OF_PHONE });
  assert.match(pop.ladder(), /caller <-- re-INVITE\n/);
  assert.equal(pop.ladder().match(/<-- re-INVITE/g)?.length, 1);
  assert.equal(pop.server.playing(call)?.play, music);
  assert.ok(pop.server.sendsTo(call) !== undefined);
});
