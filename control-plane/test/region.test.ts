// The whole control plane in one process: memory stores, real gRPC with mutual TLS, the REST API without a socket.

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { FastifyInstance } from "fastify";
import { ClientError, Status } from "nice-grpc";
import { silentLog } from "../../kernel/log.ts";
import { systemRng } from "../../kernel/rng.ts";
import { systemClock } from "../../kernel/time.ts";
import { EndedBy, SegmentKind } from "../../proto/gen/call_events/v1/call_events.ts";
import { startPopServices } from "../adapters/grpc/pop-services.ts";
import { MemoryContactEventStore } from "../adapters/memory/contact-event-store.ts";
import { MemoryIntentStore } from "../adapters/memory/intent-store.ts";
import { MemoryLeaseStore } from "../adapters/memory/lease-store.ts";
import { MemoryQueueShardStore } from "../adapters/memory/queue-shard-store.ts";
import { developmentPki } from "../adapters/pki/development-ca.ts";
import { buildRestApi } from "../adapters/rest-api/rest-api.ts";
import { openMetrics } from "../adapters/telemetry/metrics.ts";
import { ControlPlane } from "../app/control-plane.ts";
import { controlPlaneApi, vitalsOf } from "../app/views.ts";
import { DEFAULT_TIMING } from "../core/queue/shard-state.ts";
import { commandIn, FakePop, offerIn, queuedIn, refusedIn, snapshotIn, welcomeIn } from "./fake-pop.ts";

const TOKEN = "a-token-for-tests-only";
const HOSTS = ["fra-01-a", "fra-01-b"];
const EXAMPLE = readFileSync(new URL("../../examples/acme.yaml", import.meta.url), "utf8");

interface Answer {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: tests look at whatever came
  readonly body: any;
}

interface Region {
  readonly address: string;
  readonly rest: FastifyInstance;
  readonly stores: {
    readonly intents: MemoryIntentStore;
    readonly leases: MemoryLeaseStore;
    readonly shards: MemoryQueueShardStore;
    readonly events: MemoryContactEventStore;
  };
  ask(method: "GET" | "POST", path: string, body?: unknown): Promise<Answer>;
  stop(): Promise<void>;
}

const pkiDir = mkdtempSync(join(tmpdir(), "tollgate-pki-"));
let tls: Awaited<ReturnType<typeof developmentPki>>;
before(async () => {
  tls = await developmentPki({ dir: pkiDir, serverHost: "127.0.0.1", hostIds: HOSTS }, silentLog);
});
after(() => rmSync(pkiDir, { recursive: true, force: true }));

function newStores(): Region["stores"] {
  return {
    intents: new MemoryIntentStore(),
    leases: new MemoryLeaseStore(systemClock, 5_000),
    shards: new MemoryQueueShardStore(),
    events: new MemoryContactEventStore({ contactsMax: 100, decisionsMax: 20 }),
  };
}

async function openRegion(stores = newStores(), replicaId = "cp-1"): Promise<Region> {
  const region = new ControlPlane({
    regionId: "eu",
    replicaId,
    ...stores,
    clock: systemClock,
    rng: systemRng,
    log: silentLog,
    shardTiming: { ...DEFAULT_TIMING, positionIntervalMs: 50 },
    ownerTiming: { renewEveryMs: 50, retryAfterMs: 20, loadWaitMsMax: 500 },
    presenceIntervalMs: 1_000,
    commandTimeoutMs: 1_000,
    decisionsPendingMax: 100,
    lostContactsTiming: { closeAfterMs: 30, ageMsMin: 5_000 },
  });
  region.start();
  const grpc = await startPopServices({ host: "127.0.0.1", port: 0, tls }, { ...region, events: stores.events });
  const dependencies = { answering: () => true };
  const metrics = openMetrics(() => vitalsOf(region, dependencies));
  const rest = await buildRestApi(
    { adminToken: TOKEN, bodyBytesMax: 100_000 },
    controlPlaneApi(region, {
      regionId: "eu",
      clock: systemClock,
      events: stores.events,
      dependencies,
      metrics: () => metrics.read(),
    }),
    silentLog,
  );
  return {
    address: `127.0.0.1:${grpc.port}`,
    rest,
    stores,
    async ask(method, path, body) {
      const yaml = typeof body === "string";
      const { statusCode, payload } = await rest.inject({
        method,
        url: path,
        headers: {
          authorization: `Bearer ${TOKEN}`,
          ...(body === undefined ? {} : { "content-type": yaml ? "application/yaml" : "application/json" }),
        },
        ...(body === undefined ? {} : { payload: yaml ? body : JSON.stringify(body) }),
      });
      return { status: statusCode, body: payload.startsWith("{") ? JSON.parse(payload) : payload };
    },
    async stop() {
      await rest.close();
      await region.stop();
      await grpc.stop();
    },
  };
}

/** A region with the example tenant and a linked POP host; everything is closed afterwards. */
async function within(run: (region: Region, pop: FakePop) => Promise<void>): Promise<void> {
  const region = await openRegion();
  const pop = new FakePop("fra-01-a", region.address, pkiDir);
  try {
    const { status, body } = await region.ask("POST", "/v1/tenants/acme/apply", EXAMPLE);
    assert.equal(status, 200, JSON.stringify(body));
    await run(region, pop);
  } finally {
    pop.close();
    await region.stop();
  }
}

const AGENTS = "/v1/tenants/acme/agents";
const available = (region: Region, agent: string) =>
  region.ask("POST", `${AGENTS}/${agent}/sign-in`, { address: `sip:${agent}@127.30.0.1:5060`, state: "available" });
const contact = (id: string, waitedMs = 0) => ({
  contactId: id,
  tenantId: "acme",
  queueId: "support",
  enqueuedAtUnixMs: Date.now() - waitedMs,
});

describe("a region", () => {
  test("an agent's phone outside the tenant's agent networks is refused at sign-in: no POP would hear it answer", () =>
    within(async (region) => {
      const { status, body } = await region.ask("POST", `${AGENTS}/alice/sign-in`, {
        address: "sip:alice@192.0.2.1:5060",
      });
      assert.equal(status, 422);
      assert.equal((body as { code: string }).code, "agent.address-refused");
    }));

  test("a POP that links is welcomed, gets the snapshot, and its answer is shown", () =>
    within(async (region, pop) => {
      const link = pop.link();
      assert.deepEqual(await link.hear(welcomeIn, "welcome"), { regionId: "eu", presenceIntervalMs: 1_000 });
      const snapshot = await link.hear(snapshotIn, "snapshot");
      assert.equal(snapshot.numbers.length, 2);
      assert.deepEqual(snapshot.agentSourceCidrs, ["127.30.0.0/24"]);
      const support = snapshot.flows.find(({ id }) => id === "support");
      const menu = support?.activities.find(({ id }) => id === "main-menu")?.kind;
      assert.ok(menu?.$case === "menu");
      assert.deepEqual(menu.value.choices, { "1": "to-support", "2": "ask-account", "9": "to-office" });
      assert.equal(menu.value.timeoutMs, 5_000);

      link.say({ report: { $case: "applied", value: { version: snapshot.version ?? 0 } } });
      link.say({ report: { $case: "presence", value: { calls: 3, draining: false, atUnixMs: 1 } } });
      const change = await region.ask("POST", "/v1/tenants/acme/apply", {
        documents: [{ kind: "team", id: "second-line", name: "Second line" }],
      });
      const next = await link.hear(
        (d) => (snapshotIn(d)?.version === change.body.version ? snapshotIn(d) : undefined),
        "the next",
      );
      const mistakes = [{ path: "flows[support]", message: "unheard of" }];
      link.say({ report: { $case: "refused", value: { version: next.version ?? 0, mistakes } } });
      link.say({ report: { $case: "presence", value: { calls: 4, draining: false, atUnixMs: 2 } } });
      // Reports come in order: once the second presence shows, the refusal was heard
      let host: Answer["body"];
      for (let look = 0; look < 200 && host?.presence?.calls !== 4; look++) {
        host = (await region.ask("GET", "/v1/pops")).body.items[0];
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      assert.equal(host.appliedVersion, snapshot.version);
      assert.equal(host.refused.version, next.version);
      assert.deepEqual(host.refused.mistakes, mistakes);
    }));

  test("a stranger's certificate, another host's, and none at all are turned away", () =>
    within(async (region) => {
      const impostor = new FakePop("fra-01-a", region.address, pkiDir, "fra-01-b");
      const error = await impostor.link().end();
      assert.ok(error instanceof ClientError && error.code === Status.PERMISSION_DENIED, String(error));
      assert.equal(error.details, "pop.not-itself");
      const routing = await impostor.route().end();
      assert.ok(routing instanceof ClientError && routing.code === Status.PERMISSION_DENIED);
      await assert.rejects(impostor.events.publish({ hostId: "fra-01-a", events: [] }), /pop.not-itself/);
      impostor.close();

      const otherDir = mkdtempSync(join(tmpdir(), "tollgate-pki-"));
      try {
        await developmentPki({ dir: otherDir, serverHost: "127.0.0.1", hostIds: HOSTS }, silentLog);
        const stranger = new FakePop("fra-01-a", region.address, otherDir);
        const refused = await stranger.link().end(8_000);
        assert.ok(refused instanceof ClientError && refused.code === Status.UNAVAILABLE, String(refused));
        stranger.close();
      } finally {
        rmSync(otherDir, { recursive: true, force: true });
      }
    }));

  test("a newer stream of the same host closes the older", () =>
    within(async (_region, pop) => {
      const older = pop.link();
      await older.hear(welcomeIn, "welcome");
      const newer = pop.link();
      await newer.hear(welcomeIn, "welcome");
      assert.equal(await older.end(), undefined, "ended without error");
      await newer.hear(snapshotIn, "snapshot");
    }));

  test("a contact is queued, offered to the agent, accepted, released, and the journal says why", () =>
    within(async (region, pop) => {
      const routing = pop.route();
      await routing.hear(welcomeIn, "welcome");
      routing.say({ report: { $case: "enqueue", value: contact("c1", 5_000) } });
      assert.equal((await routing.hear(queuedIn, "place")).position, 1);
      const waiting = await region.ask("GET", "/v1/tenants/acme/queues/support/contacts");
      assert.equal(waiting.body.contacts[0].position, 1);
      assert.ok(waiting.body.contacts[0].waitingMs >= 5_000);

      await available(region, "alice");
      const offer = await routing.hear(offerIn, "offer");
      assert.deepEqual(
        [offer.contactId, offer.agentId, offer.agentUri, offer.ringTimeoutMs],
        ["c1", "alice", "sip:alice@127.30.0.1:5060", 15_000],
      );
      const { offerId = "" } = offer;
      routing.say({ report: { $case: "offerAccepted", value: { offerId, contactId: "c1" } } });
      routing.say({ report: { $case: "enqueue", value: contact("c2") } });
      const second = await routing.hear(
        (d) => (queuedIn(d)?.contactId === "c2" ? queuedIn(d) : undefined),
        "place of c2",
      );
      assert.equal(second.position, 1);
      assert.equal((await region.ask("GET", AGENTS)).body.items[0].state, "on-contact");

      routing.say({ report: { $case: "agentReleased", value: { offerId, contactId: "c1" } } });
      await routing.hear((d) => (offerIn(d)?.contactId === "c2" ? true : undefined), "offer of c2");
      const { body } = await region.ask("GET", "/v1/contacts/c1");
      assert.deepEqual(
        body.decisions.map(({ what }: { what: string }) => what),
        ["queued", "offered", "accepted", "released"],
      );
      assert.match(body.decisions[0].why, /no agent free: 2 signed-out/);
    }));

  test("contacts of unknown tenants and queues are refused by name", () =>
    within(async (_region, pop) => {
      const routing = pop.route();
      routing.say({ report: { $case: "enqueue", value: { ...contact("c1"), tenantId: "nobody" } } });
      assert.equal((await routing.hear(refusedIn, "refusal")).code, "queue.unknown");
      routing.say({ report: { $case: "enqueue", value: { ...contact("c2"), queueId: "nowhere" } } });
      await routing.hear((d) => (refusedIn(d)?.contactId === "c2" ? true : undefined), "refusal of c2");
    }));

  test("a replica that starts anew takes its waiting contacts back in their old places", () =>
    within(async (region, pop) => {
      const routing = pop.route();
      routing.say({ report: { $case: "enqueue", value: contact("first", 60_000) } });
      routing.say({ report: { $case: "enqueue", value: contact("second", 30_000) } });
      await routing.hear((d) => (queuedIn(d)?.position === 2 ? true : undefined), "two places");
      await region.stop();
      await routing.end();

      const again = await openRegion(region.stores);
      const same = new FakePop("fra-01-a", again.address, pkiDir);
      try {
        const rejoined = same.route([contact("second", 30_000), contact("first", 60_000)]);
        await rejoined.hear(welcomeIn, "welcome");
        await available(again, "bob");
        assert.equal((await rejoined.hear(offerIn, "offer")).contactId, "first");
      } finally {
        same.close();
        await again.stop();
      }
    }));

  test("a host's twin that has taken over speaks for it: places, waits and answered offers stay, and the one taken over is refused", () =>
    within(async (region, pop) => {
      pop.epoch = 1;
      const [link, routing] = [pop.link(), pop.route()];
      await link.hear(welcomeIn, "welcome");
      for (const [id, waitedMs] of [
        ["talks", 90_000],
        ["rings", 60_000],
        ["waits", 30_000],
      ] as const)
        routing.say({ report: { $case: "enqueue", value: contact(id, waitedMs) } });
      await routing.hear((d) => (queuedIn(d)?.contactId === "waits" ? true : undefined), "three places");
      await available(region, "alice");
      const { offerId = "" } = await routing.hear(offerIn, "offer to alice");
      routing.say({ report: { $case: "offerAccepted", value: { offerId, contactId: "talks" } } });
      await available(region, "bob");
      const ringing = await routing.hear(
        (d) => (offerIn(d)?.agentId === "bob" ? offerIn(d) : undefined),
        "bob's offer",
      );
      assert.equal(ringing.contactId, "rings");

      const twin = new FakePop("fra-01-a", region.address, pkiDir);
      twin.epoch = 2;
      try {
        const held = { tenantId: "acme", queueId: "support" };
        const taken = twin.route(
          [contact("waits", 30_000), contact("rings", 60_000)],
          [
            { ...held, offerId, contactId: "talks", agentId: "alice", accepted: true },
            { ...held, offerId: ringing.offerId ?? "", contactId: "rings", agentId: "bob", accepted: false },
          ],
        );
        await twin.link().hear(welcomeIn, "welcome");
        await taken.hear(welcomeIn, "welcome");
        assert.deepEqual(
          [await link.end(), await routing.end()],
          [undefined, undefined],
          "the older streams are closed",
        );
        for (const refused of [await pop.link().end(), await pop.route().end()]) {
          assert.ok(refused instanceof ClientError && refused.code === Status.FAILED_PRECONDITION, String(refused));
          assert.equal(refused.details, "pop.superseded");
        }
        taken.say({
          report: { $case: "offerAccepted", value: { offerId: ringing.offerId ?? "", contactId: "rings" } },
        });
        const { body } = await region.ask("GET", "/v1/tenants/acme/queues/support/contacts");
        const waits = body.contacts.find(({ contactId }: { contactId: string }) => contactId === "waits");
        assert.ok(waits.waitingMs >= 30_000, "the wait counts on");
        taken.say({ report: { $case: "agentReleased", value: { offerId, contactId: "talks" } } });
        const next = await taken.hear((d) => offerIn(d), "the next offer");
        assert.deepEqual([next.contactId, next.agentId], ["waits", "alice"]);
      } finally {
        twin.close();
      }
    }));

  test("a contact that its host's next owner does not have is closed by the region; the POP's own record takes its place", () =>
    within(async (region, pop) => {
      const arrivedAtUnixMs = Date.now() - 60_000;
      const arrived = (id: string, atUnixMs = arrivedAtUnixMs) => ({
        ...{ id: `${id}/0`, callId: id, tenantId: "acme", sequence: 0, atUnixMs },
        ...{ name: "call.arrived", fields: { trunkId: "carrier-one", entryPointId: "support-line" } },
      });
      await pop.events.publish({
        hostId: pop.hostId,
        events: [arrived("lost"), arrived("held"), arrived("young", Date.now())],
      });
      await pop.link().hear(welcomeIn, "welcome"); // one that does not say what it has: nothing is concluded
      pop.held = ["held"];
      await pop.link().hear(welcomeIn, "welcome");
      const recordOf = async (id: string) => (await region.ask("GET", `/v1/contacts/${id}`)).body.record;
      let record: Answer["body"];
      for (let look = 0; look < 400 && !record; look++) {
        record = await recordOf("lost");
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      assert.deepEqual(
        [record?.endCode, record?.endedBy, record?.trunkId, record?.arrivedAtUnixMs],
        ["host.lost-without-state", "system", "carrier-one", arrivedAtUnixMs],
      );
      assert.deepEqual([await recordOf("held"), await recordOf("young")], [null, null]);
      const own = { contactId: "lost", tenantId: "acme", endCode: "normal", endedBy: EndedBy.ENDED_BY_CALLER };
      const ended = { ...arrived("lost"), id: "lost/record", sequence: 4, name: "call.ended", fields: {}, record: own };
      await pop.events.publish({ hostId: pop.hostId, events: [ended] });
      assert.equal((await recordOf("lost")).endCode, "normal");
    }));

  test("of two replicas one owns the queues; the other refuses, and takes over when the first is gone", () =>
    within(async (region, pop) => {
      await available(region, "alice");
      const second = await openRegion(region.stores, "cp-2");
      const elsewhere = new FakePop("fra-01-b", second.address, pkiDir);
      try {
        const routing = elsewhere.route();
        await routing.hear(welcomeIn, "welcome");
        routing.say({ report: { $case: "enqueue", value: contact("c1") } });
        assert.equal((await routing.hear(refusedIn, "refusal")).code, "shard.not-owned");
        assert.equal((await second.ask("POST", `${AGENTS}/alice/sign-out`)).body.code, "shard.not-owned");
        pop.close();
        await region.stop(); // gives its lease back
        await routing.end(); // asked to say again what it holds
        const again = elsewhere.route([contact("c1")]);
        assert.equal((await again.hear(offerIn, "offer")).agentId, "alice");
      } finally {
        elsewhere.close();
        await second.stop();
      }
    }));

  test("a lease that is lost stops offers until it is owned again", () =>
    within(async (region, pop) => {
      const routing = pop.route();
      await routing.hear(welcomeIn, "welcome");
      await available(region, "alice");
      const lease = await region.stores.leases.acquire("shards/acme", "cp-1", 1_000); // a twin with the same name: the fence
      assert.ok(lease.ok);
      await region.stores.shards.save(
        "acme" as never,
        1_001,
        JSON.parse(
          JSON.stringify({
            agents: {},
            contacts: {},
            hosts: {},
            offersMade: 0,
            positionsToldAtMs: 0,
            positionsStale: false,
          }),
        ),
      );
      routing.say({ report: { $case: "enqueue", value: contact("c1") } });
      // Its next save is refused: alice, whom the newer owner does not know, is not rung. It takes the shard anew and asks for a hello.
      await routing.end();
      assert.equal(routing.heard.filter((directive) => offerIn(directive) !== undefined).length, 0);
      const rejoined = pop.route([contact("c1")]);
      await rejoined.hear(queuedIn, "its place");
      assert.equal((await region.ask("GET", AGENTS)).body.items[0].state, "signed-out");
    }));

  test("with the stores away queues go on in memory", () =>
    within(async (region, pop) => {
      const routing = pop.route();
      await routing.hear(welcomeIn, "welcome");
      await available(region, "alice");
      region.stores.shards.away = true;
      region.stores.leases.away = true;
      region.stores.intents.away = true;
      region.stores.events.away = true;
      routing.say({ report: { $case: "enqueue", value: contact("c1") } });
      await routing.hear(offerIn, "offer");
      const refused = await region.ask("POST", "/v1/tenants/acme/apply", {
        documents: [{ kind: "team", id: "x", name: "X" }],
      });
      assert.deepEqual([refused.status, refused.body.code], [503, "store.away"]);
      assert.equal((await region.ask("GET", "/v1/tenants/acme/queues")).status, 200);
      assert.equal((await region.ask("GET", "/readyz")).body.dependencies[1].ready, false);
      await assert.rejects(
        pop.events.publish({ hostId: "fra-01-a", events: [] }),
        (error) => error instanceof ClientError && error.code === Status.UNAVAILABLE,
      );
    }));

  test("commands reach the host, and its answer comes back", () =>
    within(async (region, pop) => {
      assert.equal((await region.ask("POST", "/v1/pops/fra-01-a/drain", { on: true })).body.code, "pop.not-linked");
      const link = pop.link();
      await link.hear(welcomeIn, "welcome");
      const answer = async (pick: "drain" | "hangUp", done: boolean) => {
        const { id } = await link.hear((d) => (commandIn(d)?.command?.$case === pick ? commandIn(d) : undefined), pick);
        link.say({ report: { $case: "commandDone", value: { id, done, reason: "" } } });
      };
      const [drained] = await Promise.all([
        region.ask("POST", "/v1/pops/fra-01-a/drain", { on: true }),
        answer("drain", true),
      ]);
      assert.deepEqual(drained, { status: 200, body: { hostId: "fra-01-a", draining: true } });
      const [hungUp] = await Promise.all([region.ask("POST", "/v1/calls/c9/hang-up"), answer("hangUp", false)]);
      assert.deepEqual([hungUp.status, hungUp.body.code], [404, "call.unknown"]);
      assert.equal((await region.ask("POST", "/v1/pops/fra-01-a/drain", { on: false })).body.code, "pop.silent");
    }));

  test("events are kept once, and read back with the record", () =>
    within(async (region, pop) => {
      const event = (sequence: number, name: string) => ({
        id: `c1/${sequence}`,
        callId: "c1",
        tenantId: "acme",
        sequence,
        atUnixMs: 1_000 + sequence,
        name,
        fields: { a: "b" },
      });
      const record = {
        contactId: "c1",
        tenantId: "acme",
        endedBy: EndedBy.ENDED_BY_CALLER,
        endCode: "normal",
        segments: [{ kind: SegmentKind.SEGMENT_KIND_QUEUE, queueId: "support" }],
        media: [],
      };
      const batch = { hostId: "fra-01-a", events: [event(2, "queue.joined"), event(1, "call.arrived")] };
      assert.deepEqual(await pop.events.publish(batch), { stored: 2, repeatedCount: 0 });
      assert.deepEqual(
        await pop.events.publish({
          hostId: "fra-01-a",
          events: [...batch.events, { ...event(3, "call.ended"), record }],
        }),
        { stored: 1, repeatedCount: 2 },
      );
      const { body } = await region.ask("GET", "/v1/contacts/c1");
      assert.deepEqual(
        body.events.map(({ name }: { name: string }) => name),
        ["call.arrived", "queue.joined", "call.ended"],
      );
      assert.deepEqual([body.record.endedBy, body.record.segments[0].kind], ["caller", "queue"]);
      assert.equal((await region.ask("GET", "/v1/contacts?tenant=acme&limit=5")).body.items.length, 1);
      assert.equal((await region.ask("GET", "/v1/contacts?tenant=other")).body.items.length, 0);
      assert.equal((await region.ask("GET", "/v1/contacts/never")).body.code, "contact.unknown");
    }));
});

describe("the REST API", () => {
  test("needs the token everywhere but at the probes", () =>
    within(async ({ rest }) => {
      for (const url of ["/healthz", "/readyz", "/metrics", "/v1/openapi.json"])
        assert.equal((await rest.inject({ url })).statusCode, 200, url);
      for (const authorization of [undefined, "Bearer wrong", "Basic x", `Bearer ${TOKEN}x`]) {
        const answer = await rest.inject({
          url: "/v1/pops",
          headers: authorization === undefined ? {} : { authorization },
        });
        assert.deepEqual([answer.statusCode, answer.json().code], [401, "request.unauthorized"]);
      }
      assert.equal((await rest.inject({ url: "/v1/nowhere" })).statusCode, 401);
    }));

  test("its OpenAPI document says what each path takes and how it refuses", () =>
    within(async ({ rest }) => {
      const { paths } = (await rest.inject({ url: "/v1/openapi.json" })).json();
      const operations = Object.entries<Record<string, { summary?: string; responses: object }>>(paths).flatMap(
        ([path, methods]) => Object.values(methods).map((operation) => ({ path, ...operation })),
      );
      assert.ok(operations.length > 10);
      for (const { path, summary, responses } of operations) {
        assert.ok(summary, path);
        if (path.startsWith("/v1/")) assert.deepEqual(Object.keys(responses), ["2XX", "4XX", "5XX"], path);
      }
      const { requestBody } = paths["/v1/tenants/{tenant}/apply"].post;
      assert.deepEqual(Object.keys(requestBody.content), ["application/json", "application/yaml"]);
    }));

  test("answers every mistake with a stable code", () =>
    within(async (region) => {
      const code = async (method: "GET" | "POST", path: string, body?: unknown) => {
        const { status, body: answer } = await region.ask(method, path, body);
        return `${status} ${answer.code}`;
      };
      assert.equal(await code("GET", "/v1/nowhere"), "404 path.unknown");
      assert.equal(await code("GET", "/v1/tenants/nobody/queues"), "404 tenant.unknown");
      assert.equal(await code("GET", "/v1/tenants/acme/spaceships"), "404 path.unknown");
      assert.equal(await code("GET", "/v1/tenants/acme/queues/none"), "404 object.unknown");
      assert.equal(await code("GET", "/v1/tenants/acme/queues/none/contacts"), "404 queue.unknown");
      assert.equal(await code("POST", `${AGENTS}/none/sign-out`), "404 agent.unknown");
      assert.equal(await code("POST", `${AGENTS}/alice/state`, { state: "available" }), "409 agent.signed-out");
      assert.equal(await code("POST", `${AGENTS}/alice/state`, { state: "asleep" }), "400 request.invalid");
      assert.equal(await code("POST", `${AGENTS}/alice/sign-in`, { address: "alice" }), "400 request.invalid");
      assert.equal(await code("POST", `${AGENTS}/alice/sign-in`, { address: "sip:a@b", x: 1 }), "400 request.invalid");
      assert.equal(await code("POST", "/v1/tenants/acme/apply", { documents: 3 }), "400 request.invalid");
      assert.equal(await code("POST", "/v1/tenants/acme/apply", { x: "y".repeat(100_001) }), "413 request.too-large");
      assert.equal(await code("GET", "/v1/contacts?limit=0"), "400 request.invalid");
      const text = await region.rest.inject({
        method: "POST",
        url: "/v1/tenants/acme/apply",
        headers: { authorization: `Bearer ${TOKEN}`, "content-type": "text/csv" },
        payload: "a",
      });
      assert.deepEqual([text.statusCode, text.json().code], [415, "request.unsupported-type"]);
    }));

  test("a refused apply changes nothing and lists what is wrong, also in the YAML itself", () =>
    within(async (region) => {
      const before = (await region.ask("GET", "/v1/tenants/acme/queues")).body;
      const refused = await region.ask(
        "POST",
        "/v1/tenants/acme/apply",
        "kind: team\nid: ok\nname: Fine\n---\nkind: queue\nid: q\nname: Q\nteams: [nobody]\n",
      );
      assert.equal(refused.status, 422);
      assert.deepEqual(refused.body.mistakes, [
        { document: 2, kind: "queue", id: "q", path: "teams.0", message: 'there is no team "nobody"' },
      ]);
      const broken = await region.ask("POST", "/v1/tenants/acme/apply", "kind: team\n---\nkind: [\n");
      assert.deepEqual([broken.status, broken.body.code, broken.body.mistakes[0].document], [422, "config.refused", 2]);
      assert.deepEqual((await region.ask("GET", "/v1/tenants/acme/queues")).body, before);
    }));

  test("a dry run says what would change, and does not", () =>
    within(async (region) => {
      const documents = [{ kind: "team", id: "second-line", name: "Second line" }];
      const { body } = await region.ask("POST", "/v1/tenants/acme/apply?dryRun=true", { documents });
      assert.deepEqual(body.changed, [{ kind: "team", id: "second-line", change: "created" }]);
      assert.equal((await region.ask("GET", "/v1/tenants/acme/teams/second-line")).status, 404);
    }));

  test("what is read back can be applied again", () =>
    within(async (region) => {
      const documents: unknown[] = [];
      for (const kind of ["tenant", "trunk", "dn", "entry-point", "flow", "queue", "team", "agent"])
        for (const { document } of (await region.ask("GET", `/v1/tenants/acme/${kind}s`)).body.items)
          documents.push(document);
      assert.equal(documents.length, 12);
      assert.deepEqual((await region.ask("POST", "/v1/tenants/acme/apply", { documents })).body.changed, []);
    }));

  test("metrics tell what matters", () =>
    within(async (region) => {
      const { body } = await region.ask("GET", "/metrics");
      assert.match(body, /control_plane_dependency_ready\{dependency="redis"\} 1/);
      assert.match(body, /control_plane_shards 1/);
    }));
});

describe("the development CA", () => {
  test("keeps what is good and makes what is missing; keys are their owner's", async () => {
    const dir = mkdtempSync(join(tmpdir(), "tollgate-pki-"));
    try {
      const wish = { dir, serverHost: "127.0.0.1", hostIds: ["a-a"] };
      await developmentPki(wish, silentLog);
      const files = ["ca.crt", "ca.key", "server.crt", "server.key", "hosts/a-a.crt", "hosts/a-a.key"];
      const read = () => files.map((file) => readFileSync(join(dir, file), "utf8"));
      const first = read();
      for (const file of files) assert.equal(statSync(join(dir, file)).mode & 0o777, 0o600, file);
      await developmentPki({ ...wish, hostIds: ["a-a", "a-b"] }, silentLog);
      assert.deepEqual(read(), first);
      assert.ok(statSync(join(dir, "hosts/a-b.crt")).size > 0);
      await developmentPki({ ...wish, serverHost: "127.0.0.2" }, silentLog);
      const third = read();
      assert.notEqual(third[2], first[2], "another address, another certificate");
      assert.equal(third[0], first[0], "of the same authority");
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });
});
