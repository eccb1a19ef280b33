// The promises of a MediaRelay that only packets can show, on the real daemon.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { asId, type CallId, type LegId } from "../../../kernel/ids.ts";
import type { Outcome } from "../../../kernel/outcome.ts";
import { OwnStall } from "../../../loadtest/phones/own-stall.ts";
import { type ProbeOptions, RtpProbe } from "../../../loadtest/rtp-probe/rtp-probe.ts";
import { mediaRelayContract } from "../../boundary/media-relay.contract.ts";
import type { DtmfPressed } from "../../boundary/media-relay.ts";
import { readAudio } from "../../core/media/sdp.ts";
import type { RtpengineMediaRelay } from "./media-relay.ts";
import { type OwnRtpengine, rtpengineInstalled, startOwnRtpengine } from "./own-rtpengine.ts";

const HOST = `127.77.${process.pid % 250}.1`;
const skip = rtpengineInstalled() ? false : "rtpengine is not installed (Debian: rtpengine-daemon)";
const WORKER_HZ = 500;
const CALLER_HZ = 1_000;
const AGENT_HZ = 700;
/** A stretch to judge by: long enough for Goertzel to tell our tones apart. */
const STRETCH_MS = 300;
/** Beside what this process itself, which sends and hears, did not run. */
const GAP_MS_MAX = 100;

function gained<Value>(outcome: Outcome<Value, unknown>): Value {
  if (!outcome.ok) assert.fail(`failed: ${JSON.stringify(outcome.failure)}`);
  return outcome.value;
}

/** A caller anchored at the worker, both heard by each other. */
class Scene {
  readonly relay: RtpengineMediaRelay;
  readonly call: CallId;
  readonly caller: RtpProbe;
  readonly worker: RtpProbe;
  readonly callerPort: number;
  readonly digits: DtmfPressed[] = [];
  readonly #agents: RtpProbe[] = [];

  private constructor(relay: RtpengineMediaRelay, call: CallId, caller: RtpProbe, worker: RtpProbe, port: number) {
    this.relay = relay;
    this.call = call;
    this.caller = caller;
    this.worker = worker;
    this.callerPort = port;
    relay.onDtmf((event) => {
      if (event.call === call) this.digits.push(event);
    });
  }

  static #calls = 0;

  static async open(relay: RtpengineMediaRelay, options: ProbeOptions = {}): Promise<Scene> {
    const call = asId<"call">(`scene-${++Scene.#calls}`);
    const caller = await RtpProbe.open(options);
    const worker = await RtpProbe.open({ codecs: ["PCMU"] });
    const anchored = gained(await relay.anchor(call, caller.offer(), worker.address));
    caller.answered(anchored.answerForCaller);
    worker.sendTo(anchored.workerSendsTo);
    caller.tone(CALLER_HZ);
    worker.tone(WORKER_HZ);
    const scene = new Scene(relay, call, caller, worker, anchored.media.caller.relay.port);
    try {
      await scene.hears(caller, WORKER_HZ);
      await scene.hears(worker, CALLER_HZ);
    } catch (error) {
      await scene.close(); // an open socket would keep the whole test run from ending
      throw error;
    }
    return scene;
  }

  async agent(options: ProbeOptions = {}): Promise<RtpProbe> {
    const agent = await RtpProbe.open(options);
    this.#agents.push(agent);
    return agent;
  }

  /** From now on, and nothing but this tone: waits for a stretch that begins after the change has gone through. */
  async hears(party: RtpProbe, hz: number, withinMs = 5_000): Promise<void> {
    await party.until(
      (heard) => {
        const window = { fromMs: performance.now() - STRETCH_MS };
        return heard.durationMs(window) > 0.8 * STRETCH_MS && heard.toneShare(hz, window) > 0.97;
      },
      withinMs,
      `${hz} Hz`,
    );
  }

  /** Waits for so many digits, and then a little for one too many. */
  async digitsTold(count: number): Promise<readonly DtmfPressed[]> {
    const deadline = performance.now() + 5_000;
    while (this.digits.length < count && performance.now() < deadline) await passed(10);
    await passed(50);
    return this.digits;
  }

  async bridge(leg: LegId, agent: RtpProbe): Promise<void> {
    const answer = agent.answer(gained(await this.relay.offer(this.call, leg)));
    agent.tone(AGENT_HZ);
    const { media } = gained(await this.relay.bridge(this.call, leg, answer));
    assert.equal(media.caller.relay.port, this.callerPort);
    await this.hears(this.caller, AGENT_HZ);
    await this.hears(agent, CALLER_HZ);
  }

  async park(leg: LegId): Promise<void> {
    const { workerSendsTo } = gained(await this.relay.park(this.call, leg));
    this.worker.sendTo(workerSendsTo);
    this.worker.renew(); // as the media worker does when it is connected
    await this.hears(this.caller, WORKER_HZ);
    await this.hears(this.worker, CALLER_HZ);
  }

  async close(): Promise<void> {
    await this.relay.release(this.call);
    for (const party of [this.caller, this.worker, ...this.#agents]) await party.close();
  }
}

function assertSteady(gapMs: number, stall: OwnStall): void {
  const stalledMs = stall.maxMs();
  assert.ok(gapMs < GAP_MS_MAX + stalledMs, `a gap of ${gapMs} ms; we ourselves stood still for ${stalledMs} ms`);
}

const passed = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const leg = (name: string) => asId<"leg">(name);

describe("rtpengine carries media as a MediaRelay promises", { skip }, () => {
  let own: OwnRtpengine;
  before(async () => {
    own = await startOwnRtpengine(HOST);
  });
  after(async () => {
    await own?.relay.close();
    await own?.stop();
  });

  for (const { title, caller, agent } of [
    { title: "a PCMU caller and a PCMU agent", caller: ["PCMU"], agent: ["PCMU"] },
    { title: "a PCMU caller and a PCMA agent", caller: ["PCMU", "PCMA"], agent: ["PCMA"] },
    { title: "a PCMA caller and a PCMU agent", caller: ["PCMA"], agent: ["PCMU"] },
    { title: "a PCMA caller and a PCMA agent", caller: ["PCMA"], agent: ["PCMA"] },
  ] as const) {
    test(`${title}: music while it rings without a gap, then each other only, then music again`, async () => {
      const scene = await Scene.open(own.relay, { codecs: caller });
      const stall = new OwnStall();
      try {
        // Given one leg that rejects
        stall.begin();
        const startMs = performance.now();
        gained(await scene.relay.offer(scene.call, leg("first")));
        await passed(300);
        gained(await scene.relay.park(scene.call, leg("first")));
        // and one that rings
        const phone = await scene.agent({ codecs: agent });
        const answer = phone.answer(gained(await scene.relay.offer(scene.call, leg("second"))));
        await passed(300);
        // Then the caller has heard nothing but the worker, without a gap
        const ringing = { fromMs: startMs, toMs: performance.now() };
        const heard = scene.caller.listening;
        assert.ok(heard.toneShare(WORKER_HZ, ringing) > 0.97, "music while ringing");
        assertSteady(heard.longestGapMs(ringing), stall);
        assert.equal(heard.losses(ringing).lost, 0);

        // When it answers
        phone.tone(AGENT_HZ);
        gained(await scene.relay.bridge(scene.call, leg("second"), answer));
        // Then they hear each other, though the worker goes on sending, each in its own codec
        await scene.hears(scene.caller, AGENT_HZ);
        await scene.hears(phone, CALLER_HZ);
        const bridgedMs = performance.now();
        await passed(200);
        const bridged = { fromMs: bridgedMs };
        assert.equal(heard.ssrcs(bridged).length, 1);
        assert.deepEqual(heard.payloadTypes(), [caller[0] === "PCMU" ? 0 : 8]);
        assert.deepEqual(phone.listening.payloadTypes(), [agent[0] === "PCMU" ? 0 : 8]);
        assert.equal(scene.worker.listening.packets.filter(({ atMs }) => atMs > bridgedMs).length, 0);

        // When the leg ends, though its phone goes on sending
        stall.begin();
        const parkedMs = performance.now();
        await scene.park(leg("second"));
        // Then there is music again, and the caller's port never changed
        const parked = { fromMs: parkedMs, toMs: performance.now() };
        assertSteady(heard.longestGapMs(parked), stall);
        assert.deepEqual(heard.sources(), [`${HOST}:${scene.callerPort}`]);
        const third = await scene.agent({ codecs: agent });
        await scene.bridge(leg("third"), third);
      } finally {
        await scene.close();
      }
    });
  }

  for (const dtmfPayloadType of [101, 96]) {
    test(`digits on payload type ${dtmfPayloadType} are told once each: while music plays, while it rings, while bridged`, async () => {
      const scene = await Scene.open(own.relay, { dtmfPayloadType });
      try {
        await scene.caller.press("1#");
        const phone = await scene.agent();
        const answer = phone.answer(gained(await scene.relay.offer(scene.call, leg("a"))));
        await scene.caller.press("2");
        phone.tone(AGENT_HZ);
        gained(await scene.relay.bridge(scene.call, leg("a"), answer));
        await scene.caller.press("3");
        await phone.press("4*");
        await scene.park(leg("a"));
        await scene.caller.press("5", 200);
        assert.deepEqual(
          (await scene.digitsTold(7)).map(({ side, digit }) => `${side} ${digit}`),
          ["caller 1", "caller #", "caller 2", "caller 3", "a 4", "a *", "caller 5"],
        );
        assert.equal(scene.digits[0]?.durationMs, 100);
        assert.equal(scene.digits.at(-1)?.durationMs, 200);
        assert.deepEqual(
          phone.listening.digits(phone.dtmfPayloadType ?? 0).map(({ digit }) => digit),
          ["3"],
          "the other party gets the bridged digit too",
        );
      } finally {
        await scene.close();
      }
    });
  }

  test("a caller without telephone-event is bridged with an agent that presses keys", async () => {
    const scene = await Scene.open(own.relay, { dtmfPayloadType: null });
    try {
      const phone = await scene.agent();
      await scene.bridge(leg("a"), phone);
      await phone.press("9");
      assert.deepEqual(
        (await scene.digitsTold(1)).map(({ side, digit }) => `${side} ${digit}`),
        ["a 9"],
      );
    } finally {
      await scene.close();
    }
  });

  test("a leg that sends before it answers is not heard", async () => {
    const scene = await Scene.open(own.relay);
    try {
      const phone = await scene.agent();
      const answer = phone.answer(gained(await scene.relay.offer(scene.call, leg("a"))));
      const startMs = performance.now();
      phone.tone(AGENT_HZ);
      await passed(300);
      assert.ok(scene.caller.listening.toneShare(WORKER_HZ, { fromMs: startMs }) > 0.97);
      assert.equal(scene.caller.listening.ssrcs({ fromMs: startMs }).length, 1);
      gained(await scene.relay.bridge(scene.call, leg("a"), answer));
      await scene.hears(scene.caller, AGENT_HZ);
    } finally {
      await scene.close();
    }
  });

  test("a second leg takes the first one's place, and the first one's end changes nothing", async () => {
    const scene = await Scene.open(own.relay);
    try {
      const first = await scene.agent();
      await scene.bridge(leg("a"), first);
      const second = await scene.agent({ codecs: ["PCMA"] });
      const answer = second.answer(gained(await scene.relay.offer(scene.call, leg("b"))));
      await scene.hears(scene.caller, AGENT_HZ);
      second.tone(1_300);
      gained(await scene.relay.bridge(scene.call, leg("b"), answer));
      await scene.hears(scene.caller, 1_300);
      await scene.hears(second, CALLER_HZ);
      gained(await scene.relay.park(scene.call, leg("a")));
      await passed(100);
      await scene.hears(scene.caller, 1_300);
      await scene.park(leg("b"));
    } finally {
      await scene.close();
    }
  });

  test("a third party's packets, once the caller is known, reach nobody", async () => {
    const scene = await Scene.open(own.relay);
    await passed(4_000); // so long rtpengine learns where the caller really sends from: three seconds, counted in whole ones
    const stranger = await RtpProbe.open({ host: "127.0.0.66" });
    try {
      const ssrcs = scene.worker.listening.ssrcs().length;
      stranger.sendTo({ host: HOST, port: scene.callerPort });
      stranger.tone(1_800);
      await passed(400);
      assert.equal(scene.worker.listening.ssrcs().length, ssrcs);
      await scene.hears(scene.worker, CALLER_HZ);
    } finally {
      await stranger.close();
      await scene.close();
    }
  });

  test("a caller on hold hears nothing, and comes back", async () => {
    const scene = await Scene.open(own.relay);
    try {
      const phone = await scene.agent();
      await scene.bridge(leg("a"), phone);
      const held = gained(await scene.relay.reoffer(scene.call, "caller", scene.caller.offer("inactive")));
      assert.ok(readAudio(held).ok);
      const { packets } = scene.caller.listening;
      const fellSilent = () => (packets.at(-1)?.atMs ?? 0) < performance.now() - STRETCH_MS;
      await scene.caller.until(fellSilent, 5_000, "silence");
      scene.caller.answered(gained(await scene.relay.reoffer(scene.call, "caller", scene.caller.offer())));
      await scene.hears(scene.caller, AGENT_HZ);
      await scene.hears(phone, CALLER_HZ);
      assert.deepEqual(scene.caller.listening.sources(), [`${HOST}:${scene.callerPort}`]);
    } finally {
      await scene.close();
    }
  });

  test("a leg that holds with music of its own is heard, and the bridge comes back", async () => {
    const scene = await Scene.open(own.relay);
    try {
      const phone = await scene.agent({ codecs: ["PCMA"] });
      await scene.bridge(leg("a"), phone);
      phone.answered(gained(await scene.relay.reoffer(scene.call, leg("a"), phone.offer("sendonly"))));
      phone.tone(1_300);
      await scene.hears(scene.caller, 1_300);
      await scene.caller.press("8");
      assert.deepEqual(
        (await scene.digitsTold(1)).map(({ digit }) => digit),
        ["8"],
      );
      phone.answered(gained(await scene.relay.reoffer(scene.call, leg("a"), phone.offer())));
      phone.tone(AGENT_HZ);
      await scene.hears(scene.caller, AGENT_HZ);
      await scene.hears(phone, CALLER_HZ);
      await scene.park(leg("a"));
    } finally {
      await scene.close();
    }
  });

  test("either side may move to another address in mid-call", async () => {
    const scene = await Scene.open(own.relay);
    const movedCaller = await RtpProbe.open({ host: "127.0.0.67" });
    const movedPhone = await RtpProbe.open({ host: "127.0.0.68" });
    try {
      const phone = await scene.agent();
      await scene.bridge(leg("a"), phone);
      movedCaller.answered(gained(await scene.relay.reoffer(scene.call, "caller", movedCaller.offer())));
      scene.caller.mute();
      movedCaller.tone(1_300);
      await scene.hears(movedCaller, AGENT_HZ);
      movedPhone.answered(gained(await scene.relay.reoffer(scene.call, leg("a"), movedPhone.offer())));
      phone.mute();
      movedPhone.tone(1_600);
      await scene.hears(movedPhone, 1_300);
      await scene.hears(movedCaller, 1_600);
    } finally {
      await movedCaller.close();
      await movedPhone.close();
      await scene.close();
    }
  });

  test("releaseStrangers drops what nobody knows, and nothing else", async () => {
    const scene = await Scene.open(own.relay);
    try {
      const stranger = asId<"call">("stranger");
      gained(await own.relay.anchor(stranger, scene.caller.offer(), scene.worker.address));
      assert.equal(gained(await own.relay.releaseStrangers((call) => call !== stranger)), 1);
      await scene.hears(scene.caller, WORKER_HZ);
    } finally {
      await scene.close();
    }
  });
});

if (skip === false) {
  let own: OwnRtpengine | undefined;
  after(() => own?.stop());
  mediaRelayContract("rtpengine", async () => {
    own = await startOwnRtpengine(`127.77.${process.pid % 250}.3`);
    return own.relay;
  });
}

describe("rtpengine restarted", { skip }, () => {
  test("a call it has forgotten says so at the next leg, and can be anchored again, also out of a bridge", async () => {
    const own = await startOwnRtpengine(`127.77.${process.pid % 250}.5`);
    try {
      const scene = await Scene.open(own.relay);
      try {
        await scene.bridge(leg("a"), await scene.agent());
        await own.restart();
        const offered = await own.relay.offer(scene.call, leg("b"));
        assert.deepEqual(offered, { ok: false, failure: { code: "media.not-anchored" } });
        await own.restart();
        const again = gained(await own.relay.anchor(scene.call, scene.caller.offer(), scene.worker.address));
        scene.caller.answered(again.answerForCaller);
        scene.worker.sendTo(again.workerSendsTo);
        await scene.hears(scene.caller, WORKER_HZ);
        await scene.hears(scene.worker, CALLER_HZ);
      } finally {
        await scene.close();
      }
    } finally {
      await own.relay.close();
      await own.stop();
    }
  });
});

describe("rtpengine away", { skip }, () => {
  test("every command fails within the time limit, and the relay serves again when it is back", async () => {
    const limits = { resendAfterMs: 50, timeoutMs: 200, busyTimeoutMs: 400, waitingMax: 10 };
    const own = await startOwnRtpengine(`127.77.${process.pid % 250}.2`, { limits });
    try {
      const call = asId<"call">("away");
      own.process.kill("SIGSTOP");
      while ((await own.relay.health()).ok); // its threads stop one after the other
      const startMs = performance.now();
      const anchored = await own.relay.anchor(call, CALLER_SDP, { host: "127.0.0.1", port: 20_000 });
      assert.deepEqual(anchored, { ok: false, failure: { code: "media.relay-away", command: "offer", waitedMs: 400 } });
      assert.ok(performance.now() - startMs < 1_000);
      own.process.kill("SIGCONT");
      while (!(await own.relay.health()).ok);
      assert.ok((await own.relay.anchor(call, CALLER_SDP, { host: "127.0.0.1", port: 20_000 })).ok);
    } finally {
      await own.relay.close();
      await own.stop();
    }
  });
});

const CALLER_SDP =
  "v=0\r\no=- 1 1 IN IP4 127.0.0.9\r\ns=-\r\nc=IN IP4 127.0.0.9\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";
