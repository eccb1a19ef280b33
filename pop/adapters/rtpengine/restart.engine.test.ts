// What becomes of running calls when rtpengine dies and is started again over its Redis. Real daemon, real Redis, real packets.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Redis } from "ioredis";
import { asId, type CallId, type LegId } from "../../../kernel/ids.ts";
import type { Outcome } from "../../../kernel/outcome.ts";
import { RtpEnd, sendAll } from "../../../loadtest/rtp-probe/rtp-pairs.ts";
import { type ProbeOptions, RtpProbe } from "../../../loadtest/rtp-probe/rtp-probe.ts";
import type { MediaRelay } from "../../boundary/media-relay.ts";
import { REDIS_MISSING, RedisServer } from "../../checkpoint/adapters/redis/redis-server.ts";
import { PCMU, writeAudio } from "../../core/media/sdp.ts";
import { type OwnRtpengine, rtpengineInstalled, startOwnRtpengine } from "./own-rtpengine.ts";
import { fenceRelayState } from "./relay-fence.ts";

const skip = rtpengineInstalled() ? REDIS_MISSING : "rtpengine is not installed (Debian: rtpengine-daemon)";
/** A backslash, which escapes in the file that rtpengine reads. */
const PASSWORD = "open\\sesame";
const [CALLER_HZ, WORKER_HZ, AGENT_HZ] = [1_000, 500, 700];
const STRETCH_MS = 300;

let hosts = 0;
const nextHost = () => `127.79.${process.pid % 250}.${++hosts}`;
let count = 0;
const newCall = (): CallId => asId<"call">(`restart-${process.pid}-${++count}`);
const leg = (name: string): LegId => asId<"leg">(name);
const passed = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

function gained<Value>(outcome: Outcome<Value, unknown>): Value {
  if (!outcome.ok) assert.fail(`failed: ${JSON.stringify(outcome.failure)}`);
  return outcome.value;
}

const hears = (party: RtpProbe, hz: number) =>
  party.until(
    (heard) => {
      const window = { fromMs: performance.now() - STRETCH_MS };
      return heard.durationMs(window) > 0.8 * STRETCH_MS && heard.toneShare(hz, window) > 0.97;
    },
    5_000,
    `${hz} Hz`,
  );

const quantile = (sorted: readonly number[], share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;

/** A caller with the worker, and maybe an agent. */
class Scene {
  readonly call = newCall();
  readonly parties: RtpProbe[] = [];
  readonly caller: RtpProbe;
  readonly worker: RtpProbe;
  callerPort = 0;

  private constructor(caller: RtpProbe, worker: RtpProbe) {
    this.caller = caller;
    this.worker = worker;
    this.parties.push(caller, worker);
  }

  static async open(relay: MediaRelay, options: ProbeOptions = {}): Promise<Scene> {
    const scene = new Scene(await RtpProbe.open(options), await RtpProbe.open({ codecs: ["PCMU"] }));
    const anchored = gained(await relay.anchor(scene.call, scene.caller.offer(), scene.worker.address));
    scene.caller.answered(anchored.answerForCaller);
    scene.worker.sendTo(anchored.workerSendsTo);
    scene.callerPort = anchored.media.caller.relay.port;
    scene.caller.tone(CALLER_HZ);
    scene.worker.tone(WORKER_HZ);
    await hears(scene.caller, WORKER_HZ);
    await hears(scene.worker, CALLER_HZ);
    return scene;
  }

  /** The leg is offered; who answers. */
  async ring(
    relay: MediaRelay,
    name: string,
    options: ProbeOptions = {},
  ): Promise<{ phone: RtpProbe; answer: string }> {
    const phone = await RtpProbe.open(options);
    this.parties.push(phone);
    return { phone, answer: phone.answer(gained(await relay.offer(this.call, leg(name)))) };
  }

  async join(relay: MediaRelay, name: string, { phone, answer }: { phone: RtpProbe; answer: string }): Promise<void> {
    phone.tone(AGENT_HZ);
    const { media } = gained(await relay.bridge(this.call, leg(name), answer));
    assert.equal(media.caller.relay.port, this.callerPort);
    this.worker.mute(); // as the media worker is hushed
    await hears(this.caller, AGENT_HZ);
    await hears(phone, CALLER_HZ);
  }

  async park(relay: MediaRelay, name: string): Promise<void> {
    const { workerSendsTo } = gained(await relay.park(this.call, leg(name)));
    this.worker.sendTo(workerSendsTo);
    this.worker.renew();
    this.worker.tone(WORKER_HZ);
    await hears(this.caller, WORKER_HZ);
    await hears(this.worker, CALLER_HZ);
  }

  async close(relay: MediaRelay): Promise<void> {
    await relay.release(this.call);
    for (const party of this.parties) await party.close();
  }
}

describe("rtpengine over Redis, killed and started again", { skip }, () => {
  let redis: RedisServer;
  before(async () => {
    redis = await RedisServer.start(PASSWORD);
  });
  after(() => redis?.close());

  const own = (database: number) =>
    startOwnRtpengine(nextHost(), { redis: { host: redis.host, port: redis.port, password: PASSWORD, database } });
  const stopped = async (edge: OwnRtpengine) => {
    await edge.relay.close();
    await edge.stop();
  };

  for (const calls of [1, 50, 200])
    test(`${calls} calls: every stream comes back on its port, both ways`, async (t) => {
      const edge = await own(1);
      const ends: RtpEnd[] = [];
      let stop = () => {};
      try {
        const ids: CallId[] = [];
        for (let at = 0; at < calls; at++) {
          const call = newCall();
          ids.push(call);
          const [caller, worker] = [await RtpEnd.open("127.0.0.1"), await RtpEnd.open("127.0.0.1")];
          ends.push(caller, worker);
          const offer = writeAudio({ address: caller.address, codecs: [PCMU] });
          const { media, workerSendsTo } = gained(await edge.relay.anchor(call, offer, worker.address));
          caller.sendTo(media.caller.relay);
          worker.sendTo(workerSendsTo);
        }
        stop = sendAll(ends);
        await passed(500);
        for (const end of ends) end.listenAnew();
        await passed(300);
        const silent = ends.filter(({ heard }) => heard === 0).length;
        assert.equal(silent, 0, `${silent} ends hear nothing before the restart`);

        for (const end of ends) end.listenAnew();
        const startMs = performance.now();
        await edge.restart();
        const downMs = performance.now() - startMs;
        const heardBefore = ends.map(({ heard }) => heard);
        await passed(500);
        const back = ends.filter(({ heard }, at) => heard > (heardBefore[at] ?? 0) + 10).length;
        const gaps = ends.map((end) => end.gapMs()).sort((a, b) => a - b);
        t.diagnostic(
          `${calls} calls: NG answers after ${downMs.toFixed(0)} ms; gap p50 ${quantile(gaps, 0.5).toFixed(0)} ms, ` +
            `p99 ${quantile(gaps, 0.99).toFixed(0)} ms`,
        );
        assert.equal(back, ends.length);
        for (const call of ids) await edge.relay.release(call);
      } finally {
        stop();
        for (const end of ends) await end.close();
        await stopped(edge);
      }
    });

  for (const { title, caller, agent } of [
    { title: "a PCMU caller with a PCMU agent", caller: ["PCMU"], agent: ["PCMU"] },
    { title: "a PCMA caller with a PCMU agent, transcoded", caller: ["PCMA"], agent: ["PCMU"] },
  ] as const)
    test(`${title}: talking, parked, joined again, held, each after a restart, by a pop that has only what was saved`, async () => {
      const edge = await own(2);
      let relay: MediaRelay = await edge.anotherRelay();
      const forgotten: CallId[] = [];
      /** Both die: rtpengine, and the pop that knew of the call. */
      const next = async (call: CallId) => {
        const saved = JSON.parse(JSON.stringify(relay.saved(call)));
        await relay.close();
        await edge.restart();
        relay = await edge.anotherRelay();
        relay.onForgotten((each) => forgotten.push(each));
        relay.restore(call, saved);
      };
      const scene = await Scene.open(relay, { codecs: caller });
      try {
        await next(scene.call);
        await hears(scene.caller, WORKER_HZ);
        await hears(scene.worker, CALLER_HZ);
        const first = await scene.ring(relay, "a", { codecs: agent });
        await next(scene.call);
        await hears(scene.caller, WORKER_HZ);
        await scene.join(relay, "a", first);
        await next(scene.call);
        await hears(scene.caller, AGENT_HZ);
        await hears(first.phone, CALLER_HZ);
        // the worker, though it sends by mistake, is not heard
        scene.worker.tone(WORKER_HZ);
        await passed(400);
        await hears(scene.caller, AGENT_HZ);
        scene.worker.mute();

        const held = gained(await relay.reoffer(scene.call, "caller", scene.caller.offer("inactive")));
        assert.match(held, /a=inactive/);
        await next(scene.call);
        const { packets } = scene.caller.listening;
        await scene.caller.until(
          () => (packets.at(-1)?.atMs ?? 0) < performance.now() - STRETCH_MS,
          5_000,
          "silence for the caller on hold",
        );
        scene.caller.answered(gained(await relay.reoffer(scene.call, "caller", scene.caller.offer())));
        await hears(scene.caller, AGENT_HZ);
        await next(scene.call);
        await scene.park(relay, "a");
        await next(scene.call);
        await scene.join(relay, "b", await scene.ring(relay, "b", { codecs: agent }));
        assert.deepEqual(scene.caller.listening.sources().length, 1, "one port from first to last");
        assert.deepEqual(forgotten, []);
      } finally {
        await scene.close(relay);
        await relay.close();
        await stopped(edge);
      }
    });

  test("a second owner takes the calls to its own database: what the first still writes does not come back", async () => {
    const admin = new Redis({ host: redis.host, port: redis.port, password: PASSWORD });
    const databases = [3, 4] as const;
    const fence = (epoch: number) => fenceRelayState(admin, { service: "fra-01-a", epoch, databases });
    const has = async (database: number, call: CallId) => {
      const [, [, found]] = (await admin.multi().select(database).exists(call).select(0).exec()) as [
        unknown,
        [null, number],
      ];
      return found === 1;
    };
    const until = async (told: () => Promise<boolean>) => {
      while (!(await told())) await passed(20);
    };
    assert.deepEqual(await fence(1), { kind: "ours", database: 3 });
    assert.deepEqual(await fence(1), { kind: "ours", database: 3 }, "a restart in place moves nothing");
    const edge = await own(3);
    const scene = await Scene.open(edge.relay);
    const late = newCall();
    try {
      // Given the first owner, which still runs when the second has begun, and writes
      assert.deepEqual(await fence(2), { kind: "ours", database: 4 });
      assert.deepEqual(await fence(1), { kind: "superseded", by: 2 });
      gained(await edge.relay.anchor(late, scene.caller.offer(), scene.worker.address));
      // When the second starts its own
      await edge.kill();
      await edge.start(4);
      // Then it has what was there before, and nothing of the straggler, which a third does not get either
      await hears(scene.caller, WORKER_HZ);
      await hears(scene.worker, CALLER_HZ);
      assert.deepEqual([await has(4, scene.call), await has(4, late), await has(3, late)], [true, false, true]);
      assert.deepEqual(await fence(3), { kind: "ours", database: 3 });
      assert.deepEqual([await has(3, scene.call), await has(3, late)], [true, false]);
      await edge.kill();
      await edge.start(3);
      await hears(scene.caller, WORKER_HZ);
      // and a call that ends leaves nothing, though this rtpengine never wrote it
      await edge.relay.release(scene.call);
      await until(async () => !(await has(3, scene.call)));
    } finally {
      admin.disconnect();
      await scene.close(edge.relay);
      await stopped(edge);
    }
  });

  describe("an SRTP caller", () => {
    let edge: OwnRtpengine;
    const forgotten: CallId[] = [];
    before(async () => {
      edge = await own(6);
      edge.relay.onForgotten((call) => forgotten.push(call));
    });
    after(() => stopped(edge));

    /** The caller's numbers wrap a third of a second after the start. */
    const WRAPS_SOON = 0xffff - 16;

    for (const codecs of [["PCMU"], ["PCMA"]] as const)
      test(`${codecs[0]}: goes on over a restart under its old keys, its own wrap of numbers behind it`, async () => {
        const scene = await Scene.open(edge.relay, { codecs, srtp: true, firstSequence: WRAPS_SOON });
        try {
          const keys = JSON.stringify(scene.caller.undeciphered);
          await edge.restart();
          await hears(scene.caller, WORKER_HZ);
          await hears(scene.worker, CALLER_HZ);
          assert.equal(JSON.stringify(scene.caller.undeciphered), keys, "nothing came that it could not read");
          assert.ok(!forgotten.includes(scene.call));
        } finally {
          await scene.close(edge.relay);
        }
      });

    test("bridged in its own codec: the other side may have wrapped, so new keys and a new place are asked for", async () => {
      const scene = await Scene.open(edge.relay, { codecs: ["PCMU"], srtp: true });
      const { phone, answer } = await scene.ring(edge.relay, "a", { codecs: ["PCMU"], firstSequence: WRAPS_SOON });
      try {
        await scene.join(edge.relay, "a", { phone, answer });
        const lost = new Promise<CallId>((resolve) => edge.relay.onForgotten(resolve));
        await passed(1_600); // rtpengine's age, which tells one run from the next, is in whole seconds
        await edge.restart();
        assert.equal(await lost, scene.call);
        const { answerForCaller, moved } = gained(
          await edge.relay.anchor(scene.call, scene.caller.offer(), scene.worker.address),
        );
        assert.ok(moved, "the caller has to hear of it");
        scene.caller.answered(answerForCaller);
        const again = phone.answer(gained(await edge.relay.offer(scene.call, leg("a"))));
        gained(await edge.relay.bridge(scene.call, leg("a"), again));
        await hears(scene.caller, AGENT_HZ);
        await hears(phone, CALLER_HZ);
      } finally {
        await scene.close(edge.relay);
      }
    });

    test("bridged to a leg of another codec: its stream is rtpengine's own, and goes on", async () => {
      const scene = await Scene.open(edge.relay, { codecs: ["PCMU"], srtp: true });
      const { phone, answer } = await scene.ring(edge.relay, "a", { codecs: ["PCMA"], firstSequence: WRAPS_SOON });
      try {
        await scene.join(edge.relay, "a", { phone, answer });
        await passed(1_600);
        await edge.restart();
        await hears(scene.caller, AGENT_HZ);
        await hears(phone, CALLER_HZ);
        assert.ok(!forgotten.includes(scene.call));
      } finally {
        await scene.close(edge.relay);
      }
    });

    test("a leg's hold and return is no change for the caller's keys", async () => {
      const scene = await Scene.open(edge.relay, { codecs: ["PCMU"], srtp: true });
      try {
        const ringing = await scene.ring(edge.relay, "a");
        await scene.join(edge.relay, "a", ringing);
        const { phone } = ringing;
        phone.answered(gained(await edge.relay.reoffer(scene.call, leg("a"), phone.offer("sendonly"))));
        phone.answered(gained(await edge.relay.reoffer(scene.call, leg("a"), phone.offer())));
        await hears(scene.caller, AGENT_HZ);
        await hears(phone, CALLER_HZ);
        await scene.park(edge.relay, "a");
      } finally {
        await scene.close(edge.relay);
      }
    });
  });

  test("Redis hangs: commands are answered all the same, and media does not notice", async (t) => {
    const edge = await own(5);
    const scene = await Scene.open(edge.relay);
    const others: CallId[] = [];
    try {
      redis.freeze();
      const tookMs: number[] = [];
      for (let at = 0; at < 20; at++) {
        const call = newCall();
        others.push(call);
        const startMs = performance.now();
        gained(await edge.relay.anchor(call, scene.caller.offer(), scene.worker.address));
        tookMs.push(performance.now() - startMs);
      }
      tookMs.sort((a, b) => a - b);
      t.diagnostic(
        `offer and answer while Redis hangs: p50 ${quantile(tookMs, 0.5).toFixed(1)} ms, worst ${tookMs.at(-1)?.toFixed(0)} ms`,
      );
      await hears(scene.caller, WORKER_HZ);
    } finally {
      redis.thaw();
      for (const call of others) await edge.relay.release(call);
      await scene.close(edge.relay);
      await stopped(edge);
    }
  });

  test("Redis gone, and then rtpengine: the loss is noticed without being asked, and a new place is given", async () => {
    const mine = await RedisServer.start(PASSWORD);
    const edge = await startOwnRtpengine(nextHost(), {
      redis: { host: mine.host, port: mine.port, password: PASSWORD, database: 1 },
    });
    const scene = await Scene.open(edge.relay);
    const { phone, answer } = await scene.ring(edge.relay, "a");
    const lost = new Promise<CallId>((resolve) => edge.relay.onForgotten(resolve));
    try {
      await scene.join(edge.relay, "a", { phone, answer });
      await mine.kill();
      await edge.restart();
      assert.equal(await lost, scene.call);
      assert.equal(edge.relay.standing(scene.call), undefined);
      // Then anchored again, both are told their new places, and talk
      const { answerForCaller, moved } = gained(
        await edge.relay.anchor(scene.call, scene.caller.offer(), scene.worker.address),
      );
      if (moved) scene.caller.answered(answerForCaller);
      const again = phone.answer(gained(await edge.relay.offer(scene.call, leg("a"))));
      gained(await edge.relay.bridge(scene.call, leg("a"), again));
      await hears(scene.caller, AGENT_HZ);
      await hears(phone, CALLER_HZ);
    } finally {
      await scene.close(edge.relay);
      await stopped(edge);
      await mine.close();
    }
  });
});
