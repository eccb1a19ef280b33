// The listeners' guard and overload control, through the whole server.

import assert from "node:assert/strict";
import { PerformanceObserver } from "node:perf_hooks";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { silentLog } from "../../../kernel/log.ts";
import { SimWorld } from "../../../kernel/sim/world.ts";
import { Guard } from "../app/guard/guard.ts";
import { Counters } from "../app/shell/counters.ts";
import { SipServerConfigSchema } from "../config/sip-server-config.ts";
import { GUARD_LIMITS } from "../core/guard/limits.ts";
import { headerValue } from "../core/message/message.ts";
import { parseMessage } from "../core/message/parse.ts";
import { OVERLOAD_LIMITS } from "../core/overload/new-request-rate.ts";
import { startSipServer } from "../start.ts";
import { SimulatedHost } from "./simulated.ts";
import { SimulatedConnection } from "./simulated-connection.ts";

const US = "10.0.0.2";
const STRANGER = "10.0.0.9";
const TRUNK = "192.0.2.1";
const LIMITS = {
  ...GUARD_LIMITS,
  strangers: { newPerSecond: 10, newBurst: 20, goingOnPerSecond: 100, goingOnBurst: 200 },
  banPoints: 10,
};

const request = (method: string, number: number, more = ""): string =>
  `${method} sip:bob@${US} SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK-${method}${number};rport\r\nFrom: <sip:x@h>;tag=a\r\nTo: <sip:bob@${US}>\r\nCall-ID: c${number}\r\nCSeq: 1 ${method}\r\nContact: <sip:x@h>\r\n${more}Content-Length: 0\r\n\r\n`;

function stage() {
  const world = new SimWorld(1, { delayMs: 1 });
  const host = new SimulatedHost(world, US, { guard: { limits: LIMITS, trusted: [TRUNK] } });
  host.application.say("route|options");
  const got: Record<string, string[]> = { [STRANGER]: [], [TRUNK]: [] };
  for (const address of [STRANGER, TRUNK]) world.attach(address, (payload) => got[address]?.push(String(payload)));
  /** As the UDP adapter does it. */
  world.attach(US, (payload, from) => {
    const text = String(payload);
    if (!host.endpoint.admits(from, Buffer.from(text, "latin1"))) return;
    const [point] = host.endpoint.points;
    if (point !== undefined)
      host.endpoint.onMessage(
        text,
        { pointId: point.id, transport: "udp", address: from, port: 5060, connection: undefined },
        point,
      );
  });
  const dropped = (reason: string) => host.endpoint.counters.get("dropped", `reason="${reason}"`);
  return { world, host, got, dropped };
}

test("a flood of new requests from one source: its burst gets through, the rest is dropped unread; others do not notice", () => {
  const { world, host, got, dropped } = stage();
  for (let at = 0; at < 500; at++) world.send(STRANGER, US, request("OPTIONS", at));
  for (let at = 0; at < 100; at++) world.send(TRUNK, US, request("OPTIONS", 1_000 + at));
  world.runFor(10);
  assert.equal(host.application.heard.length, 120);
  assert.equal(dropped("too-many-new"), 480);
  assert.deepEqual(got[STRANGER], []); // silent
});

test("a source's call goes on while its own flood is dropped: ACK, BYE and responses have a budget of their own", () => {
  const { world, host, got } = stage();
  world.send(STRANGER, US, request("INVITE", 1));
  world.runFor(10);
  const [invite] = host.application.heard;
  assert.ok(invite);
  for (let at = 100; at < 400; at++) world.send(STRANGER, US, request("OPTIONS", at));
  world.runFor(10);
  host.application.respond(invite, 200);
  world.runFor(10);
  const answer = parseMessage(got[STRANGER]?.at(-1) ?? "");
  assert.ok(answer.ok);
  const inDialog = (method: string, number: number) =>
    request(method, number)
      .replace(`Call-ID: c${number}`, "Call-ID: c1")
      .replace("CSeq: 1 ", `CSeq: ${number} `)
      .replace(/To: .*/, `To: ${headerValue(answer.value, "to")}`);
  world.send(STRANGER, US, inDialog("ACK", 1));
  world.send(STRANGER, US, inDialog("BYE", 2));
  world.runFor(10);
  assert.deepEqual(
    host.application.heard.map(({ what }) => what).filter((what) => what !== "OPTIONS"),
    ["INVITE", "ACK", "BYE"],
  );
});

test("nonsense is counted against its source until it is banned; then it is not even parsed; a trunk's nonsense is answered for ever", () => {
  const { world, host, got, dropped } = stage();
  for (let at = 0; at < 15; at++) {
    world.send(STRANGER, US, request("OPTIONS", at).replace("CSeq: 1 ", "CSeq: x "));
    world.send(TRUNK, US, request("OPTIONS", at).replace("CSeq: 1 ", "CSeq: x "));
  }
  world.runFor(10);
  assert.equal(got[STRANGER]?.length, LIMITS.banPoints);
  assert.equal(got[TRUNK]?.length, 15);
  assert.equal(dropped("banned"), 5);
  assert.equal(host.endpoint.counters.total("bans"), 1);
  assert.deepEqual(
    host.endpoint.bans.list().map(({ address, by }) => [address, by]),
    [[STRANGER, "points"]],
  );
  world.runFor(LIMITS.banMs);
  world.send(STRANGER, US, request("OPTIONS", 99));
  world.runFor(10);
  assert.equal(host.application.heard.length, 1);
});

test("a scanner is dropped at its first word, and banned", () => {
  const { world, host, got, dropped } = stage();
  world.send(STRANGER, US, request("OPTIONS", 1, "User-Agent: friendly-scanner\r\n"));
  world.send(STRANGER, US, request("OPTIONS", 2));
  world.runFor(10);
  assert.deepEqual([host.application.heard.length, got[STRANGER]?.length], [0, 0]);
  assert.deepEqual([dropped("scanner"), dropped("banned")], [1, 1]);
  world.send(TRUNK, US, request("OPTIONS", 3, "User-Agent: friendly-scanner\r\n"));
  world.runFor(10);
  assert.equal(host.application.heard.length, 1); // a carrier may test itself
});

test("guessing passwords: refused credentials count, a first challenge does not", () => {
  const { world, host, dropped } = stage();
  host.application.onHeard = (heard) => host.application.respond(heard, 401);
  for (let at = 0; at < 15; at++) world.send(STRANGER, US, request("OPTIONS", at));
  world.runFor(5_000);
  assert.equal(dropped("banned"), 0);
  for (let at = 100; at < 115; at++)
    world.send(STRANGER, US, request("OPTIONS", at, 'Authorization: Digest username="a", response="b"\r\n'));
  world.runFor(10);
  assert.ok(host.endpoint.bans.list().length === 1);
});

test("over a stream each message pays as well, and a banned source's connection is not heard", () => {
  const { host, dropped } = stage();
  const connection = new SimulatedConnection(host.endpoint, STRANGER);
  for (let at = 0; at < 50; at++) connection.arrive(request("OPTIONS", at).replace("UDP", "TCP"));
  assert.equal(host.application.heard.length, 20);
  assert.equal(dropped("too-many-new"), 30);
  host.endpoint.bans.ban(STRANGER, 1_000);
  assert.equal(host.endpoint.admits(STRANGER), false);
});

test("applications that tell who may be heard make those sources trusted", () => {
  const { world, host, dropped } = stage();
  host.application.say("sources|allow|10.0.0.0/24");
  for (let at = 0; at < 500; at++) world.send(STRANGER, US, request("OPTIONS", at));
  world.runFor(10);
  assert.equal(host.application.heard.length, 500);
  assert.equal(dropped("too-many-new"), 0);
});

test("what is dropped allocates nothing: a hundred thousand datagrams, no garbage collection", async () => {
  const guard = new Guard(LIMITS, { nowMs: () => 1_000, unixMs: () => 0 }, new Counters(), () => false);
  const datagram = Buffer.from(request("INVITE", 1), "latin1");
  const flood = () => {
    for (let at = 0; at < 100_000; at++) guard.admits("10.1.2.3", datagram);
  };
  flood(); // compiled by then
  let collections = 0;
  const observer = new PerformanceObserver((list) => {
    collections += list.getEntries().length;
  });
  observer.observe({ entryTypes: ["gc"] });
  const rounds: string[] = [];
  let clean = false;
  // A collection in between may be of what the test itself left behind: one round without is proof.
  for (let round = 0; round < 5 && !clean; round++) {
    await setImmediate();
    collections = 0;
    const before = process.memoryUsage().heapUsed;
    flood();
    const grownBytes = process.memoryUsage().heapUsed - before;
    await setImmediate();
    rounds.push(`${grownBytes} bytes, ${collections} collections`);
    // One object of the smallest kind for each would be 1.6 MB.
    clean = collections === 0 && grownBytes < 400_000;
  }
  observer.disconnect();
  assert.ok(clean, rounds.join("; "));
});

test("overload: new requests get 503 with Retry-After, spread; what belongs to calls goes on; nothing is kept of a refusal", () => {
  const { world, host, got } = stage();
  world.send(TRUNK, US, request("INVITE", 1));
  world.runFor(10);
  const [invite] = host.application.heard;
  assert.ok(invite);
  for (let at = 0; at < 4; at++) host.endpoint.onLoopProbe({ intervalMs: 250, delayMs: 1, utilization: 0.1 }); // a process's first second is not judged
  for (let at = 0; at < 2; at++) host.endpoint.onLoopProbe({ intervalMs: 250, delayMs: 400, utilization: 1 });
  assert.equal(host.endpoint.newPerSecondMax, OVERLOAD_LIMITS.newPerSecondMin); // nobody had come in the last probe's time
  const before = host.endpoint.facts;
  world.runFor(1);
  for (let at = 10; at < 80; at++) world.send(TRUNK, US, request("INVITE", at));
  world.runFor(10);
  const refused = (got[TRUNK] ?? []).filter((text) => text.startsWith("SIP/2.0 503"));
  assert.ok(refused.length >= 66, `${refused.length}`);
  assert.equal(host.endpoint.counters.total("requests_shed"), refused.length);
  const waits = new Set(refused.map((text) => /\r\nRetry-After: (\d+)/.exec(text)?.[1]));
  assert.ok(waits.size >= 5);
  assert.ok(host.endpoint.facts.transactions <= before.transactions + 4);
  // A copy of a refused request gets the same answer: the To tag too.
  const sent = got[TRUNK]?.length ?? 0;
  world.send(TRUNK, US, request("INVITE", 79));
  world.runFor(5);
  assert.equal(got[TRUNK]?.at(-1), refused.at(-1));
  assert.equal(got[TRUNK]?.length, sent + 1);
  // CANCEL and what follows are as ever.
  world.send(TRUNK, US, request("CANCEL", 1).replace("z9hG4bK-CANCEL1", "z9hG4bK-INVITE1"));
  world.runFor(10);
  assert.equal(host.application.heard.at(-1)?.what, "CANCEL");
  for (let at = 0; at < 20; at++) host.endpoint.onLoopProbe({ intervalMs: 250, delayMs: 1, utilization: 0.1 });
  assert.equal(host.endpoint.newPerSecondMax, undefined);
});

test("the ban list over HTTP: shown, added to, taken from; nonsense refused", async () => {
  const config = SipServerConfigSchema.parse({
    listen: [{ transport: "udp", host: "127.0.0.1", port: 0 }],
    admin: { host: "127.0.0.1", port: 0, secret: "s" },
    http: { host: "127.0.0.1", port: 0 },
  });
  const server = await startSipServer(config, silentLog);
  try {
    const ask = async (method: string, query = "") => {
      const response = await fetch(`http://127.0.0.1:${server.httpPort}/bans${query}`, { method });
      return [response.status, await response.json()] as const;
    };
    assert.deepEqual(await ask("GET"), [200, { bans: [] }]);
    assert.equal((await ask("POST", "?address=192.0.2.7&seconds=60"))[0], 200);
    assert.equal((await ask("POST", "?address=2001:db8::7"))[0], 200);
    const [, { bans }] = (await ask("GET")) as [number, { bans: { address: string; by: string }[] }];
    assert.deepEqual(
      bans.map(({ address, by }) => [address, by]),
      [
        ["192.0.2.7", "operator"],
        ["2001:db8::7", "operator"],
      ],
    );
    assert.equal(server.endpoint.admits("2001:db8::8"), false);
    assert.equal((await ask("DELETE", "?address=192.0.2.7"))[0], 200);
    assert.equal((await ask("DELETE", "?address=192.0.2.7"))[0], 404);
    assert.equal((await ask("POST", "?address=nobody"))[0], 400);
    assert.equal((await ask("POST", "?address=192.0.2.7&seconds=0"))[0], 400);
    assert.equal((await ask("PUT", "?address=192.0.2.7"))[0], 405);
    const metrics = await (await fetch(`http://127.0.0.1:${server.httpPort}/metrics`)).text();
    assert.match(metrics, /^sip_new_requests_per_second_max \+Inf$/m);
  } finally {
    await server.stop();
  }
});
