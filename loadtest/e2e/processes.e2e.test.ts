// Processes of a POP host end, by will or by force, with calls on them.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { occupied } from "../../cli/up/ports.ts";
import { eventually } from "../demo/operator.ts";
import { type Caller, RegionUnderTest } from "./region-under-test.ts";
import { NUMBERS, TONES } from "./tenant.ts";

describe("a process", { concurrency: 1 }, () => {
  let region: RegionUnderTest;
  before(async () => {
    region = await RegionUnderTest.start();
  });
  after(() => region?.stop());

  test("media-worker is killed in mid-music and mid-prompt: it is started again, and both come back", async () => {
    const waiting = await region.dialAndHear(NUMBERS.queue, "music");
    const asked = await region.dialAndHear(NUMBERS.menu, "menu");
    const killedAtMs = performance.now();
    await region.running.kill(`${region.hostId}/media-worker`, "SIGKILL");
    const again = ({ call }: Caller) =>
      eventually("audio again", 4_000, async () => {
        const heard = call.listening.packets.filter(({ atMs }) => atMs > killedAtMs + 100);
        return heard.length > 20 ? true : undefined;
      });
    await Promise.all([again(waiting), again(asked)]);
    await Promise.all([region.hears(waiting.call, TONES.music), region.hears(asked.call, TONES.menu)]);
    for (const { call } of [waiting, asked]) {
      call.hangUp();
      await call.until("ended");
    }
    await region.idle();
  });

  test("a snapshot that the POP refuses: it keeps the old one and says why; the next good one is taken", async () => {
    const { operator, hostId } = region;
    const host = async () => (await operator.hosts()).find((one) => one.hostId === hostId);
    const before = (await host())?.appliedVersion ?? 0;
    // The API would refuse it; somebody with a key to the store can still write a flow that leads nowhere.
    const key = "/tollgate/v1/tenants/e2e/flow/short";
    const good = await etcdGet(key);
    const write = async (text: string, version: number) => {
      await etcdPut(key, text);
      await etcdPut("/tollgate/v1/tenants-version", String(version));
    };
    await write(good.replaceAll('"next":"hang-up"', '"next":"nowhere"'), before + 1);
    const refused = await eventually("refused", 8_000, async () => (await host())?.refused ?? undefined);
    assert.equal(refused.version, before + 1);
    assert.equal((await host())?.appliedVersion, before);
    const { call } = await region.dial(NUMBERS.short);
    await call.until("answered");
    await region.hears(call, TONES.goodbye);
    await call.until("ended");
    await write(good, before + 2);
    await eventually("the next good one", 8_000, async () =>
      (await host())?.appliedVersion === before + 2 ? true : undefined,
    );
  });

  test("pop is told to stop with a call on it: new calls get 503, the call goes on to its own end, then it stops", async () => {
    const { call, callingNumber } = await region.dialAndHear(NUMBERS.announcement, "announcement");
    const fromMs = region.beginListening();
    const stopped = region.running.stopProcess(`${region.hostId}/pop`);
    const refused = await eventually("503 to a new call", 5_000, async () => {
      const next = await region.dial(NUMBERS.announcement);
      await Promise.race([next.call.until("ended", 2_000), next.call.until("answered", 2_000)]).catch(() => {});
      if (next.call.end === undefined) next.call.hangUp();
      return next.call.end?.status === 503 ? next.call : undefined;
    });
    assert.ok((refused.end?.retryAfterSeconds ?? 0) >= 1);
    await region.hears(call, TONES.announcement);
    region.heardWithoutGap(call, fromMs, performance.now());
    call.hangUp();
    await call.until("ended");
    await stopped;
    const started = await region.running.start(`${region.hostId}/pop`);
    assert.ok(started.ok, JSON.stringify(started));
    assert.equal((await region.operator.record(callingNumber, 10_000)).endedBy, "caller");
  });

  test("all are stopped: no process and no port is left", async () => {
    await region.stop();
    const host = region.address;
    const listens = [
      { transport: "udp" as const, host, port: 5060, what: "SIP" },
      { transport: "tcp" as const, host, port: 5060, what: "SIP" },
      { transport: "tcp" as const, host, port: 8081, what: "POP" },
      { transport: "udp" as const, host, port: 22222, what: "rtpengine" },
      { transport: "tcp" as const, host: "127.10.1.1", port: 2379, what: "etcd" },
      { transport: "tcp" as const, host: "127.10.1.1", port: 6379, what: "Redis" },
      { transport: "tcp" as const, host: "127.10.1.1", port: 8080, what: "REST" },
    ];
    assert.deepEqual(await occupied(listens), []);
  });
});

const ETCD = "http://127.10.1.1:2379/v3/kv";
const base64 = (text: string) => Buffer.from(text).toString("base64");

async function etcd(path: string, body: object): Promise<unknown> {
  const answer = await fetch(`${ETCD}/${path}`, { method: "POST", body: JSON.stringify(body) });
  assert.equal(answer.status, 200, `etcd: ${path}`);
  return answer.json();
}

const etcdPut = (key: string, value: string) => etcd("put", { key: base64(key), value: base64(value) });

async function etcdGet(key: string): Promise<string> {
  const { kvs } = (await etcd("range", { key: base64(key) })) as { kvs?: { value: string }[] };
  const [found] = kvs ?? [];
  assert.ok(found, `${key} is stored`);
  return Buffer.from(found.value, "base64").toString();
}
