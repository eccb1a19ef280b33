// A caller may hang up at any moment: nothing is left up, and the record says where it happened.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { RegionUnderTest } from "./region-under-test.ts";
import { NUMBERS, TONES } from "./tenant.ts";

describe("a caller hangs up", { concurrency: 1 }, () => {
  let region: RegionUnderTest;
  before(async () => {
    region = await RegionUnderTest.start();
  });
  afterEach(() => region.calm());
  after(() => region?.stop());

  test("before the answer: CANCEL or BYE, whichever it becomes, and one record", async () => {
    const { call, callingNumber } = await region.dial(NUMBERS.announcement);
    call.cancel();
    await call.until("ended");
    await region.idle();
    const record = await region.operator.record(callingNumber);
    assert.equal(record.endedBy, "caller");
  });

  test("in a prompt", async () => {
    const { call, callingNumber } = await region.dialAndHear(NUMBERS.announcement, "announcement");
    call.hangUp();
    await call.until("ended");
    await region.idle();
    const record = await region.operator.record(callingNumber);
    assert.deepEqual([record.endedBy, record.endCode], ["caller", "normal"]);
    assert.deepEqual(
      record.segments.map(({ kind }) => kind),
      ["flow"],
    );
    await region.hearsNothing(call);
  });

  test("in a menu", async () => {
    const { call, callingNumber } = await region.dialAndHear(NUMBERS.menu, "menu");
    call.hangUp();
    await call.until("ended");
    await region.idle();
    const record = await region.operator.record(callingNumber);
    assert.deepEqual([record.endedBy, record.endCode], ["caller", "normal"]);
  });

  test("in the queue: abandoned, and the place is given up", async () => {
    const { call, callingNumber } = await region.dialAndHear(NUMBERS.menu, "menu");
    await call.press("1");
    await region.hears(call, TONES.music);
    call.hangUp();
    await call.until("ended");
    await region.idle();
    const record = await region.operator.record(callingNumber);
    assert.deepEqual([record.endedBy, record.endCode], ["caller", "abandoned"]);
    assert.deepEqual(
      record.segments.map(({ kind, outcome }) => [kind, outcome]),
      [
        ["flow", "ended"],
        ["queue", "abandoned"],
      ],
    );
    // Nobody is left in the queue to be offered.
    const alice = await region.available("alice");
    const next = await region.dial(NUMBERS.queue);
    const rung = await alice.nextCall();
    await rung.until("confirmed");
    assert.equal(alice.called.length, 1);
    next.call.hangUp();
    await rung.until("ended");
  });

  test("while the agent's phone rings: CANCEL, and the agent is available again", async () => {
    const alice = await region.available("alice", { kind: "ring" });
    const { call, callingNumber } = await region.dial(NUMBERS.queue);
    const rung = await alice.nextCall();
    await rung.until("ringing");
    await region.operator.untilAgentIs("alice", "offered");
    call.hangUp();
    await call.until("ended");
    await rung.until("ended");
    assert.deepEqual([rung.end?.by, rung.end?.how, rung.count("in", "CANCEL")], ["them", "cancel", 1]);
    await region.operator.untilAgentIs("alice", "available");
    await region.idle();
    const record = await region.operator.record(callingNumber);
    assert.deepEqual([record.endedBy, record.endCode], ["caller", "abandoned"]);
  });

  test("in conversation: the agent is released and available again", async () => {
    const alice = await region.available("alice");
    const { call, callingNumber } = await region.dial(NUMBERS.queue);
    const rung = await alice.nextCall();
    await rung.until("confirmed");
    await Promise.all([region.hears(call, 700), region.hears(rung, 440)]);
    call.hangUp();
    await rung.until("ended");
    assert.deepEqual([rung.end?.by, rung.end?.how], ["them", "bye"]);
    await region.operator.untilAgentIs("alice", "available");
    await region.idle();
    const record = await region.operator.record(callingNumber);
    assert.deepEqual([record.endedBy, record.endCode], ["caller", "normal"]);
    assert.equal(record.media.length, 2);
  });
});
