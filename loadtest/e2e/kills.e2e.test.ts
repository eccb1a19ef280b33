// kill -9 of each process in turn, with a call on it: what it means for that call, and that the next one is served.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { eventually } from "../demo/operator.ts";
import { type Caller, RegionUnderTest } from "./region-under-test.ts";
import { NUMBERS, TONES } from "./tenant.ts";

/** How long dialogs whose pop has gone stay up; a minute by default. */
const ORPHAN_GRACE_MS = 1_000;

describe("kill -9", { concurrency: 1 }, () => {
  let region: RegionUnderTest;
  before(async () => {
    region = await RegionUnderTest.start({
      configure: ({ kind }, config) => (kind === "sip-server" ? { ...config, orphanGraceMs: ORPHAN_GRACE_MS } : config),
    });
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

  // The call itself is silent until somebody hangs up: nothing anchors it anew yet.
  test("of rtpengine: new calls are served, the old one can be ended and leaves its record", async () => {
    const { call, callingNumber } = await region.dialAndHear(NUMBERS.announcement, "announcement");
    await region.running.kill(`${region.hostId}/rtpengine`, "SIGKILL");
    await serves();
    call.hangUp();
    await call.until("ended");
    await region.operator.record(callingNumber);
  });

  test("of pop: the caller is released, the record says so, new ones are served", async () => {
    const { call, callingNumber } = await region.dialAndHear(NUMBERS.announcement, "announcement");
    await region.running.kill(`${region.hostId}/pop`, "SIGKILL");
    await call.until("ended", 10_000);
    assert.equal(call.end?.by, "them");
    await serves();
    const record = await region.operator.record(callingNumber, 10_000);
    assert.equal(record.endedBy, "system");
  });

  test("of pop while an agent talks: the agent is released and can take the next call", async () => {
    const alice = await region.available("alice");
    const { call, callingNumber } = await region.dial(NUMBERS.queue);
    const rung = await alice.nextCall();
    await rung.until("confirmed");
    await region.hears(call, 700);
    await region.running.kill(`${region.hostId}/pop`, "SIGKILL");
    await Promise.all([call.until("ended", 10_000), rung.until("ended", 10_000)]);
    await serves();
    await region.operator.record(callingNumber, 10_000);
    await region.operator.untilAgentIs("alice", "available", 10_000);
  });

  test("of sip-server: the record says so, new calls are served", async () => {
    const { callingNumber } = await region.dialAndHear(NUMBERS.announcement, "announcement");
    await region.running.kill(`${region.hostId}/sip-server`, "SIGKILL");
    const record = await region.operator.record(callingNumber, 10_000);
    assert.deepEqual([record.endedBy, record.endCode], ["system", "sip.dialog-lost"]);
    await serves();
  });
});
