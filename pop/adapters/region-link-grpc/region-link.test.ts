import assert from "node:assert/strict";
import { cpSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Status } from "nice-grpc";
import { asId } from "../../../kernel/ids.ts";
import { type Log, silentLog } from "../../../kernel/log.ts";
import { contactRoutingContract, type HeardRouting } from "../../boundary/contact-routing.contract.ts";
import { eventOfCall } from "../../boundary/event-sink.contract.ts";
import { type HeardReport, regionLinkContract, ScriptedHost } from "../../boundary/region-link.contract.ts";
import { SNAPSHOT } from "../../boundary/snapshot-store.contract.ts";
import type { CallEvent } from "../../core/call/contact-record.ts";
import { CONNECTION_POLICY, type ConnectionPolicy } from "../../core/link/connection.ts";
import { GrpcContactRouting } from "./contact-routing.ts";
import { GrpcEventPublisher } from "./event-publisher.ts";
import { FakeRegion, makeCertificates, OPENSSL_MISSING } from "./fake-region.ts";
import { FaultyPath } from "./faulty-path.ts";
import { RegionChannel, type RegionChannelOptions } from "./region-channel.ts";
import { GrpcRegionLink } from "./region-link.ts";
import { directiveToWire, heardReport, heardRouting } from "./region-side.ts";
import { snapshotToWire } from "./snapshot-wire.ts";

const IDENTITY = { popId: "fra-01", hostId: "fra-01-a", softwareVersion: "0.1.0", epoch: 3 };
const ENDED: CallEvent = {
  ...eventOfCall(450, "call.ended"),
  record: {
    contactId: asId<"call">("c1"),
    tenantId: asId<"tenant">("acme"),
    regionId: asId<"region">("eu"),
    popId: asId<"pop">("fra-01"),
    hostId: asId<"pop-host">("fra-01-a"),
    trunkId: asId<"trunk">("carrier"),
    entryPointId: asId<"entry-point">("support-line"),
    flowId: asId<"flow">("support"),
    flowVersion: 3,
    callingNumber: "+49301",
    calledNumber: "+49302",
    arrivedAtUnixMs: 1_790_000_000_000.25,
    answeredAtUnixMs: undefined,
    endedAtUnixMs: 1_790_000_001_000,
    endedBy: "caller",
    endCode: "abandoned",
    segments: [
      {
        kind: "queue",
        startedAtUnixMs: 1_790_000_000_500,
        endedAtUnixMs: 1_790_000_001_000,
        queueId: asId<"queue">("support"),
        agentId: undefined,
        outcome: "abandoned",
      },
    ],
    media: [],
    reAnchored: 2,
  },
};

/** The log as something to wait for. */
class LogSignals {
  readonly #seen = new Set<string>();
  readonly #waiting: { readonly event: string; readonly resolve: () => void }[] = [];
  readonly #hear = (event: string): void => {
    this.#seen.add(event);
    for (const waiting of this.#waiting.filter((one) => one.event === event)) {
      this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
      waiting.resolve();
    }
  };
  readonly log: Log = { debug: this.#hear, info: this.#hear, warn: this.#hear, error: this.#hear };

  /** From now on. */
  next(event: string): Promise<void> {
    return new Promise((resolve) => this.#waiting.push({ event, resolve }));
  }

  /** Ever. */
  async seen(event: string): Promise<void> {
    if (!this.#seen.has(event)) await this.next(event);
  }
}

const QUICK: ConnectionPolicy = {
  ...CONNECTION_POLICY,
  backoff: { firstMs: 20, factor: 1.5, waitMsMax: 100, jitter: 0.5 },
};

if (OPENSSL_MISSING) test("region link over gRPC", { skip: OPENSSL_MISSING }, () => {});
else withCertificates();

function withCertificates(): void {
  const dir = mkdtempSync(join(tmpdir(), "tollgate-link-"));
  makeCertificates(dir);
  after(() => rmSync(dir, { recursive: true, force: true }));

  const newRegion = async () => {
    const region = new FakeRegion(join(dir, "region"));
    await region.start();
    return region;
  };
  const channelTo = (port: number, options: Partial<RegionChannelOptions> = {}) =>
    new RegionChannel({ address: `127.0.0.1:${port}`, certDir: join(dir, "pop"), log: silentLog, ...options });

  regionLinkContract("gRPC", async () => {
    const region = await newRegion();
    const channel = channelTo(region.port);
    const link = new GrpcRegionLink({ channel, identity: IDENTITY, log: silentLog, policy: QUICK });
    return {
      link,
      async heard<Kind extends HeardReport["kind"]>(kind: Kind) {
        const isWanted = (report: HeardReport): report is Extract<HeardReport, { kind: Kind }> => report.kind === kind;
        const report = heardReport(await region.heard(region.linkReports, (wire) => isWanted(heardReport(wire))));
        return isWanted(report) ? report : assert.fail();
      },
      send: (snapshot) => region.direct({ $case: "snapshot", value: snapshotToWire(snapshot) }),
      sendUnreadable: (version) =>
        region.direct({
          $case: "snapshot",
          value: {
            ...snapshotToWire(SNAPSHOT),
            version,
            tenants: [{ defaultTreatment: [], id: "", name: "nameless", callsConcurrentMax: 0 }],
          },
        }),
      command: (id, command) =>
        region.direct({
          $case: "command",
          value: {
            id,
            command:
              command.kind === "drain"
                ? { $case: "drain", value: { on: command.on } }
                : { $case: "hangUp", value: { callId: command.callId } },
          },
        }),
      async goAway() {
        region.kill();
      },
      comeBack: () => region.start(),
      async close() {
        region.kill();
        await channel.close();
      },
    };
  });

  contactRoutingContract("gRPC", async () => {
    const region = await newRegion();
    const channel = channelTo(region.port);
    const signals = new LogSignals();
    const routing = new GrpcContactRouting({ channel, identity: IDENTITY, log: signals.log, policy: QUICK });
    return {
      routing,
      heard: async (): Promise<HeardRouting> => heardRouting(await region.heard(region.routingReports, () => true)),
      linked: () => signals.seen("routing.up"),
      direct: (directive) => region.directRouting(directiveToWire(directive)),
      async goAway() {
        const noticed = signals.next("routing.away");
        region.kill();
        await noticed;
      },
      comeBack: () => region.start(),
      async close() {
        region.kill();
        await channel.close();
      },
    };
  });

  describe("the link over gRPC", () => {
    let region: FakeRegion;
    before(async () => {
      region = await newRegion();
    });
    after(() => region.kill());

    test("it starts without certificates, and links soon after they have come", async () => {
      const certDir = join(dir, "late");
      mkdirSync(certDir);
      const channel = channelTo(region.port, { certDir });
      const signals = new LogSignals();
      const link = new GrpcRegionLink({ channel, identity: IDENTITY, log: signals.log, policy: QUICK });
      const away = signals.next("link.away");
      link.start(new ScriptedHost());
      await away;
      cpSync(join(dir, "pop"), certDir, { recursive: true });
      await signals.seen("link.up");
      await link.close();
      await channel.close();
    });

    test("a POP of another CA does not get in", async () => {
      const strangers = join(dir, "strangers");
      makeCertificates(strangers);
      const channel = channelTo(region.port, { certDir: join(strangers, "pop") });
      const reached = await channel.reach();
      assert.ok(!reached.ok && reached.failure.code === "region.unreachable");
      await channel.close();
    });

    test("a region whose certificate does not name its address is not ours", async () => {
      const elsewhere = join(dir, "elsewhere");
      makeCertificates(elsewhere, "127.9.9.9");
      const impostor = new FakeRegion(join(elsewhere, "region"));
      await impostor.start();
      const channel = channelTo(impostor.port, { certDir: join(elsewhere, "pop") });
      assert.ok(!(await channel.reach()).ok);
      await channel.close();
      impostor.kill();
    });

    test("a region that accepts and never answers is left alone after a bounded wait, and tried again", async () => {
      const path = await FaultyPath.open(() => region.port);
      path.fallSilent();
      const channel = channelTo(path.port, { connectMsMax: 200 });
      const signals = new LogSignals();
      const link = new GrpcRegionLink({ channel, identity: IDENTITY, log: signals.log, policy: QUICK });
      const start = performance.now();
      const twice = signals.next("link.away").then(() => signals.next("link.away"));
      link.start(new ScriptedHost());
      await twice;
      assert.ok(performance.now() - start < 2_000);
      path.heal();
      await signals.seen("link.up");
      await link.close();
      await channel.close();
      path.close();
    });

    test("a region that takes the stream and says nothing is left alone after a bounded wait", async () => {
      const mute = await newRegion();
      mute.mute = true;
      const channel = channelTo(mute.port);
      const signals = new LogSignals();
      const policy = { ...QUICK, welcomeMsMax: 100 };
      const link = new GrpcRegionLink({ channel, identity: IDENTITY, log: signals.log, policy });
      const away = signals.next("link.away");
      link.start(new ScriptedHost());
      await away;
      mute.mute = false;
      await signals.seen("link.up");
      await link.close();
      await channel.close();
      mute.kill();
    });

    test("a connection that went dead without a word is noticed by its pings, and made anew", async () => {
      const path = await FaultyPath.open(() => region.port);
      const channel = channelTo(path.port, { pingEveryMs: 200, pingAnswerMsMax: 200 });
      const signals = new LogSignals();
      const link = new GrpcRegionLink({ channel, identity: IDENTITY, log: signals.log, policy: QUICK });
      link.start(new ScriptedHost());
      await signals.seen("link.up");
      const away = signals.next("link.away");
      path.fallSilent();
      const start = performance.now();
      await away;
      assert.ok(performance.now() - start < 2_000, "noticed late");
      const up = signals.next("link.up");
      path.heal();
      await up;
      await link.close();
      await channel.close();
      path.close();
    });

    test("closing while the region does not answer is quick", async () => {
      const path = await FaultyPath.open(() => region.port);
      path.fallSilent();
      const channel = channelTo(path.port);
      const link = new GrpcRegionLink({ channel, identity: IDENTITY, log: silentLog });
      link.start(new ScriptedHost());
      const start = performance.now();
      await link.close();
      await channel.close();
      assert.ok(performance.now() - start < 500);
      path.close();
    });

    test("link, routing and events share one connection, and all come back after the region was killed", async () => {
      const other = await newRegion();
      const channel = channelTo(other.port);
      const signals = new LogSignals();
      const link = new GrpcRegionLink({ channel, identity: IDENTITY, log: signals.log, policy: QUICK });
      const routing = new GrpcContactRouting({ channel, identity: IDENTITY, log: signals.log, policy: QUICK });
      const publisher = new GrpcEventPublisher({ channel, hostId: "fra-01-a" });
      link.start(new ScriptedHost());
      routing.start({ held: () => ({ waiting: [], offers: [] }), directed() {} });
      await Promise.all([signals.seen("link.up"), signals.seen("routing.up")]);
      assert.ok((await publisher.publish([eventOfCall(1)])).ok);
      assert.equal(other.peers.size, 1);
      const gone = Promise.all([signals.next("link.away"), signals.next("routing.away")]);
      other.kill();
      await gone;
      const away = await publisher.publish([eventOfCall(2)]);
      assert.ok(!away.ok && away.failure.code === "events.away");
      const back = Promise.all([signals.next("link.up"), signals.next("routing.up")]);
      await other.start();
      await back;
      assert.ok((await publisher.publish([eventOfCall(2)])).ok);
      await link.close();
      await routing.close();
      await channel.close();
      other.kill();
    });
  });

  describe("the event publisher", () => {
    let region: FakeRegion;
    let channel: RegionChannel;
    before(async () => {
      region = await newRegion();
      channel = channelTo(region.port);
    });
    after(async () => {
      await channel.close();
      region.kill();
    });

    test("events arrive in requests of at most 200, record and all", async () => {
      const publisher = new GrpcEventPublisher({ channel, hostId: "fra-01-a" });
      const events = Array.from({ length: 450 }, (_, at) => eventOfCall(at));
      assert.deepEqual(await publisher.publish([...events, ENDED]), { ok: true, value: undefined });
      assert.deepEqual(
        region.published.map((request) => [request.hostId, request.events.length]),
        [
          ["fra-01-a", 200],
          ["fra-01-a", 200],
          ["fra-01-a", 51],
        ],
      );
      const record = region.published[2]?.events[50]?.record;
      assert.equal(record?.answeredAtUnixMs, 0);
      assert.equal(record?.endedBy, 1);
      assert.deepEqual(record?.segments[0]?.kind, 2);
    });

    test("what the region refuses and what it cannot take now are told apart", async () => {
      const publisher = new GrpcEventPublisher({ channel, hostId: "fra-01-a" });
      region.intakeStatus = Status.INVALID_ARGUMENT;
      const refused = await publisher.publish([eventOfCall(1)]);
      region.intakeStatus = Status.UNAVAILABLE;
      const away = await publisher.publish([eventOfCall(1)]);
      assert.deepEqual(
        [refused, away].map((outcome) => (outcome.ok ? "ok" : outcome.failure.code)),
        ["events.refused", "events.away"],
      );
    });

    test("an intake that does not answer is given up after the deadline", async () => {
      region.intakeStalls = true;
      const publisher = new GrpcEventPublisher({ channel, hostId: "fra-01-a", answerMsMax: 100 });
      const stalled = await publisher.publish([eventOfCall(1)]);
      assert.ok(!stalled.ok && stalled.failure.code === "events.away");
      region.intakeStalls = false;
    });
  });
}
