// kill -9 of a whole POP host with calls of several kinds on it: its twin carries on with every one of them, and no party
// hears a SIP message for it.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { CHECKOUT } from "../../cli/up/start-region.ts";
import { eventually } from "../demo/operator.ts";
import type { PhoneCall } from "../phones/phone-call.ts";
import { type Caller, RegionUnderTest } from "./region-under-test.ts";
import { documents, NUMBERS, TONES } from "./tenant.ts";

const HOST = "fra-01-a";
const TWIN = "fra-01-b";

describe("a host is killed", { concurrency: 1 }, () => {
  let region: RegionUnderTest;
  before(async () => {
    region = await RegionUnderTest.start({ hosts: [HOST, TWIN] });
    await region.operator.apply(documents(), [HOST, TWIN]);
    for (const host of [HOST, TWIN])
      await region.running.untilHost(host, "spares", (status) => spares(status.processes) === 3, 30_000);
  });
  after(() => region?.stop());

  const spares = (processes: readonly { readonly state: string }[]) =>
    processes.filter(({ state }) => state === "spare").length;
  /** Every process of the dead host's service runs at its twin. */
  const takenOver = () =>
    region.running.untilHost(
      TWIN,
      `${HOST} taken over`,
      ({ services }) => services.some(({ service, complete }) => service === HOST && complete),
      15_000,
    );
  const heardAgain = (call: PhoneCall, sinceMs: number) =>
    eventually("audio again", 5_000, async () =>
      call.listening.packets.filter(({ atMs }) => atMs > sinceMs).length > 10 ? true : undefined,
    );
  const endsByCaller = async ({ call, callingNumber }: Caller) => {
    call.hangUp();
    await call.until("ended", 10_000);
    assert.deepEqual([call.end?.by, call.end?.status], ["us", 200]);
    return region.operator.record(callingNumber, 15_000);
  };

  test("bridged, in a prompt, in the queue: all go on at the twin, unheard of by SIP, and end as they would have", async () => {
    const alice = await region.available("alice");
    const bridged = await region.dial(NUMBERS.queue);
    const rung = await alice.nextCall();
    await rung.until("confirmed");
    await Promise.all([region.hears(bridged.call, 700), region.hears(rung, 440)]);
    const prompt = await region.dialAndHear(NUMBERS.announcement, "announcement");
    const queued = await region.dialAndHear(NUMBERS.queue, "music");
    const callers = [bridged, prompt, queued];
    const messages = () => [...callers.map(({ call }) => call), rung].map(({ history }) => history.length);
    const before = messages();

    await region.running.signalHost(HOST, "SIGKILL");
    await takenOver();
    const sinceMs = performance.now();
    await Promise.all([...callers.map(({ call }) => call), rung].map((call) => heardAgain(call, sinceMs)));
    assert.deepEqual(messages(), before, "no SIP message to anybody");
    await Promise.all([
      region.hears(bridged.call, 700),
      region.hears(rung, 440),
      region.hears(prompt.call, TONES.announcement),
      region.hears(queued.call, TONES.music),
    ]);
    await region.queued(1);

    for (const caller of callers) assert.equal((await endsByCaller(caller)).endedBy, "caller");
    await rung.until("ended", 10_000);
    await region.idle();
  });

  test("the twin answers new calls on the dead host's address; the host comes back and stands by", async () => {
    await region.signOutAll();
    const { call, callingNumber } = await region.dialAndHear(NUMBERS.queue, "music");
    const back = await region.running.start(`${HOST}/keeper`);
    assert.ok(back.ok, JSON.stringify(back));
    await region.running.untilHost(
      HOST,
      "standing by",
      ({ services }) =>
        services.some(({ service, role, owner }) => service === HOST && role === "standby" && owner === TWIN),
      10_000,
    );
    await region.hears(call, TONES.music);
    assert.equal((await endsByCaller({ call, callingNumber })).endedBy, "caller");
  });

  test("host return, host drain --move, host return: a caller in the queue moves with the service and notices nothing", async () => {
    const { call, callingNumber } = await region.dialAndHear(NUMBERS.queue, "music");
    const before = call.history.length;
    const serves = (host: string) =>
      region.running.untilHost(
        host,
        `serves ${HOST}`,
        ({ services }) => services.some(({ service, complete }) => service === HOST && complete),
        15_000,
      );
    for (const [words, host] of [
      [["return", HOST], HOST],
      [["drain", HOST, "--move"], TWIN],
      [["return", HOST], HOST],
    ] as const) {
      await tollgate(region.folder, "host", ...words);
      await serves(host);
      const sinceMs = performance.now();
      await heardAgain(call, sinceMs);
    }
    await region.hears(call, TONES.music);
    assert.equal(call.history.length, before, "no SIP message");
    assert.equal((await endsByCaller({ call, callingNumber })).endedBy, "caller");
    const next = await region.dialAndHear(NUMBERS.announcement, "announcement");
    await endsByCaller(next);
  });
});

/** @throws with what it said, when it does not succeed */
async function tollgate(folder: string, ...words: readonly string[]): Promise<void> {
  const launcher = join(CHECKOUT, "cli", "tollgate.js");
  await promisify(execFile)(process.execPath, [launcher, ...words, "--data", folder], { timeout: 40_000 });
}
