// What the real daemon does only by chance: after a restart, the same ports again.

import assert from "node:assert/strict";
import { createSocket, type Socket } from "node:dgram";
import { after, before, beforeEach, describe, test } from "node:test";
import { asId } from "../../../kernel/ids.ts";
import { silentLog } from "../../../kernel/log.ts";
import type { MediaRelay } from "../../boundary/media-relay.ts";
import { PCMU, writeAudio } from "../../core/media/sdp.ts";
import { RtpengineMediaRelay } from "./media-relay.ts";

const HOST = "127.0.0.1";
const LIMITS = { resendAfterMs: 20, timeoutMs: 100, busyTimeoutMs: 400, waitingMax: 100 };
const CALL = asId<"call">("call");
const LEG = asId<"leg">("a");
const CALLER_OFFER = writeAudio({ address: { host: HOST, port: 4_000 }, codecs: [PCMU] });
const WORKER = { host: HOST, port: 20_000 };

/** Answers as rtpengine does, and gives a party's tag the same port in every run. */
class FakeRtpengine {
  readonly commands: string[] = [];
  #run = 1;
  #tags = new Set<string>();
  readonly #socket: Socket = createSocket("udp4");
  silent = false;
  onList: () => void = () => {};

  async open(): Promise<{ readonly host: string; readonly port: number }> {
    this.#socket.on("message", (bytes, from) => {
      if (this.silent) return;
      const text = bytes.toString("latin1");
      const space = text.indexOf(" ");
      const reply = JSON.stringify(this.#answer(JSON.parse(text.slice(space + 1))));
      this.#socket.send(`${text.slice(0, space)} ${reply}`, from.port, from.address);
    });
    await new Promise<void>((resolve) => this.#socket.bind(0, HOST, resolve));
    return { host: HOST, port: this.#socket.address().port };
  }

  restart({ forgets }: { readonly forgets: boolean }): void {
    this.#run++;
    this.commands.length = 0;
    if (forgets) this.#tags.clear();
  }

  close(): Promise<void> {
    return new Promise((resolve) => this.#socket.close(() => resolve()));
  }

  #answer(request: Readonly<Record<string, string>>): object {
    const { command = "", "from-tag": from = "", "to-tag": to = "" } = request;
    this.commands.push(command);
    if (command === "delete" && from === "") this.#tags.clear();
    if (command === "statistics") return { result: "ok", statistics: { totalstatistics: { uptime: "5" } } };
    if (command === "list") {
      this.onList();
      return { result: "ok", calls: this.#tags.size > 0 ? [CALL] : [] };
    }
    if (command !== "offer" && command !== "delete" && this.#tags.size === 0)
      return { result: "error", "error-reason": "Unknown call-id" };
    if (command === "query") return { result: "ok", tags: Object.fromEntries([...this.#tags].map((tag) => [tag, {}])) };
    if (command !== "offer" && command !== "answer") return { result: "ok" };
    for (const tag of [from, to]) this.#tags.add(tag);
    const told = command === "offer" ? to : from;
    const port = { caller: 30_000, worker: 30_002 }[told] ?? 30_004;
    const sdp = writeAudio({ address: { host: HOST, port }, codecs: [PCMU] });
    return { result: "ok", sdp: sdp.replace("m=audio", `a=rtpengine:run-${this.#run}\r\nm=audio`) };
  }
}

describe("rtpengine restarted, and every port as before", () => {
  let daemon: FakeRtpengine;
  let relay: RtpengineMediaRelay;
  before(async () => {
    daemon = new FakeRtpengine();
    const ng = await daemon.open();
    relay = await RtpengineMediaRelay.open({ ng, dtmfLog: { host: HOST, port: 0 }, limits: LIMITS }, silentLog);
  });
  beforeEach(async () => {
    daemon.onList = () => {};
    await relay.release(CALL);
    assert.ok((await relay.anchor(CALL, CALLER_OFFER, WORKER)).ok);
    daemon.commands.length = 0;
  });
  const forgotten = (within: MediaRelay) => new Promise<string>((resolve) => within.onForgotten(resolve));
  /** Silent for so long that a command has failed: the relay counts as away, until it is heard again. */
  const away = async (run: () => void) => {
    daemon.silent = true;
    assert.equal((await relay.health()).ok, false);
    run();
    daemon.silent = false;
  };

  test("when it is back, what it has forgotten is told without being asked for", async () => {
    const told = forgotten(relay);
    await away(() => daemon.restart({ forgets: true }));
    assert.equal(await told, CALL);
    assert.equal(relay.standing(CALL), undefined);
    assert.deepEqual(await relay.offer(CALL, LEG), { ok: false, failure: { code: "media.not-anchored" } });
    const again = await relay.anchor(CALL, CALLER_OFFER, WORKER);
    assert.ok(again.ok && !again.value.moved, "the same ports by chance: nobody need hear of it");
    assert.match(again.value.answerForCaller, /^o=- \d+ 2 /m, "its version counts on");
  });

  test("a park that did not come through while it was away is made good when it is back", async () => {
    assert.ok((await relay.offer(CALL, LEG)).ok);
    assert.ok((await relay.bridge(CALL, LEG, CALLER_OFFER)).ok);
    daemon.silent = true;
    assert.ok((await relay.park(CALL, LEG)).ok, "our book has it");
    daemon.commands.length = 0;
    const back = new Promise<void>((resolve) => {
      daemon.onList = resolve;
    });
    daemon.silent = false;
    await back;
    while (daemon.commands.filter((command) => command === "answer").length < 1)
      await new Promise((resolve) => setImmediate(resolve));
    assert.ok(daemon.commands.includes("offer"), "the caller is offered to the worker again");
  });

  test("a call that is anchored while the calls are being listed is not missed in the list", async () => {
    let lost = 0;
    relay.onForgotten(() => lost++);
    const told = new Promise<void>((resolve) => {
      daemon.onList = resolve;
    });
    await relay.release(CALL);
    await away(() => {});
    const anchoring = relay.anchor(CALL, CALLER_OFFER, WORKER);
    await told;
    assert.ok((await anchoring).ok);
    for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(lost, 0);
  });

  test("the next process takes up what was saved, and finds a call that rtpengine has lost meanwhile", async () => {
    const saved = JSON.parse(JSON.stringify(relay.saved(CALL)));
    await relay.release(CALL);
    const told = forgotten(relay);
    relay.restore(CALL, saved);
    assert.equal(await told, CALL);
  });

  after(async () => {
    await relay.close();
    await daemon.close();
  });

  test("a call that it has forgotten says so at the next leg, and nothing of it is left", async () => {
    daemon.restart({ forgets: true });
    assert.deepEqual(await relay.offer(CALL, LEG), { ok: false, failure: { code: "media.not-anchored" } });
    assert.deepEqual(daemon.commands, ["offer", "query", "delete"]);
    assert.ok((await relay.anchor(CALL, CALLER_OFFER, WORKER)).ok);
    assert.ok((await relay.offer(CALL, LEG)).ok);
  });

  test("a call that it has from Redis goes on, and is asked for only once", async () => {
    daemon.restart({ forgets: false });
    assert.ok((await relay.offer(CALL, LEG)).ok);
    assert.ok((await relay.offer(CALL, asId<"leg">("b"))).ok);
    assert.equal(daemon.commands.filter((command) => command === "query").length, 1);
  });

  test("without a restart nothing is asked for; its signature reaches nobody", async () => {
    const anchored = await relay.anchor(CALL, CALLER_OFFER, WORKER);
    const offered = await relay.offer(CALL, LEG);
    assert.ok(anchored.ok && offered.ok);
    assert.doesNotMatch(anchored.value.answerForCaller + offered.value, /a=rtpengine/);
    assert.equal(daemon.commands.includes("query"), false);
  });
});
