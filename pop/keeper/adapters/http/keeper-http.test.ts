// The keeper's HTTP as operators and Prometheus see it: tokens, bad bodies, bounds.

import assert from "node:assert/strict";
import { createServer, get, type IncomingMessage } from "node:http";
import { after, before, beforeEach, describe, test } from "node:test";
import { asId } from "../../../../kernel/ids.ts";
import { fail, succeed } from "../../../../kernel/outcome.ts";
import { type KeeperHttpSource, openKeeperHttp } from "./keeper-http.ts";
import { PopIntake } from "./pop-intake.ts";

const HOST = "127.0.0.1";
const TOKEN = "open sesame";

describe("the keeper's HTTP", () => {
  let http: Awaited<ReturnType<typeof openKeeperHttp>>;
  let url: string;
  let asked: string[] = [];
  let ready = { ready: true, because: [] as string[] };
  let refuses: string | undefined;
  let version = 1;
  const watchers = new Set<() => void>();
  const outcome = () => (refuses === undefined ? succeed(undefined) : fail({ code: refuses }));
  const noted = (what: string) => {
    asked.push(what);
    return outcome();
  };
  const source: KeeperHttpSource = {
    status: () => ({ version }),
    ready: () => ready,
    metrics: () => "tollgate_keeper_spares 3\n",
    onChange: (changed) => {
      watchers.add(changed);
      return () => watchers.delete(changed);
    },
    handOver: async (service) => noted(`hand-over ${service}`),
    returnHome: async () => noted("return"),
    drain: async (on) => noted(`drain ${on}`),
    hold: (service, process, signal) => noted(`hold ${service} ${process} ${signal}`),
    release: (service, process) => noted(`release ${service} ${process}`),
  };
  const open = () => openKeeperHttp({ host: HOST, port: 0, token: TOKEN }, source);
  const urlOf = (opened: typeof http) => {
    const at = opened.server.address();
    return typeof at === "object" && at !== null ? `http://${HOST}:${at.port}` : "";
  };
  const post = (path: string, body?: unknown, token = TOKEN) =>
    fetch(`${url}${path}`, {
      method: "POST",
      headers: {
        ...(token === "" ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
  const stream = () =>
    new Promise<IncomingMessage>((resolve, reject) => {
      get(`${url}/status/changes`, { agent: false }, resolve).on("error", reject);
    });
  const lineOf = (response: IncomingMessage) =>
    new Promise<string>((resolve) => response.once("data", (bytes) => resolve(String(bytes))));

  before(async () => {
    http = await open();
    url = urlOf(http);
  });
  beforeEach(() => {
    asked = [];
    refuses = undefined;
    ready = { ready: true, because: [] };
  });
  after(() => http.close());

  const WISHES = [
    ["/hand-over", { service: "fra-01-a" }, "hand-over fra-01-a"],
    ["/return", {}, "return"],
    ["/drain", { on: true }, "drain true"],
    ["/processes/fra-01-a/pop/hold", { signal: "SIGKILL" }, "hold fra-01-a pop SIGKILL"],
    ["/processes/fra-01-a/pop/hold", undefined, "hold fra-01-a pop SIGTERM"],
    ["/processes/fra-01-a/pop/release", undefined, "release fra-01-a pop"],
  ] as const;
  for (const [path, body, wish] of WISHES)
    test(`POST ${path} (${JSON.stringify(body)}): with the token it is done, without or with another nothing is`, async () => {
      for (const token of ["", "open sesamE", `${TOKEN}!`, "x".repeat(4_000)]) {
        const refused = await post(path, body, token);
        assert.equal(refused.status, 401, token);
        assert.equal(((await refused.json()) as { code: string }).code, "token.refused");
      }
      assert.deepEqual(asked, []);
      const done = await post(path, body);
      assert.equal(done.status, 200);
      assert.deepEqual(asked, [wish]);
    });

  test("what is refused says so with its code: 409, and 404 for what there is not", async () => {
    refuses = "hand-over.no-twin";
    const conflict = await post("/hand-over", { service: "fra-01-a" });
    assert.deepEqual([conflict.status, await conflict.json()], [409, { code: "hand-over.no-twin" }]);
    refuses = "process.unknown";
    assert.equal((await post("/processes/fra-01-a/nothing/hold")).status, 404);
    refuses = "drain.pop-away";
    assert.equal((await post("/drain", { on: true })).status, 409);
  });

  test("bodies that make no sense, or are too long, ask for nothing", async () => {
    const bad: readonly (readonly [string, unknown, number])[] = [
      ["/hand-over", {}, 400],
      ["/hand-over", { service: 7 }, 400],
      ["/hand-over", undefined, 400],
      ["/drain", { on: "yes" }, 400],
      ["/drain", undefined, 400],
      ["/drain", "{", 400],
      ["/processes/fra-01-a/pop/hold", { signal: "SIGSTOP" }, 400],
      ["/drain", { on: true, more: "x".repeat(5_000) }, 413],
    ];
    for (const [path, body, status] of bad) assert.equal((await post(path, body)).status, status, `${path} ${body}`);
    assert.deepEqual(asked, []);
  });

  test("readiness, metrics and status need no token", async () => {
    assert.equal((await fetch(`${url}/readyz`)).status, 200);
    ready = { ready: false, because: ["etcd is away: no takeover"] };
    const notReady = await fetch(`${url}/readyz`);
    assert.deepEqual([notReady.status, await notReady.json()], [503, ready]);
    assert.equal((await fetch(`${url}/healthz`)).status, 200);
    const metrics = await fetch(`${url}/metrics`);
    assert.match(metrics.headers.get("content-type") ?? "", /text\/plain/);
    assert.match(await metrics.text(), /tollgate_keeper_spares 3/);
    assert.deepEqual(await (await fetch(`${url}/status`)).json(), { version: 1 });
  });

  test("changes: one line now and one at each; at most 16 readers, a place is free again when one leaves", async () => {
    const first = await stream();
    assert.equal(await lineOf(first), '{"version":1}\n');
    version = 2;
    const next = lineOf(first);
    for (const changed of watchers) changed();
    for (const changed of watchers) changed(); // several in one turn are one line
    assert.equal(await next, '{"version":2}\n');
    const others = await Promise.all(Array.from({ length: 15 }, stream));
    const tooMany = await stream();
    assert.equal(tooMany.statusCode, 503);
    tooMany.resume();
    first.destroy();
    for (;;) {
      const again = await stream();
      if (again.statusCode === 200) {
        others.push(again);
        break;
      }
      again.resume();
    }
    for (const one of others) one.destroy();
  });

  test("a port in use is told to whoever opens it", async () => {
    const port = Number(new URL(url).port);
    await assert.rejects(openKeeperHttp({ host: HOST, port, token: TOKEN }, source), { code: "EADDRINUSE" });
  });
});

test("a pop is told by its own HTTP; one that refuses, is away, or hangs fails within its bound", async () => {
  const heard: string[] = [];
  let answers: number | undefined = 200;
  const pop = createServer((request, response) => {
    let body = "";
    request.on("data", (bytes) => {
      body += String(bytes);
    });
    request.on("end", () => {
      heard.push(`${request.url} ${body}`);
      if (answers !== undefined) response.writeHead(answers).end("{}");
    });
  });
  await new Promise<void>((resolve) => pop.listen(0, HOST, resolve));
  const at = pop.address();
  const service = asId<"pop-host">("fra-01-a");
  const intake = new PopIntake(new Map([[service, `http://${HOST}:${typeof at === "object" ? at?.port : 0}`]]));
  const codeOf = async () => {
    const told = await intake.drain(service, true);
    return told.ok ? "ok" : told.failure.code;
  };
  assert.equal(await codeOf(), "ok");
  assert.deepEqual(heard, ['/drain {"on":true}']);
  answers = 500;
  assert.equal(await codeOf(), "drain.pop-away");
  answers = undefined;
  assert.equal(await codeOf(), "drain.pop-away");
  pop.closeAllConnections();
  await new Promise((resolve) => pop.close(resolve));
  assert.equal(await codeOf(), "drain.pop-away");
  const unknown = await intake.drain(asId<"pop-host">("nobody"), true);
  assert.ok(!unknown.ok && unknown.failure.code === "drain.pop-away");
});
