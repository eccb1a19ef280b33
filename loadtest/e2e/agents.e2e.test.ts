// The agent's side: who is rung, what happens when nobody answers, and who is next.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { RegionUnderTest } from "./region-under-test.ts";
import { NUMBERS, TONES } from "./tenant.ts";

describe("an agent", { concurrency: 1 }, () => {
  let region: RegionUnderTest;
  before(async () => {
    region = await RegionUnderTest.start();
  });
  afterEach(() => region.calm());
  after(() => region?.stop());

  test("rejects: the next one gets the contact, music goes on meanwhile", async () => {
    const alice = await region.available("alice", { kind: "refuse", status: 486, reason: "Busy Here" });
    const bob = await region.available("bob");
    const { call, callingNumber } = await region.dial(NUMBERS.queue);
    const refused = await alice.nextCall();
    await refused.until("ended");
    const rung = await bob.nextCall();
    await rung.until("confirmed");
    await Promise.all([region.hears(call, 700), region.hears(rung, 440)]);
    assert.equal(alice.called.length - 1, alice.called.indexOf(refused), "alice was not called again");
    call.hangUp();
    await rung.until("ended");
    const record = await region.operator.record(callingNumber);
    assert.deepEqual(
      record.segments.filter(({ kind }) => kind === "ringing").map(({ agentId, outcome }) => [agentId, outcome]),
      [
        ["alice", "rejected"],
        ["bob", "answered"],
      ],
    );
  });

  test("does not answer: CANCEL, the next one gets the contact, and the first is not available any more", async () => {
    const alice = await region.available("alice", { kind: "ring" });
    const bob = await region.available("bob");
    const { call, callingNumber } = await region.dial(NUMBERS.queue);
    const missed = await alice.nextCall();
    await region.hears(call, TONES.music);
    const rung = await bob.nextCall();
    await missed.until("ended");
    assert.deepEqual([missed.end?.by, missed.end?.how], ["them", "cancel"]);
    await rung.until("confirmed");
    await region.operator.untilAgentIs("alice", "rona");
    await region.hears(call, 700);
    call.hangUp();
    await rung.until("ended");
    const record = await region.operator.record(callingNumber);
    assert.deepEqual(
      record.segments.filter(({ kind }) => kind === "ringing").map(({ agentId, outcome }) => [agentId, outcome]),
      [
        ["alice", "no-answer"],
        ["bob", "answered"],
      ],
    );
    await region.operator.setState("alice", "available");
    await region.operator.untilAgentIs("alice", "available");
  });

  test("has its phone switched off: as if not answered, the next one gets the contact", async () => {
    // carol, whom no other test calls: the INVITE she never answered goes on being repeated, and could reach her in the next one.
    await region.available("carol", { kind: "silent" });
    const bob = await region.available("bob");
    const { call } = await region.dial(NUMBERS.queue);
    const rung = await bob.nextCall();
    await rung.until("confirmed");
    await region.hears(call, 700);
    call.hangUp();
    await rung.until("ended");
  });

  test("hangs up first: the caller hears what the flow says next, and is released", async () => {
    const alice = await region.available("alice");
    const { call, callingNumber } = await region.dial(NUMBERS.queue);
    const rung = await alice.nextCall();
    await rung.until("confirmed");
    await region.hears(call, 700);
    rung.hangUp();
    await rung.until("ended");
    await region.hears(call, TONES.goodbye);
    await call.until("ended");
    assert.equal(call.end?.by, "them");
    await region.operator.untilAgentIs("alice", "available");
    const record = await region.operator.record(callingNumber);
    assert.deepEqual(
      record.segments.filter(({ kind }) => kind !== "ringing").map(({ kind }) => kind),
      ["flow", "queue", "agent", "flow"],
    );
  });

  test("all are busy, then one is free: callers are served in the order in which they came", async () => {
    const alice = await region.available("alice");
    const first = await region.dial(NUMBERS.queue);
    const one = await alice.nextCall();
    await one.until("confirmed");
    const second = await region.dialAndHear(NUMBERS.queue, "music");
    const third = await region.dialAndHear(NUMBERS.queue, "music");
    await region.queued(2);
    first.call.hangUp();
    await one.until("ended");
    const two = await alice.nextCall();
    await two.until("confirmed");
    await region.hears(second.call, 700);
    await region.hears(third.call, TONES.music);
    second.call.hangUp();
    await two.until("ended");
    const three = await alice.nextCall();
    await three.until("confirmed");
    await region.hears(third.call, 700);
    third.call.hangUp();
    await three.until("ended");
    for (const { callingNumber } of [first, second, third]) await region.operator.record(callingNumber);
  });

  test("none comes in time: the flow's way out is heard", async () => {
    const { call, callingNumber } = await region.dial(NUMBERS.impatient);
    await call.until("answered");
    await region.hears(call, TONES.apology);
    await call.until("ended");
    const record = await region.operator.record(callingNumber);
    assert.equal(record.endedBy, "flow");
  });
});
