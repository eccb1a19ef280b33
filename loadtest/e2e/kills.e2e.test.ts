// kill -9 of each process in turn, with a call on it: what it means for that call, and that the next one is served.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { eventually } from "../demo/operator.ts";
import { type Caller, RegionUnderTest } from "./region-under-test.ts";
import { NUMBERS, TONES } from "./tenant.ts";

describe("kill -9", { concurrency: 1 }, () => {
  let region: RegionUnderTest;
  before(async () => {
    region = await RegionUnderTest.start();
  });
  afterEach(() => region.calm());
  after(() => region?.stop());

  /** A new call is taken again, within the time that a restart needs. */
  const serves = () =>
    eventually("a new call is served", 10_000, async () => {
      const { call, callingNumber } = await region.dial(NUMBERS.announcement);
      try {
        await call.until("answered", 1_000);
        await region.hears(call, TONES.announcement, 1_500);
        return callingNumber;
      } finally {
        call.hangUp();
      }
    });
  const goesOn = async ({ call, callingNumber }: Caller, fromMs: number) => {
    await region.hears(call, TONES.announcement);
    region.heardWithoutGap(call, fromMs, performance.now());
    call.hangUp();
    await call.until("ended");
    assert.equal((await region.operator.record(callingNumber, 15_000)).endedBy, "caller");
  };

  /** What we have sent to a phone. */
  const heard = ({ history }: Caller["call"]) => history.filter(({ direction }) => direction === "in").length;

  test("of rtpengine: the call goes on, nobody hears a word for it, new ones are served", async () => {
    const caller = await region.dialAndHear(NUMBERS.announcement, "announcement");
    const before = heard(caller.call);
    await region.running.kill(`${region.hostId}/rtpengine`, "SIGKILL");
    await serves();
    assert.equal(heard(caller.call), before);
    await region.hears(caller.call, TONES.announcement);
    caller.call.hangUp();
    await caller.call.until("ended");
    assert.equal((await region.operator.record(caller.callingNumber, 15_000)).endedBy, "caller");
  });

  test("of pop: the call goes on, nobody hears a word for it, new ones are served", async () => {
    const caller = await region.dialAndHear(NUMBERS.announcement, "announcement");
    const before = heard(caller.call);
    await region.running.kill(`${region.hostId}/pop`, "SIGKILL");
    await serves();
    assert.equal(heard(caller.call), before);
    await region.hears(caller.call, TONES.announcement);
    caller.call.hangUp();
    await caller.call.until("ended");
    assert.equal((await region.operator.record(caller.callingNumber, 15_000)).endedBy, "caller");
  });

  test("of pop while an agent talks: both talk on, and the agent can take the next call", async () => {
    const alice = await region.available("alice");
    const { call, callingNumber } = await region.dial(NUMBERS.queue);
    const rung = await alice.nextCall();
    await rung.until("confirmed");
    await region.hears(call, 700);
    const before = heard(call) + heard(rung);
    await region.running.kill(`${region.hostId}/pop`, "SIGKILL");
    await serves();
    assert.equal(heard(call) + heard(rung), before);
    call.hangUp();
    await rung.until("ended", 10_000);
    assert.equal((await region.operator.record(callingNumber, 15_000)).endedBy, "caller");
    await region.operator.untilAgentIs("alice", "available", 10_000);
  });

  test("of sip-server: the call goes on, nobody hears a word for it, new ones are served", async () => {
    const caller = await region.dialAndHear(NUMBERS.announcement, "announcement");
    const before = heard(caller.call);
    const fromMs = region.beginListening();
    await region.running.kill(`${region.hostId}/sip-server`, "SIGKILL");
    await serves();
    assert.equal(heard(caller.call), before);
    await goesOn(caller, fromMs);
  });

  // Last, for rtpengine leaves a Redis alone for two seconds once it was away.
  test("of Redis: calls go on, new ones are served", async () => {
    const caller = await region.dialAndHear(NUMBERS.announcement, "announcement");
    const fromMs = region.beginListening();
    await region.running.kill("redis", "SIGKILL");
    await serves();
    await goesOn(caller, fromMs);
  });

  test("of etcd: calls go on, new ones are served", async () => {
    const caller = await region.dialAndHear(NUMBERS.announcement, "announcement");
    const fromMs = region.beginListening();
    await region.running.kill("etcd", "SIGKILL");
    await serves();
    await goesOn(caller, fromMs);
  });
});
