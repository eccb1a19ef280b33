// The whole way of a caller's media on the real processes: prompt store → media worker → rtpengine → caller, and back.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { asId } from "../../../kernel/ids.ts";
import type { Outcome } from "../../../kernel/outcome.ts";
import { readAudioFile } from "../../../loadtest/rtp-probe/audio-file.ts";
import { RtpProbe } from "../../../loadtest/rtp-probe/rtp-probe.ts";
import { type OwnMediaWorker, startOwnMediaWorker } from "../media-worker/own-media-worker.ts";
import { FilePromptStore } from "../prompts/prompt-store.ts";
import { type OwnRtpengine, rtpengineInstalled, startOwnRtpengine } from "./own-rtpengine.ts";

const HOST = `127.77.${process.pid % 250}.4`;
const skip = rtpengineInstalled() ? false : "rtpengine is not installed (Debian: rtpengine-daemon)";

function gained<Value>(outcome: Outcome<Value, unknown>): Value {
  if (!outcome.ok) assert.fail(`failed: ${JSON.stringify(outcome.failure)}`);
  return outcome.value;
}

describe("a caller's media, end to end", { skip }, () => {
  let edge: OwnRtpengine;
  let worker: OwnMediaWorker;
  let root: string;
  before(async () => {
    root = mkdtempSync(join(tmpdir(), "tollgate-media-"));
    edge = await startOwnRtpengine(HOST);
    worker = await startOwnMediaWorker({ host: HOST });
  });
  after(async () => {
    await worker?.stop();
    await edge?.relay.close();
    await edge?.stop();
    rmSync(root, { recursive: true, force: true });
  });

  for (const law of ["PCMU", "PCMA"] as const) {
    test(`a ${law} caller hears the music, an agent, and the music again; digits and tones arrive`, async () => {
      const { relay } = edge;
      const { server } = worker;
      const call = asId<"call">(`whole-${law}`);
      const caller = await RtpProbe.open({ codecs: [law] });
      const agent = await RtpProbe.open();
      try {
        const store = new FilePromptStore({ folder: root, cacheFolder: join(root, "cache") });
        const music = gained(await store.resolve({ kind: "file", name: "music/default" }));
        if (music.kind !== "file") assert.fail("music is a file");
        const sought = readAudioFile(music.path).subarray(0, 8_000);

        // Given a caller that is anchored and hears music
        const address = gained(await server.open(call));
        const anchored = gained(await relay.anchor(call, caller.offer(), address));
        caller.answered(anchored.answerForCaller);
        caller.tone(1_000);
        gained(await server.connect(call, anchored.workerSendsTo, anchored.dtmfPayloadType));
        const item = { kind: "file", path: music.path } as const;
        gained(await server.play(call, asId<"play">(`music-1-${law}`), [item], "forever"));
        await caller.until((heard) => heard.durationMs() > 1_300);
        assert.ok(caller.listening.likeness(sought).score > 0.98);
        assert.ok(gained(await server.listen(call, 1_000, 300)).share > 0.97);

        // When an agent is rung and joined
        const leg = asId<"leg">("agent");
        const ringMs = performance.now();
        const answer = agent.answer(gained(await relay.offer(call, leg)));
        await caller.until((heard) => heard.durationMs({ fromMs: ringMs }) > 300);
        assert.ok(caller.listening.longestGapMs({ fromMs: ringMs, toMs: performance.now() }) < 100);
        agent.tone(700);
        gained(await relay.bridge(call, leg, answer));
        gained(await server.hush(call));
        const joined = (heard: RtpProbe["listening"], hz: number) => {
          const window = { fromMs: performance.now() - 300 };
          return heard.durationMs(window) > 240 && heard.toneShare(hz, window) > 0.97;
        };
        await caller.until((heard) => joined(heard, 700), 2_000, "the agent");
        await agent.until((heard) => joined(heard, 1_000), 2_000, "the caller");

        // Then, the agent gone, there is music again at once
        const parkMs = performance.now();
        const { workerSendsTo } = gained(await relay.park(call, leg));
        gained(await server.connect(call, workerSendsTo, anchored.dtmfPayloadType));
        gained(await server.play(call, asId<"play">(`music-2-${law}`), [item], "forever"));
        await caller.until((heard) => heard.durationMs({ fromMs: parkMs }) > 1_300);
        assert.ok(caller.listening.likeness(sought, { fromMs: parkMs }).score > 0.98);
        assert.ok(caller.listening.longestGapMs({ fromMs: parkMs, toMs: performance.now() }) < 100);
        assert.equal(caller.listening.sources().length, 1);
      } finally {
        await relay.release(call);
        await server.close(call);
        await caller.close();
        await agent.close();
      }
    });
  }
});
