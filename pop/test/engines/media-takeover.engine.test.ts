// A host's whole media dies, and comes back in processes that know nothing but what was saved: rtpengine from its Redis, the
// media worker and the pop's part of each call from the call's checkpoint. Real processes, real packets.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { asId, type CallId } from "../../../kernel/ids.ts";
import { succeed } from "../../../kernel/outcome.ts";
import { RtpProbe } from "../../../loadtest/rtp-probe/rtp-probe.ts";
import { type OwnMediaWorker, startOwnMediaWorker } from "../../adapters/media-worker/own-media-worker.ts";
import { rtpengineInstalled, startOwnRtpengine } from "../../adapters/rtpengine/own-rtpengine.ts";
import { CallMedia, type MediaEngines, type SavedMedia } from "../../app/call-media.ts";
import { REDIS_MISSING, RedisServer } from "../../checkpoint/adapters/redis/redis-server.ts";
import type { CallInput } from "../../core/call/call-execution.ts";
import type { Playing } from "../../core/call/call-state.ts";
import { encodeG711 } from "../../core/media/g711.ts";
import { toneSamples } from "../../core/media/tone.ts";

const skip = rtpengineInstalled() ? REDIS_MISSING : "rtpengine is not installed (Debian: rtpengine-daemon)";
const HOST = `127.80.${process.pid % 250}.1`;
const CALLS = 60;
const PASSWORD = "open-sesame";
const [CALLER_HZ, AGENT_HZ, PROMPT_HZ] = [1_000, 700, 500];
const STRETCH_MS = 300;

const passed = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const quantile = (sorted: readonly number[], share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;

interface Party {
  readonly call: CallId;
  readonly caller: RtpProbe;
  readonly agent: RtpProbe | undefined;
  readonly hears: number;
}

/** Waits for what the media of a call says of itself. */
function mediaOf(engines: MediaEngines, call: CallId, offer: string) {
  const told: CallInput[] = [];
  const media = new CallMedia(engines, call, "acme", offer, {
    tell: (input) => told.push(input),
    changed() {},
    held: () => true,
  });
  const until = async <Kind extends CallInput["kind"]>(kind: Kind): Promise<Extract<CallInput, { kind: Kind }>> => {
    for (;;) {
      const found = told.find((input): input is Extract<CallInput, { kind: Kind }> => input.kind === kind);
      if (found !== undefined) return found;
      const failed = told.find(({ kind: said }) => said.endsWith("-failed"));
      if (failed !== undefined) assert.fail(JSON.stringify(failed));
      await passed(2);
    }
  };
  return { media, until, told };
}

test("prompts, music and talk go on after rtpengine, media worker and pop have died together", { skip }, async (t) => {
  const redis = await RedisServer.start(PASSWORD);
  const folder = mkdtempSync(join(tmpdir(), "tollgate-media-takeover-"));
  const prompt = join(folder, "prompt.ulaw");
  writeFileSync(prompt, encodeG711("PCMU", toneSamples(PROMPT_HZ, 60_000)));
  const edge = await startOwnRtpengine(HOST, {
    redis: { host: redis.host, port: redis.port, password: PASSWORD, database: 1 },
  });
  const workers: OwnMediaWorker[] = [];
  const promptsOf = () => ({
    resolve: async () => succeed({ kind: "file", path: prompt, durationMs: 60_000 } as const),
  });
  const playing: Playing = {
    play: asId<"play">("flow-1"),
    prompts: [{ kind: "file", name: "music/default" }],
    repeat: "forever",
    fromMs: 0,
    sinceUnixMs: undefined,
  };
  const parties: Party[] = [];
  const saved = new Map<CallId, SavedMedia>();
  try {
    const firstWorker = await startOwnMediaWorker({ host: HOST });
    workers.push(firstWorker);
    const first: MediaEngines = { relay: await edge.anotherRelay(), server: firstWorker.server, promptsOf };
    for (let at = 0; at < CALLS; at++) {
      const call = asId<"call">(`takeover-${at}`);
      const leg = asId<"leg">(`takeover-${at}.1`);
      const caller = await RtpProbe.open({ codecs: at % 4 === 3 ? ["PCMA"] : ["PCMU"], srtp: at % 3 === 2 });
      const { media, until } = mediaOf(first, call, caller.offer());
      media.perform({ kind: "anchor" });
      caller.answered((await until("anchored")).answer);
      caller.tone(CALLER_HZ);
      let agent: RtpProbe | undefined;
      if (at % 2 === 0) {
        media.perform({ kind: "play", playing });
        await until("play-started");
      } else {
        media.perform({ kind: "offer-leg", leg });
        // A key of its own for the caller and another codec behind it: what rtpengine makes itself needs no re-INVITE.
        agent = await RtpProbe.open({ codecs: at % 4 === 3 ? ["PCMU"] : at % 3 === 2 ? ["PCMA"] : ["PCMU"] });
        const answer = agent.answer((await until("leg-offer-ready")).sdp);
        agent.tone(AGENT_HZ);
        media.perform({ kind: "bridge", leg, answer });
        await until("bridged");
      }
      await media.settled();
      parties.push({ call, caller, agent, hears: agent === undefined ? PROMPT_HZ : AGENT_HZ });
      saved.set(call, JSON.parse(JSON.stringify(media.saved())) as SavedMedia);
    }
    const hears = (probe: RtpProbe, hz: number, fromMs: number) =>
      probe.until(
        (heard) => {
          const window = { fromMs: Math.max(fromMs, performance.now() - STRETCH_MS) };
          return heard.durationMs(window) > 0.7 * STRETCH_MS && heard.toneShare(hz, window) > 0.97;
        },
        5_000,
        `${hz} Hz`,
      );
    for (const { caller, agent, hears: hz } of parties) {
      await hears(caller, hz, 0);
      if (agent !== undefined) await hears(agent, CALLER_HZ, 0);
    }

    // When all of it dies, but for a worker that waits as a spare does: loaded, and without a port
    const second = await startOwnMediaWorker({ host: HOST });
    workers.push(second);
    const sources = parties.map(({ caller }) => caller.listening.sources().join());
    const diedMs = performance.now();
    await Promise.all([edge.kill(), firstWorker.stop(), first.relay.close()]);
    const goneMs = performance.now() - diedMs;
    await edge.start();
    const backMs = performance.now() - diedMs;
    const next: MediaEngines = { relay: await edge.anotherRelay(), server: second.server, promptsOf };
    const forgotten: CallId[] = [];
    next.relay.onForgotten((call) => forgotten.push(call));
    const medias: CallMedia[] = [];
    for (const { call, agent } of parties) {
      const { media } = mediaOf(next, call, "");
      const before = saved.get(call);
      assert.ok(before !== undefined);
      media.restore(before);
      const fromMs = 10_000 + performance.now() - diedMs;
      if (agent === undefined) media.perform({ kind: "play", playing: { ...playing, fromMs } });
      medias.push(media);
    }
    await Promise.all(medias.map((media) => media.settled()));

    // Then everybody hears what they heard, from where they heard it, and nobody had to be told anything
    const fromMs = performance.now();
    for (const { caller, agent, hears: hz } of parties) {
      await hears(caller, hz, fromMs);
      if (agent !== undefined) await hears(agent, CALLER_HZ, fromMs);
    }
    const endMs = performance.now();
    const gapsOf = (some: readonly RtpProbe[]) =>
      some.map((probe) => probe.listening.longestGapMs({ fromMs: diedMs, toMs: endMs })).sort((a, b) => a - b);
    const show = (gaps: readonly number[]) =>
      `p50 ${quantile(gaps, 0.5).toFixed(0)} ms, p99 ${quantile(gaps, 0.99).toFixed(0)} ms`;
    const talking = gapsOf(parties.flatMap(({ caller, agent }) => (agent === undefined ? [] : [caller, agent])));
    const played = gapsOf(parties.flatMap(({ caller, agent }) => (agent === undefined ? [caller] : [])));
    t.diagnostic(
      `${CALLS} calls, processes gone after ${goneMs.toFixed(0)} ms, rtpengine back after ${backMs.toFixed(0)} ms: gap while talking ${show(talking)}; of what is played ${show(played)}`,
    );
    assert.deepEqual(forgotten, []);
    assert.deepEqual(
      parties.map(({ caller }) => caller.listening.sources().join()),
      sources,
      "no port has changed",
    );
    await next.relay.close();
  } finally {
    for (const { caller, agent } of parties) await Promise.all([caller.close(), agent?.close()]);
    await edge.relay.close();
    await edge.stop();
    for (const worker of workers) await worker.stop();
    await redis.close();
    rmSync(folder, { recursive: true, force: true });
  }
});
