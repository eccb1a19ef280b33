// The POP process: the only file that knows everybody. Wires, starts, stops. No logic.

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { systemAlarm } from "../kernel/alarm.ts";
import { asId } from "../kernel/ids.ts";
import type { Log } from "../kernel/log.ts";
import type { Ownership } from "../kernel/ownership.ts";
import { type Beginning, type RunningProcess, runProcess, untilFree } from "../kernel/shell/process.ts";
import { readSecretFile } from "../kernel/shell/secret-file.ts";
import { systemClock } from "../kernel/time.ts";
import { openAdminHttp } from "./adapters/admin-http/admin-http.ts";
import { EventSpool } from "./adapters/disk/event-spool.ts";
import { DiskSnapshotStore } from "./adapters/disk/snapshot-store.ts";
import { DrachtioSignalling } from "./adapters/drachtio/drachtio-signalling.ts";
import { MediaWorkerServer } from "./adapters/media-worker/media-server.ts";
import { FilePromptStore } from "./adapters/prompts/prompt-store.ts";
import { GrpcContactRouting } from "./adapters/region-link-grpc/contact-routing.ts";
import { GrpcEventPublisher } from "./adapters/region-link-grpc/event-publisher.ts";
import { RegionChannel } from "./adapters/region-link-grpc/region-channel.ts";
import { GrpcRegionLink } from "./adapters/region-link-grpc/region-link.ts";
import { RtpengineMediaRelay } from "./adapters/rtpengine/media-relay.ts";
import { PopMetrics } from "./adapters/telemetry/pop-metrics.ts";
import { type CallCount, Calls } from "./app/calls.ts";
import { PartHealth } from "./app/part-health.ts";
import { PromptWarming } from "./app/prompt-warming.ts";
import { tenantPrompts } from "./app/tenant-prompts.ts";
import { NoCheckpointStore } from "./checkpoint/adapters/none/checkpoint-store.ts";
import { RedisCheckpointStore } from "./checkpoint/adapters/redis/checkpoint-store.ts";
import { PopConfig } from "./config/pop-config.ts";

const SOFTWARE_VERSION = "0.1.0";

/** For the region to take events that the next owner's host does not have; what is left waits here for this host's next start. */
const LAST_EVENTS_MS_MAX = 300;

async function start(config: PopConfig, log: Log, ownership: Ownership, beginning: Beginning): Promise<RunningProcess> {
  const { regionId, popId, hostId, limits, dataDir, redis } = config;
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });

  // What may be in use still, of a process that has just died: before anything else is open.
  const relay = await RtpengineMediaRelay.open(
    {
      ng: { host: config.rtpengine.ngHost, port: config.rtpengine.ngPort },
      dtmfLog: { host: config.rtpengine.dtmfHost, port: config.rtpengine.dtmfPort },
    },
    log,
  );

  // Early, for it connects while the others open: what a successor waits for longest is its calls.
  const book = (name: string) =>
    redis &&
    new RedisCheckpointStore({
      service: config.checkpoints?.service ?? hostId,
      book: name,
      epoch: ownership.epoch,
      ...redis,
      log,
      // Another serves: to stop in order would hang up calls that are its own now.
      onSuperseded: ({ by }) => beginning.superseded(by),
    });
  const written = book("calls");
  const store = written ?? new NoCheckpointStore();
  const flows = book("flows") ?? new NoCheckpointStore();

  const server = new MediaWorkerServer({ socketPath: config.mediaWorker.socket }, log);
  const prompts = new FilePromptStore({ folder: config.prompts.dir, cacheFolder: config.prompts.cacheDir });

  const { host: regionHost, port: regionPort, certDir } = config.controlPlane;
  const channel = new RegionChannel({ address: `${regionHost}:${regionPort}`, certDir, log });
  const identity = { popId, hostId, softwareVersion: SOFTWARE_VERSION, epoch: ownership.epoch };
  const routing = new GrpcContactRouting({ channel, identity, log });
  const link = new GrpcRegionLink({ channel, identity, log });
  const publisher = new GrpcEventPublisher({ channel, hostId });
  const spool = join(dataDir, "spool");
  const events = await EventSpool.open({ dir: spool, publisher, log, bytesMax: limits.spoolBytesMax });

  const secret = readSecretFile("sip.secretFile", config.sip.secretFile);
  const signalling = new DrachtioSignalling(
    {
      host: config.sip.host,
      port: config.sip.port,
      secret,
      server: config.sip.server,
      instance: config.checkpoints?.service ?? hostId,
    },
    log,
  );

  const promptsOf = (tenant: string) => tenantPrompts(tenant, prompts);
  const warming = new PromptWarming(promptsOf, systemAlarm, log);
  const calls = new Calls(
    {
      regionId: asId<"region">(regionId),
      popId: asId<"pop">(popId),
      hostId: asId<"pop-host">(hostId),
      limits,
      callsConcurrentMax: limits.callsConcurrentMax,
      journalsMax: limits.journalsMax,
    },
    {
      clock: systemClock,
      setAlarm: systemAlarm,
      log,
      signalling,
      routing,
      ownership,
      store,
      flows,
      media: { relay, server, promptsOf },
      events,
      snapshots: new DiskSnapshotStore(join(dataDir, "snapshot.json"), config.snapshotFallbackFile),
      counted: (what) => count(metrics, what),
      applied: (snapshot) => warming.applied(snapshot),
    },
  );
  const health = new PartHealth({ relay, server, store, signalling, link, routing, calls });
  const metrics = new PopMetrics({
    calls: () => calls.presence().calls,
    spooledEvents: () => events.state().events,
    droppedEvents: () => events.state().dropped,
    parts: () => health.byName(),
    checkpoints: () => written?.counts,
  });
  guardLibraries(log, metrics);

  relay.onDtmf(({ call, side, digit }) => calls.signalled(call, { kind: "dtmf", side, digit }));
  relay.onForgotten((call) => calls.signalled(call, { kind: "media-lost" }));
  server.onPlayed(({ call, play, how }) => calls.signalled(call, { kind: "played", play, how }));
  server.onConnected(() => calls.workerBack());

  if (config.draining) calls.drain(true);
  calls.loadSnapshot();
  await calls.restore();
  await signalling.start(calls);
  calls.resume(beginning.formerDiedAtUnixMs);
  // What an earlier process of ours has left at the relay.
  void relay.releaseStrangers((call) => calls.knows(call));
  routing.start(calls);
  link.start(calls);
  health.start();
  // By now calls run: nothing is begun again for an address.
  const http = await untilFree(() =>
    openAdminHttp(
      { host: config.http.host, port: config.http.port, sipTraceUrl: config.sipTrace?.url },
      {
        calls: () => calls.list(),
        recentlyEnded: () => calls.journals.recentlyEnded(),
        journal: (call) => calls.journal(asId<"call">(call)),
        parts: () => health.parts(),
        drain: (on) => calls.drain(on),
      },
      metrics.registry,
    ),
  );

  return {
    async handOver() {
      await calls.handOver();
      await Promise.race([events.close(), new Promise((resolve) => setTimeout(resolve, LAST_EVENTS_MS_MAX))]);
    },
    async stop() {
      await calls.finish(limits.drainMs);
      health.stop();
      warming.stop();
      await signalling.close();
      await Promise.all([routing.close(), link.close(), events.close(), store.close(), flows.close()]);
      await Promise.all([relay.close(), server.disconnect(), channel.close(), http.close()]);
    },
  };
}

function count(metrics: PopMetrics, what: CallCount): void {
  if (what.kind === "arrived") metrics.arrived();
  else if (what.kind === "refused") metrics.refused(what.code);
  else if (what.kind === "re-anchored") metrics.reAnchored();
  else metrics.ended(what.record);
}

/**
 * drachtio-srf parses headers inside socket callbacks and throws on what its grammar does not know. One such message
 * must not end everybody's calls; anything that is not from there is a bug of ours, and the supervisor starts us anew.
 */
function guardLibraries(log: Log, metrics: PopMetrics): void {
  process.on("uncaughtException", (error) => {
    log.error("process.uncaught", { error });
    metrics.handlerFailed("uncaught");
    if (!/node_modules\/drachtio-srf\//.test(error.stack ?? "")) process.exit(1);
  });
}

await runProcess({ name: "pop", schema: PopConfig, startsAgain: true, start });
