// The media worker as a process of its own, through our end of its control socket, with real packets on loopback.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { asId } from "../../../kernel/ids.ts";
import { silentLog } from "../../../kernel/log.ts";
import type { Outcome } from "../../../kernel/outcome.ts";
import { RtpProbe } from "../../../loadtest/rtp-probe/rtp-probe.ts";
import { mediaServerContract } from "../../boundary/media-server.contract.ts";
import type { Played } from "../../boundary/media-server.ts";
import { encodeG711 } from "../../core/media/g711.ts";
import { sequenceStep, timestampStep } from "../../core/media/rtp.ts";
import { MediaWorkerServer } from "./media-server.ts";
import { type OwnMediaWorker, startOwnMediaWorker } from "./own-media-worker.ts";

const MAIN = fileURLToPath(new URL("../../media-worker/main.ts", import.meta.url));
const call = (name: string) => asId<"call">(name);
const play = (name: string) => asId<"play">(name);

function gained<Value>(outcome: Outcome<Value, unknown>): Value {
  if (!outcome.ok) assert.fail(`failed: ${JSON.stringify(outcome.failure)}`);
  return outcome.value;
}

/** Sounds like speech to a comparison: nothing in it repeats. */
function sweep(ms: number): Int16Array {
  return Int16Array.from({ length: ms * 8 }, (_, at) => {
    const seconds = at / 8_000;
    return 8_000 * Math.sin(2 * Math.PI * (300 + 400 * seconds) * seconds) * (0.6 + 0.4 * Math.sin(19 * seconds));
  });
}

const isSilence = (payload: Uint8Array) => payload.every((byte) => byte === 0xff);

function writePrompt(own: OwnMediaWorker, name: string, samples: Int16Array): string {
  const path = join(own.folder, `${name}.ulaw`);
  writeFileSync(path, encodeG711("PCMU", samples));
  return path;
}

mediaServerContract("the media worker", async () => {
  const own = await startOwnMediaWorker();
  const path = writePrompt(own, "contract", sweep(330));
  // 330 ms fill 17 frames
  return { server: own.server, finish() {}, file: { ref: { kind: "file", path }, durationMs: 340 }, close: own.stop };
});

test("a new call waits for a worker that is being restarted; one that stays away is not waited for", async () => {
  const folder = mkdtempSync(join(tmpdir(), "tollgate-media-server-"));
  const socketPath = join(folder, "control.sock");
  const address = { host: "127.0.0.1", port: 20_000 };
  const worker = createServer((socket) => {
    socket.write('{"event":"hello","protocol":1}\n');
    socket.on("error", () => {});
    const lines = createInterface({ input: socket });
    lines.on("error", () => {}); // readline passes its input's on
    lines.on("line", (line) =>
      socket.write(`${JSON.stringify({ id: JSON.parse(line).id, ok: true, value: address })}\n`),
    );
  });
  const patient = new MediaWorkerServer({ socketPath, awayPatienceMs: 60_000 }, silentLog);
  const hasty = new MediaWorkerServer({ socketPath, awayPatienceMs: 0 }, silentLog);
  try {
    const refused = await hasty.open(call("in vain"));
    assert.ok(!refused.ok && refused.failure.code === "media.worker-away");
    const opening = patient.open(call("waits"));
    worker.listen(socketPath);
    assert.deepEqual(gained(await opening), address);
  } finally {
    await Promise.all([patient.disconnect(), hasty.disconnect()]);
    worker.close();
    rmSync(folder, { recursive: true, force: true });
  }
});

describe("what the media worker sends", () => {
  let own: OwnMediaWorker;
  let caller: RtpProbe;
  let calls = 0;
  const played: (Played & { readonly toldAtMs: number })[] = [];
  before(async () => {
    own = await startOwnMediaWorker({ host: `127.78.${process.pid % 250}.2` });
    own.server.onPlayed((event) => played.push({ ...event, toldAtMs: performance.now() }));
    caller = await RtpProbe.open();
  });
  after(async () => {
    await caller?.close();
    await own?.stop();
  });

  const connected = async () => {
    const name = call(`sends-${++calls}`);
    const address = gained(await own.server.open(name));
    gained(await own.server.connect(name, caller.address));
    return { name, address };
  };
  const endOf = async (name: string) => {
    await caller.until(() => played.some((event) => event.play === name), 3_000, `the end of ${name}`);
    return played.find((event) => event.play === name) as (typeof played)[number];
  };

  test("silence while nothing plays, then the prompt, whole, then silence, in one stream", async () => {
    const fromMs = performance.now();
    const { name } = await connected();
    await caller.until((heard) => heard.packets.length >= 5);
    const samples = sweep(1_000);
    const path = writePrompt(own, "whole", samples);
    gained(await own.server.play(name, play("whole"), [{ kind: "file", path }], "once"));
    const end = await endOf("whole");
    assert.deepEqual([end.how, end.atMs], ["finished", 1_000]);
    await own.server.close(name);

    const packets = caller.listening.packets.filter(({ atMs }) => atMs >= fromMs);
    const isSilent = (payload: Uint8Array) => payload.every((byte) => byte === 0xff);
    const spoken = packets.filter(({ payload }) => !isSilent(payload));
    assert.equal(spoken.length, 50);
    assert.deepEqual(
      packets.filter(({ marker }) => marker).map((packet) => packets.indexOf(packet)),
      [0, packets.indexOf(spoken[0] as (typeof packets)[number])],
    );
    for (const [at, packet] of packets.entries()) {
      const before = packets[at - 1];
      assert.equal(packet.payload.length, 160);
      assert.equal(packet.payloadType, 0);
      if (before === undefined) continue;
      assert.equal(packet.ssrc, before.ssrc);
      assert.equal(sequenceStep(before.sequence, packet.sequence), 1);
      assert.equal(timestampStep(before.timestamp, packet.timestamp), 160);
    }
    assert.ok(caller.listening.likeness(samples, { fromMs }).score > 0.98);
    const lastFrameMs = spoken.at(-1)?.atMs ?? 0;
    assert.ok(end.toldAtMs - lastFrameMs > 10 && end.toldAtMs - lastFrameMs < 60, "the end is told as its 20 ms pass");
  });

  test("tones, silence and files in one play, and music for ever", async () => {
    const { name } = await connected();
    const fromMs = performance.now();
    gained(
      await own.server.play(
        name,
        play("items"),
        [
          { kind: "tone", hz: 440, ms: 200 },
          { kind: "silence", ms: 100 },
          { kind: "tone", hz: 1_250, ms: 200 },
        ],
        "forever",
      ),
    );
    await caller.until((heard) => heard.durationMs({ fromMs }) > 1_100, 3_000);
    // each fills some of the time, and there is hardly anything else
    assert.ok(caller.listening.toneShare(440, { fromMs }) > 0.15);
    assert.ok(caller.listening.toneShare(1_250, { fromMs }) > 0.15);
    const stopped = gained(await own.server.stop(name));
    assert.ok(stopped.atMs > 1_000);
    await own.server.close(name);
  });

  test("hushed it sends nothing; connected again it is a new stream", async () => {
    const { name } = await connected();
    await caller.until((heard) => heard.packets.length > 3);
    const before = caller.listening.ssrcs().at(-1);
    gained(await own.server.hush(name));
    await new Promise((resolve) => setTimeout(resolve, 30)); // what was on its way
    const fromMs = performance.now();
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.equal(caller.listening.packets.filter(({ atMs }) => atMs > fromMs).length, 0);
    gained(await own.server.connect(name, caller.address));
    await caller.until((heard) => heard.ssrcs().at(-1) !== before);
    await own.server.close(name);
  });

  test("it hears what it is sent", async () => {
    const { name, address } = await connected();
    caller.sendTo(address);
    caller.tone(1_000);
    let share = 0;
    await caller.until((heard) => heard.packets.length > 0);
    for (let tries = 0; tries < 100 && share < 0.99; tries++) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      share = gained(await own.server.listen(name, 1_000, 200)).share;
    }
    assert.ok(share > 0.99);
    caller.mute();
    await own.server.close(name);
  });

  test("a prompt that cannot be read fails, and what plays plays on", async () => {
    const { name } = await connected();
    gained(await own.server.play(name, play("goes-on"), [{ kind: "tone", hz: 440, ms: 60_000 }], "once"));
    const missing = await own.server.play(name, play("missing"), [{ kind: "file", path: "/nowhere.ulaw" }], "once");
    assert.equal(missing.ok ? "" : missing.failure.code, "media.prompt-unreadable");
    assert.ok(!played.some((event) => event.play === "goes-on" || event.play === "missing"));
    await own.server.close(name);
    assert.equal((await endOf("goes-on")).how, "stopped");
  });
});

describe("the media worker's control socket", () => {
  test("is the owner's only; bad lines are refused, worse ones end the connection, and the worker lives on", async () => {
    const own = await startOwnMediaWorker({ host: `127.78.${process.pid % 250}.3` });
    try {
      assert.equal(statSync(own.socketPath).mode & 0o777, 0o600);
      const raw = connect(own.socketPath);
      raw.setEncoding("utf8");
      let said = "";
      raw.on("data", (text) => {
        said += text;
      });
      raw.on("error", () => {});
      raw.write(
        '{"id":1,"op":"dance"}\n{"id":2,"op":"play","call":"c","play":"p","items":[{"kind":"tone","hz":1e9,"ms":-1}]}\n',
      );
      while (said.split("\n").length < 4) await once(raw, "data");
      const replies = said
        .split("\n")
        .slice(1, 3)
        .map((line) => JSON.parse(line));
      assert.deepEqual(
        replies.map(({ id, ok, failure }) => [id, ok, failure.code]),
        [
          [1, false, "media.worker-refused"],
          [2, false, "media.worker-refused"],
        ],
      );
      raw.write("x".repeat(100_000));
      await once(raw, "close");
      const again = own.connectAgain();
      await new Promise<void>((resolve) => again.onConnected(resolve));
      assert.ok((await again.health()).ok);
    } finally {
      await own.stop();
    }
  });

  test("when the pop is gone callers hear on; its successor gets their endpoints, and what it does not want is closed", async () => {
    const own = await startOwnMediaWorker({ host: `127.78.${process.pid % 250}.4`, orphanSeconds: 1 });
    const caller = await RtpProbe.open();
    try {
      const kept = gained(await own.server.open(call("kept")));
      gained(await own.server.open(call("orphan")));
      gained(await own.server.connect(call("kept"), caller.address));
      const events: unknown[] = [];
      own.server.onPlayed(({ play: of, how }) => events.push([of, how]));
      own.server.onLost(() => events.push("lost"));
      gained(await own.server.play(call("kept"), play("music"), [{ kind: "tone", hz: 440, ms: 1_000 }], "forever"));
      await own.server.disconnect();
      assert.deepEqual(events, [["music", "lost"], "lost"]);

      const fromMs = performance.now();
      const next = own.connectAgain();
      await new Promise<void>((resolve) => next.onConnected(resolve));
      assert.deepEqual(gained(await next.open(call("kept"))), kept);
      await caller.until((heard) => heard.durationMs({ fromMs }) > 1_300, 5_000);
      assert.ok(caller.listening.toneShare(440, { fromMs }) > 0.97);
      assert.ok(caller.listening.longestGapMs({ fromMs }) < 100);
      assert.equal((gained(await next.stats()) as { endpoints: number }).endpoints, 1);
    } finally {
      await caller.close();
      await own.stop();
    }
  });

  test("a worker that dies: the next one has every endpoint at its port again, and plays where the plays would be", async (t) => {
    const host = `127.78.${process.pid % 250}.7`;
    const first = await startOwnMediaWorker({ host });
    const callers = await Promise.all(Array.from({ length: 200 }, () => RtpProbe.open({ packetsMax: 500 })));
    const music = writePrompt(first, "music", sweep(4_000));
    const text = readFileSync(music);
    const saved = new Map<string, string>();
    try {
      for (const [at, { address }] of callers.entries()) {
        const name = call(`many-${at}`);
        gained(await first.server.open(name));
        gained(await first.server.connect(name, address));
        gained(await first.server.play(name, play(`music-${at}`), [{ kind: "file", path: music }], "forever"));
        saved.set(name, JSON.stringify(first.server.saved(name)));
      }
      const hushed = call("many-3");
      gained(await first.server.hush(hushed));
      saved.set(hushed, JSON.stringify(first.server.saved(hushed)));
      await first.stop();

      const second = await startOwnMediaWorker({ host });
      const again = join(second.folder, "music.ulaw");
      writeFileSync(again, text);
      try {
        const startMs = performance.now();
        await Promise.all(
          [...saved].map(async ([name, text], at) => {
            const each = call(name);
            second.server.restore(each, JSON.parse(text));
            const address = gained(await second.server.open(each));
            assert.equal(address.port, JSON.parse(text).address.port);
            if (each === hushed) return;
            gained(
              await second.server.play(
                each,
                play(`music-${at}`),
                [{ kind: "file", path: again }],
                "forever",
                1_000 + 4_000 * 900,
              ),
            );
          }),
        );
        const sounds = (probe: RtpProbe) =>
          probe.listening.packets.some(({ atMs, payload }) => atMs > startMs && !isSilence(payload));
        const sounding = callers.filter((_, at) => `many-${at}` !== hushed);
        for (const probe of sounding) await probe.until(() => sounds(probe), 3_000, "music again");
        const lastMs = Math.max(
          ...sounding.map(
            (probe) =>
              probe.listening.packets.find(({ atMs, payload }) => atMs > startMs && !isSilence(payload))?.atMs ??
              Infinity,
          ),
        );
        t.diagnostic(
          `200 endpoints restored in a fresh worker: all of them sound after ${(lastMs - startMs).toFixed(0)} ms`,
        );
        const heard = callers[0]?.listening.packets.find(({ atMs, payload }) => atMs > startMs && !isSilence(payload));
        assert.deepEqual(
          Buffer.from(heard?.payload ?? []),
          text.subarray(8_000, 8_160),
          "at its position, counted in passes",
        );
        assert.equal(
          callers[3]?.listening.packets.some(({ atMs }) => atMs > startMs),
          false,
          "who was hushed stays so",
        );
      } finally {
        await second.stop();
      }
    } finally {
      for (const probe of callers) await probe.close();
    }
  });

  test("a port that somebody else has by now: a new one, which sends nowhere yet", async () => {
    const own = await startOwnMediaWorker({ host: `127.78.${process.pid % 250}.8` });
    const stranger = await RtpProbe.open({ host: `127.78.${process.pid % 250}.8`, port: 20_100 });
    try {
      const name = call("taken");
      const sendsTo = { host: "127.0.0.1", port: 9 };
      own.server.restore(name, { address: { ...stranger.address }, sendsTo, hushed: false });
      const address = gained(await own.server.open(name));
      assert.notEqual(address.port, 20_100);
      assert.equal(own.server.sendsTo(name), undefined);
    } finally {
      await stranger.close();
      await own.stop();
    }
  });

  test("the pop dies in the middle of a prompt: its successor asks for it again, and no packet is missing or twice", async () => {
    const own = await startOwnMediaWorker({ host: `127.78.${process.pid % 250}.9` });
    const caller = await RtpProbe.open();
    try {
      const name = call("goes-on");
      const path = writePrompt(own, "goes-on", sweep(1_000));
      gained(await own.server.open(name));
      gained(await own.server.connect(name, caller.address));
      gained(await own.server.play(name, play("long"), [{ kind: "file", path }], "once"));
      await caller.until((heard) => heard.packets.filter(({ payload }) => !isSilence(payload)).length > 15);
      const saved = JSON.parse(JSON.stringify(own.server.saved(name)));
      await own.server.disconnect();
      const next = own.connectAgain();
      await new Promise<void>((resolve) => next.onConnected(() => resolve()));
      const ended = new Promise<Played>((resolve) => next.onPlayed(resolve));
      next.restore(name, saved);
      gained(await next.open(name));
      gained(await next.play(name, play("long"), [{ kind: "file", path }], "once", 200));
      assert.deepEqual(await ended, { call: name, play: "long", how: "finished", atMs: 1_000 });
      const spoken = caller.listening.packets.filter(({ payload }) => !isSilence(payload));
      assert.equal(spoken.length, 50);
      assert.equal(new Set(caller.listening.packets.map(({ ssrc }) => ssrc)).size, 1);
      assert.equal(caller.listening.losses().lost, 0);
    } finally {
      await caller.close();
      await own.stop();
    }
  });

  test("ports run out with a failure that says how many there are", async () => {
    const own = await startOwnMediaWorker({
      host: `127.78.${process.pid % 250}.5`,
      portFirst: 20_000,
      portLast: 20_003,
    });
    try {
      gained(await own.server.open(call("1")));
      gained(await own.server.open(call("2")));
      const third = await own.server.open(call("3"));
      assert.deepEqual(third, { ok: false, failure: { code: "media.endpoints-exhausted", endpointsMax: 2 } });
      await own.server.close(call("1"));
      gained(await own.server.open(call("3")));
    } finally {
      await own.stop();
    }
  });

  test("a dead worker's socket is taken over, a living one's is not; SIGTERM leaves nothing", async () => {
    const own = await startOwnMediaWorker({ host: `127.78.${process.pid % 250}.6` });
    const config = join(own.folder, "media-worker.json");
    const start = () => spawn(process.execPath, [MAIN, "--config", config], { stdio: ["ignore", "pipe", "pipe"] });
    try {
      const second = start();
      assert.deepEqual((await once(second, "exit"))[0], 69);
      const lost = new Promise<void>((resolve) => own.server.onLost(resolve));
      own.process.kill("SIGKILL");
      await lost;
      assert.ok(existsSync(own.socketPath));
      const back = new Promise<void>((resolve) => own.server.onConnected(resolve));
      const third = start();
      await back;
      assert.ok((await own.server.health()).ok);
      third.kill("SIGTERM");
      assert.deepEqual((await once(third, "exit"))[0], 0);
      assert.ok(!existsSync(own.socketPath));
    } finally {
      await own.stop();
    }
  });

  test("a bad configuration is listed whole, exit 78", async () => {
    const own = await startOwnMediaWorker({ host: `127.78.${process.pid % 250}.7` });
    try {
      const path = join(own.folder, "bad.json");
      const rtp = { host: "here", portFirst: 20_000, portLast: 19_000 };
      writeFileSync(path, JSON.stringify({ control: { socketPath: `/${"x".repeat(107)}` }, rtp, more: 1 }));
      const child = spawn(process.execPath, [MAIN, "--config", path], { stdio: ["ignore", "ignore", "pipe"] });
      let said = "";
      child.stderr.on("data", (text) => {
        said += text;
      });
      assert.equal((await once(child, "close"))[0], 78);
      for (const mistake of ["control.socketPath", "rtp.host", "more"]) assert.ok(said.includes(mistake), said);
    } finally {
      await own.stop();
    }
  });
});
