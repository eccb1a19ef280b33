// The region is away: calls go on, callers keep their places, and a POP starts from what it has on disk.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { eventually } from "../demo/operator.ts";
import { RegionUnderTest } from "./region-under-test.ts";
import { NUMBERS, TONES } from "./tenant.ts";

/** How long a contact waits for the region to take it into a queue; ten seconds by default. */
const ROUTING_TIMEOUT_MS = 1_500;

describe("the control plane", { concurrency: 1 }, () => {
  let region: RegionUnderTest;
  before(async () => {
    region = await RegionUnderTest.start({
      configure: ({ kind }, config) =>
        kind === "pop" ? { ...config, limits: { routingTimeoutMs: ROUTING_TIMEOUT_MS } } : config,
    });
  });
  afterEach(() => region.calm());
  after(() => region?.stop());

  test("is killed with callers in the queue: music goes on, and once it is back they are offered in their old order", async () => {
    const first = await region.dialAndHear(NUMBERS.queue, "music");
    const second = await region.dialAndHear(NUMBERS.queue, "music");
    await region.queued(2);
    const fromMs = region.beginListening();
    await region.running.kill("control-plane", "SIGKILL");
    await untilBack(region);
    const alice = await region.available("alice");
    const one = await alice.nextCall(15_000);
    const toMs = performance.now();
    await one.until("confirmed");
    await region.hears(first.call, 700);
    await region.hears(second.call, TONES.music);
    for (const { call } of [first, second]) region.heardWithoutGap(call, fromMs, toMs);
    first.call.hangUp();
    await one.until("ended");
    const two = await alice.nextCall();
    await two.until("confirmed");
    await region.hears(second.call, 700);
    second.call.hangUp();
    await two.until("ended");
    for (const { callingNumber } of [first, second]) {
      const { segments } = await region.operator.record(callingNumber, 10_000);
      assert.deepEqual(
        segments.filter(({ kind }) => kind !== "ringing").map(({ kind }) => kind),
        ["flow", "queue", "agent"],
      );
    }
  });

  test("is killed in mid-conversation: the two talk on, and the record arrives once it is back", async () => {
    const alice = await region.available("alice");
    const { call, callingNumber } = await region.dial(NUMBERS.queue);
    const rung = await alice.nextCall();
    await rung.until("confirmed");
    await region.hears(call, 700);
    const fromMs = region.beginListening();
    await region.running.kill("control-plane", "SIGKILL", { stayDown: true });
    await Promise.all([region.hears(call, 700), region.hears(rung, 440)]);
    call.hangUp();
    await rung.until("ended");
    for (const party of [call, rung])
      region.heardWithoutGap(party, fromMs, party.listening.packets.at(-1)?.atMs ?? fromMs);
    // New calls are taken meanwhile.
    const meanwhile = await region.dialAndHear(NUMBERS.announcement, "announcement");
    meanwhile.call.hangUp();
    await meanwhile.call.until("ended");
    const started = await region.running.start("control-plane");
    assert.ok(started.ok, JSON.stringify(started));
    const record = await region.operator.record(callingNumber, 15_000);
    assert.equal(record.endedBy, "caller");
    await region.operator.record(meanwhile.callingNumber, 10_000);
    await region.operator.untilAgentIs("alice", "available", 10_000);
  });

  test("is away when the POP starts: calls are served from the snapshot on disk", async () => {
    await region.running.kill("control-plane", "SIGKILL", { stayDown: true });
    await region.running.stopProcess(`${region.hostId}/pop`);
    const started = await region.running.start(`${region.hostId}/pop`);
    assert.ok(started.ok, JSON.stringify(started));
    const { call, callingNumber } = await eventually("a call is taken", 5_000, async () => {
      const caller = await region.dial(NUMBERS.announcement);
      await caller.call.until("answered", 1_000);
      return caller;
    });
    await region.hears(call, TONES.announcement);
    call.hangUp();
    await call.until("ended");
    // A queue needs the region: the caller hears the flow's failure path instead of waiting for ever.
    const queued = await region.dial(NUMBERS.queue);
    await region.hears(queued.call, TONES.apology);
    await queued.call.until("ended");
    assert.equal(queued.call.end?.by, "them");
    const back = await region.running.start("control-plane");
    assert.ok(back.ok, JSON.stringify(back));
    assert.equal((await region.operator.record(callingNumber, 15_000)).endCode, "normal");
  });
});

/** Its REST API answers again: the supervisor has restarted it. */
const untilBack = (region: RegionUnderTest) =>
  eventually("control plane back", 15_000, async () => {
    const hosts = await region.operator.hosts();
    return hosts.some(({ hostId, link }) => hostId === region.hostId && link.name === "linked") ? true : undefined;
  });
