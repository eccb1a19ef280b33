// The real process on real etcd and Redis: killed in mid-queue, started before its stores, without them, told to stop.

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import { type Engine, missing, startEtcd, startRedis } from "./engines.ts";
import { FakePop, offerIn, queuedIn, snapshotIn, welcomeIn } from "./fake-pop.ts";

const skip = missing("etcd") ?? missing("redis-server");
const MAIN = new URL("../main.ts", import.meta.url).pathname;
const EXAMPLE = readFileSync(new URL("../../examples/acme.yaml", import.meta.url), "utf8");
const HOST = "127.0.0.1";

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, HOST, resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === "object" && address !== null ? address.port : 0;
}

async function until<Value>(what: string, look: () => Promise<Value | undefined>, withinMs = 20_000): Promise<Value> {
  const giveUpAtMs = Date.now() + withinMs;
  for (;;) {
    const found = await look().catch(() => undefined);
    if (found !== undefined) return found;
    if (Date.now() > giveUpAtMs) throw new Error(`${what}: not within ${withinMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

interface Answer {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: tests look at whatever came
  readonly body: any;
}

/** The control-plane process, on ports that it keeps when it is started again. */
class Process {
  readonly dir: string;
  readonly grpc: string;
  readonly #rest: string;
  #child: ChildProcess | undefined;
  output = "";

  private constructor(dir: string, grpcPort: number, restPort: number) {
    this.dir = dir;
    this.grpc = `${HOST}:${grpcPort}`;
    this.#rest = `http://${HOST}:${restPort}`;
  }

  static async on(etcd: Engine, redis: Engine, limits: object = {}, replicaId = "cp-1"): Promise<Process> {
    const dir = mkdtempSync(join(tmpdir(), "tollgate-cp-"));
    const [grpcPort, restPort] = [await freePort(), await freePort()];
    writeFileSync(
      join(dir, "control-plane.json"),
      JSON.stringify({
        regionId: "eu",
        replicaId,
        etcd: { endpoints: [`${etcd.host}:${etcd.port}`], callTimeoutMs: 1_000 },
        redis: { host: redis.host, port: redis.port },
        grpc: { host: HOST, port: grpcPort },
        rest: { host: HOST, port: restPort, adminTokenFile: join(dir, "admin-token") },
        pki: { dir: join(dir, "pki"), hosts: ["fra-01-a"] },
        limits,
      }),
    );
    return new Process(dir, grpcPort, restPort);
  }

  async start(): Promise<void> {
    const child = spawn(process.execPath, [MAIN, "--config", join(this.dir, "control-plane.json")]);
    this.#child = child;
    for (const pipe of [child.stdout, child.stderr])
      pipe.on("data", (text: Buffer) => {
        this.output += text.toString();
      });
    await until("the process answers", async () => ((await fetch(`${this.#rest}/healthz`)).ok ? true : undefined));
  }

  /** With the signal; resolves to the exit code. */
  async end(signal: "SIGKILL" | "SIGTERM"): Promise<number | null> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return child?.exitCode ?? null;
    const gone = new Promise<number | null>((resolve) => child.once("exit", resolve));
    child.kill(signal);
    return await gone;
  }

  async ask(method: "GET" | "POST", path: string, body?: unknown): Promise<Answer> {
    const yaml = typeof body === "string";
    const answer = await fetch(this.#rest + path, {
      method,
      headers: {
        authorization: `Bearer ${readFileSync(join(this.dir, "admin-token"), "utf8").trim()}`,
        ...(body === undefined ? {} : { "content-type": yaml ? "application/yaml" : "application/json" }),
      },
      ...(body === undefined ? {} : { body: yaml ? body : JSON.stringify(body) }),
    });
    return { status: answer.status, body: await answer.json() };
  }

  async ready(name: string, wanted: boolean): Promise<void> {
    await until(`${name} ready: ${wanted}`, async () => {
      const { body } = await this.ask("GET", "/readyz");
      return body.dependencies.find((dependency: { name: string }) => dependency.name === name)?.ready === wanted
        ? true
        : undefined;
    });
  }

  async apply(): Promise<number> {
    return await until("the example is applied", async () => {
      const { status, body } = await this.ask("POST", "/v1/tenants/acme/apply", EXAMPLE);
      return status === 200 ? (body.version as number) : undefined;
    });
  }

  available(agent: string): Promise<Answer> {
    const address = `sip:${agent}@127.30.0.1:5060`;
    return this.ask("POST", `/v1/tenants/acme/agents/${agent}/sign-in`, { address, state: "available" });
  }

  pop(): FakePop {
    return new FakePop("fra-01-a", this.grpc, join(this.dir, "pki"));
  }

  async close(): Promise<void> {
    await this.end("SIGKILL");
    rmSync(this.dir, { recursive: true, force: true });
  }
}

const contact = (contactId: string, waitedMs: number) => ({
  contactId,
  tenantId: "acme",
  queueId: "support",
  enqueuedAtUnixMs: Date.now() - waitedMs,
});

describe("the control-plane process", { skip }, () => {
  let etcd: Engine;
  let redis: Engine;
  const open: { close(): unknown }[] = [];
  before(async () => {
    [etcd, redis] = await Promise.all([startEtcd(), startRedis()]);
  });
  after(async () => {
    await etcd?.close();
    await redis?.close();
  });
  afterEach(async () => {
    for (const each of open.splice(0).reverse()) await each.close();
  });
  const own = <Thing extends { close(): unknown }>(thing: Thing): Thing => {
    open.push(thing);
    return thing;
  };

  test("killed in mid-queue and started again: the caller is offered in the old place, with the old waiting time", async () => {
    const region = own(await Process.on(etcd, redis));
    await region.start();
    await region.apply();
    await region.available("alice");
    const pop = own(region.pop());
    const link = pop.link();
    const version = (await link.hear(snapshotIn, "snapshot")).version ?? 0;
    const routing = pop.route();
    const [c0, c1, c2] = [contact("c0", 90_000), contact("c1", 60_000), contact("c2", 30_000)];
    routing.say({ report: { $case: "enqueue", value: c0 } });
    const { offerId = "" } = await routing.hear(offerIn, "offer of c0");
    routing.say({ report: { $case: "offerAccepted", value: { offerId, contactId: "c0" } } });
    for (const one of [c2, c1]) routing.say({ report: { $case: "enqueue", value: one } });
    await routing.hear((d) => (queuedIn(d)?.contactId === "c1" ? true : undefined), "the place of c1");

    await region.end("SIGKILL");
    await routing.end();
    await link.end();

    await region.start();
    const held = { offerId, contactId: "c0", tenantId: "acme", agentId: "alice", queueId: "support", accepted: true };
    const rejoined = await until("the stream is back", async () => {
      const stream = pop.route([c2, c1], [held]);
      await stream.hear(welcomeIn, "welcome", 2_000);
      return stream;
    });
    await rejoined.hear((d) => (queuedIn(d)?.contactId === "c1" ? true : undefined), "the place of c1, told again");
    const agents = await region.ask("GET", "/v1/tenants/acme/agents");
    assert.equal(agents.body.items[0].state, "on-contact", "alice was not forgotten");
    rejoined.say({ report: { $case: "agentReleased", value: { offerId, contactId: "c0" } } });
    const offer = await rejoined.hear(offerIn, "offer");
    assert.deepEqual([offer.contactId, offer.agentId, offer.agentUri], ["c1", "alice", "sip:alice@127.30.0.1:5060"]);
    const waiting = await region.ask("GET", "/v1/tenants/acme/queues/support/contacts");
    assert.equal(waiting.body.contacts[0].contactId, "c2");
    assert.ok(waiting.body.contacts[0].waitingMs >= 30_000);
    // What was decided in the last moment before the kill may be missing; what came after is there
    const offered = await until("the journal", async () => {
      const { body } = await region.ask("GET", "/v1/contacts/c1");
      return (body.decisions as { what: string; why: string }[]).find(({ what }) => what === "offered");
    });
    assert.match(offered.why, /alice longest available.*waited 6\d\.\d s/);

    // The snapshot it has is not sent again
    const relinked = pop.link(version);
    await relinked.hear(welcomeIn, "welcome");
    assert.equal(relinked.heard.length, 1);
    assert.equal(await region.end("SIGTERM"), 0, region.output);
  });

  test("started before its stores: it answers, says what is missing, and goes on when they come", async () => {
    await etcd.kill();
    await redis.kill();
    const region = own(await Process.on(etcd, redis, { shardLoadWaitMsMax: 20_000 }));
    await region.start();
    const { status, body } = await region.ask("GET", "/readyz");
    assert.equal(status, 503);
    assert.equal(body.ready, false);
    assert.equal((await region.ask("POST", "/v1/tenants/acme/apply", EXAMPLE)).body.code, "store.away");
    await etcd.start();
    await redis.start();
    await region.apply();
    await region.ready("etcd", true);
    await region.ready("redis", true);
    await region.ready("queues", true);
    assert.equal((await region.available("bob")).status, 200);
    assert.equal(await region.end("SIGTERM"), 0, region.output);
  });

  test("etcd and Redis killed under it: offers go on, an apply is refused; back: all is kept again", async () => {
    const region = own(await Process.on(etcd, redis, { leaseTtlSeconds: 2 }));
    await region.start();
    await region.apply();
    const pop = own(region.pop());
    const link = pop.link();
    await link.hear(snapshotIn, "snapshot");
    const routing = pop.route();
    await routing.hear(welcomeIn, "welcome");
    await region.ask("POST", "/v1/tenants/acme/agents/alice/sign-out");
    await region.available("bob");
    await region.ask("POST", "/v1/tenants/acme/agents/bob/state", { state: "idle" });
    await etcd.kill();
    await redis.kill();
    await region.ready("etcd", false);
    await region.ready("redis", false);
    // Longer than the lease lives: owners stay owners
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    routing.say({ report: { $case: "enqueue", value: contact("c7", 1_000) } });
    await routing.hear(queuedIn, "a place");
    await region.ask("POST", "/v1/tenants/acme/agents/bob/state", { state: "available" });
    const { offerId = "" } = await routing.hear(offerIn, "offer");
    routing.say({ report: { $case: "offerAccepted", value: { offerId, contactId: "c7" } } });
    assert.equal((await region.ask("POST", "/v1/tenants/acme/apply", EXAMPLE)).body.code, "store.away");
    assert.equal((await region.ask("GET", "/v1/contacts/c7")).body.code, "store.away");

    await etcd.start();
    await redis.start();
    await region.ready("redis", true);
    await region.ready("queues", true);
    assert.equal(routing.ended, undefined, "the stream never ended");
    const { body } = await region.ask("GET", "/v1/tenants/acme/agents/bob");
    assert.deepEqual([body.state, body.contactId], ["on-contact", "c7"]);
    await until("the journal is kept", async () =>
      (await region.ask("GET", "/v1/contacts/c7")).body.decisions?.length >= 3 ? true : undefined,
    );
    const change = await until("an apply", async () => {
      const answer = await region.ask("POST", "/v1/tenants/acme/apply", {
        documents: [{ kind: "team", id: `team-${Date.now()}`, name: "New" }],
      });
      return answer.status === 200 ? answer.body : undefined;
    });
    link.say({
      report: {
        $case: "applied",
        value: { version: snapshotIn(link.heard[1] ?? { directive: undefined })?.version ?? 0 },
      },
    });
    await link.hear((d) => (snapshotIn(d)?.version === change.version ? true : undefined), "the new snapshot");
  });

  test("told to stop, it gives its lease back: another replica owns the queues at once", async () => {
    const region = own(await Process.on(etcd, redis, { leaseTtlSeconds: 60 }));
    await region.start();
    await region.apply();
    await region.ready("queues", true);
    assert.equal(await region.end("SIGTERM"), 0, region.output);
    const next = own(await Process.on(etcd, redis, {}, "cp-2"));
    await next.start();
    await next.ready("queues", true);
  });

  test("the owner killed: another replica has the queues within the lease, and the caller is offered in the old place", async () => {
    const limits = { leaseTtlSeconds: 2 };
    const owner = own(await Process.on(etcd, redis, limits, "cp-3"));
    await owner.start();
    await owner.apply();
    await owner.ready("queues", true);
    const pop = own(owner.pop());
    const routing = pop.route();
    await routing.hear(welcomeIn, "welcome");
    for (const agent of ["alice", "bob"]) await owner.ask("POST", `/v1/tenants/acme/agents/${agent}/sign-out`);
    const [late, early] = [contact("late", 10_000), contact("early", 50_000)];
    for (const one of [late, early]) routing.say({ report: { $case: "enqueue", value: one } });
    await routing.hear((d) => (queuedIn(d)?.contactId === "early" ? true : undefined), "the place of early");

    const heir = own(await Process.on(etcd, redis, limits, "cp-4"));
    await heir.start();
    await heir.apply();
    assert.equal((await heir.available("alice")).body.code, "shard.not-owned");
    await owner.end("SIGKILL");
    await heir.ready("queues", true);
    const rejoined = own(heir.pop()).route([late, early]);
    await rejoined.hear(welcomeIn, "welcome");
    assert.equal((await heir.available("alice")).status, 200);
    assert.equal((await rejoined.hear(offerIn, "offer")).contactId, "early");
  });

  test("Redis hangs: an offer does not wait for it", async () => {
    const region = own(await Process.on(etcd, redis, { leaseTtlSeconds: 2 }, "cp-5"));
    await region.start();
    await region.apply();
    await region.ready("queues", true);
    for (const agent of ["alice", "bob"]) await region.ask("POST", `/v1/tenants/acme/agents/${agent}/sign-out`);
    const routing = own(region.pop()).route();
    await routing.hear(welcomeIn, "welcome");
    redis.freeze(true);
    try {
      await region.available("bob");
      const askedAtMs = Date.now();
      routing.say({ report: { $case: "enqueue", value: contact("c8", 0) } });
      await routing.hear(offerIn, "offer");
      assert.ok(Date.now() - askedAtMs < 1_500, `took ${Date.now() - askedAtMs} ms`);
    } finally {
      redis.freeze(false);
    }
    await region.ready("redis", true);
  });

  test("a bad configuration lists every mistake, an address in use is named", async () => {
    const region = own(await Process.on(etcd, redis));
    await region.start();
    const run = (config: string) =>
      new Promise<{ code: number | null; text: string }>((resolve) => {
        const child = spawn(process.execPath, [MAIN, "--config", config]);
        let text = "";
        child.stderr.on("data", (part: Buffer) => {
          text += part.toString();
        });
        child.once("exit", (code) => resolve({ code, text }));
      });
    const twin = await run(join(region.dir, "control-plane.json"));
    assert.equal(twin.code, 69, twin.text);
    assert.ok(twin.text.includes(region.grpc.split(":")[1] ?? "?"), twin.text);
    const bad = join(region.dir, "bad.json");
    writeFileSync(bad, JSON.stringify({ regionId: "EU", colour: 1 }));
    const refused = await run(bad);
    assert.equal(refused.code, 78);
    for (const path of ["regionId", "replicaId", "etcd", "pki", "colour"]) assert.match(refused.text, new RegExp(path));
  });
});
