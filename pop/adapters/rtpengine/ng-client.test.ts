import assert from "node:assert/strict";
import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { afterEach, beforeEach, describe, test } from "node:test";
import { NgClient } from "./ng-client.ts";

const LIMITS = { resendAfterMs: 30, timeoutMs: 120, busyTimeoutMs: 480, waitingMax: 2 };

describe("the NG client", () => {
  let relay: Socket;
  let client: NgClient;
  const heard: { readonly cookie: string; readonly text: string; readonly from: RemoteInfo }[] = [];
  /** What the relay does with the n-th datagram. */
  let respond: (at: number, cookie: string) => readonly string[];

  beforeEach(async () => {
    heard.length = 0;
    respond = () => [];
    relay = createSocket("udp4");
    await new Promise<void>((resolve) => relay.bind(0, "127.0.0.1", resolve));
    relay.on("message", (bytes, from) => {
      const [cookie = "", ...rest] = bytes.toString().split(" ");
      heard.push({ cookie, text: rest.join(" "), from });
      for (const answer of respond(heard.length, cookie)) relay.send(answer, from.port, from.address);
    });
    client = await NgClient.open({ host: "127.0.0.1", port: relay.address().port }, LIMITS);
  });
  afterEach(async () => {
    await client.close();
    await new Promise<void>((resolve) => relay.close(() => resolve()));
  });

  test("a request is one JSON dictionary behind a cookie, and its answer is found by it", async () => {
    respond = (_at, cookie) => [
      "other {}",
      `${cookie} not json`,
      `${cookie} {"result":"pong"}`,
      `${cookie} {"result":"late"}`,
    ];
    assert.deepEqual(await client.request({ command: "ping", list: ["a b", 1] }), {
      ok: true,
      value: { result: "pong" },
    });
    assert.deepEqual(JSON.parse(heard[0]?.text ?? ""), { command: "ping", list: ["a b", 1] });
  });

  test("a lost datagram is sent again under the same cookie", async () => {
    respond = (at, cookie) => (at === 1 ? [] : [`${cookie} {"result":"ok"}`]);
    assert.ok((await client.request({ command: "offer" })).ok);
    assert.deepEqual([heard.length, heard[0]?.cookie === heard[1]?.cookie], [2, true]);
  });

  test("an error is the relay's refusal, in its words", async () => {
    respond = (_at, cookie) => [`${cookie} {"result":"error","error-reason":"Unknown call-id"}`];
    assert.deepEqual(await client.request({ command: "answer" }), {
      ok: false,
      failure: { code: "media.relay-refused", command: "answer", detail: "Unknown call-id" },
    });
  });

  test("a relay that is back is sent at once what waits for it, and its return is told", async () => {
    const back: string[] = [];
    client.onBack(() => back.push("back"));
    assert.ok(!(await client.request({ command: "ping" })).ok);
    const waiting = client.request({ command: "offer" });
    respond = (_at, cookie) => [`${cookie} {"result":"ok"}`];
    assert.ok((await waiting).ok);
    assert.deepEqual(back, ["back"]);
    assert.ok((await client.request({ command: "offer" })).ok);
  });

  test("away for longer, commands fail at once; it is still asked for, and taken back", async () => {
    const back = new Promise<void>((resolve) => client.onBack(resolve));
    assert.ok(!(await client.request({ command: "ping" })).ok);
    let failed = await client.request({ command: "offer" });
    while (!failed.ok && failed.failure.code === "media.relay-away" && failed.failure.waitedMs > 0)
      failed = await client.request({ command: "offer" });
    assert.deepEqual(failed, { ok: false, failure: { code: "media.relay-away", command: "offer", waitedMs: 0 } });
    const asked = heard.length;
    respond = (_at, cookie) => [`${cookie} {"result":"pong"}`];
    await back;
    assert.ok(heard.length > asked);
    assert.ok((await client.request({ command: "offer" })).ok);
  });

  test("a relay that answers others is busy: what it has been asked may take longer, but not for ever", async () => {
    respond = (at, cookie) => {
      const { text } = heard[at - 1] ?? { text: "" };
      return text.includes("ping") ? [`${cookie} {"result":"pong"}`] : [];
    };
    const offer = client.request({ command: "offer" });
    let isOver = false;
    void offer.then(() => (isOver = true));
    let pings = 0;
    while (!isOver) {
      assert.ok((await client.request({ command: "ping" })).ok);
      pings++;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    const outcome = await offer;
    assert.ok(!outcome.ok && outcome.failure.code === "media.relay-away");
    assert.ok(outcome.failure.waitedMs > LIMITS.timeoutMs, `${pings} pings, ${outcome.failure.waitedMs} ms`);
    assert.ok((await client.request({ command: "ping" })).ok, "it is not away");
  });

  test("who has time waits longer for a relay that is away, and gets its answer when it is back", async () => {
    const outcomes = [client.request({ command: "ping" }), client.request({ command: "offer" }, true)] as const;
    assert.ok(!(await outcomes[0]).ok);
    respond = (_at, cookie) => [`${cookie} {"result":"ok"}`];
    assert.ok((await outcomes[1]).ok);
  });

  test("no answer fails within the limit; too many without an answer fail at once; closing fails the rest", async () => {
    const away = (waitedMs: number) => ({
      ok: false,
      failure: { code: "media.relay-away", command: "ping", waitedMs },
    });
    const first = client.request({ command: "ping" });
    const second = client.request({ command: "ping" });
    assert.deepEqual(await client.request({ command: "ping" }), away(0));
    assert.deepEqual([await first, await second], [away(120), away(120)]);
    const last = client.request({ command: "ping" });
    await client.close();
    assert.deepEqual(await last, away(0));
    assert.deepEqual(await client.request({ command: "ping" }), away(0));
  });
});
