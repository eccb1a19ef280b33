// The control-plane process: the only file that knows everybody. Wires, starts, stops.

import { systemRng } from "../kernel/rng.ts";
import { runProcess } from "../kernel/shell/process.ts";
import { systemClock } from "../kernel/time.ts";
import { etcdAnswers, openEtcd } from "./adapters/etcd/etcd-client.ts";
import { EtcdIntentStore } from "./adapters/etcd/intent-store.ts";
import { EtcdLeaseStore } from "./adapters/etcd/lease-store.ts";
import { startPopServices } from "./adapters/grpc/pop-services.ts";
import { developmentPki } from "./adapters/pki/development-ca.ts";
import { RedisContactEventStore } from "./adapters/redis/contact-event-store.ts";
import { RedisQueueShardStore } from "./adapters/redis/queue-shard-store.ts";
import { openRedis, redisAnswers } from "./adapters/redis/redis-client.ts";
import { readAdminToken } from "./adapters/rest-api/admin-token.ts";
import { startRestApi } from "./adapters/rest-api/rest-api.ts";
import { openMetrics } from "./adapters/telemetry/metrics.ts";
import { ControlPlane } from "./app/control-plane.ts";
import { DependencyWatch } from "./app/dependency-watch.ts";
import { controlPlaneApi, vitalsOf } from "./app/views.ts";
import { controlPlaneConfigSchema } from "./config/control-plane-config.ts";

await runProcess({
  name: "control-plane",
  schema: controlPlaneConfigSchema,
  async start(config, log) {
    const { regionId, replicaId, limits, rest } = config;
    const tls = await developmentPki(
      { dir: config.pki.dir, serverHost: config.grpc.host, hostIds: config.pki.hosts },
      log,
    );
    const { token, made } = readAdminToken(rest.adminTokenFile);
    if (made) log.info("rest.admin-made", { file: rest.adminTokenFile });

    const etcd = openEtcd(config.etcd);
    const redis = openRedis(config.redis, log);
    const events = new RedisContactEventStore(redis, {
      contactsMax: limits.contactsKeptMax,
      retentionSeconds: limits.contactRetentionSeconds,
      eventsInStreamMax: limits.eventsInStreamMax,
      decisionsMax: limits.decisionsPerContactMax,
    });
    const leaseTtlMs = limits.leaseTtlSeconds * 1_000;
    const region = new ControlPlane({
      regionId,
      replicaId,
      intents: new EtcdIntentStore(etcd, log),
      leases: new EtcdLeaseStore(etcd, { ttlSeconds: limits.leaseTtlSeconds, renewTimeoutMs: leaseTtlMs / 3 }),
      shards: new RedisQueueShardStore(redis),
      events,
      clock: systemClock,
      rng: systemRng,
      log,
      shardTiming: limits,
      ownerTiming: { renewEveryMs: leaseTtlMs / 3, retryAfterMs: 500, loadWaitMsMax: limits.shardLoadWaitMsMax },
      presenceIntervalMs: limits.presenceIntervalMs,
      commandTimeoutMs: limits.commandTimeoutMs,
      decisionsPendingMax: limits.decisionsPendingMax,
    });
    const dependencies = new DependencyWatch(
      [
        { name: "etcd", answers: () => etcdAnswers(etcd) },
        { name: "redis", answers: () => redisAnswers(redis) },
      ],
      1_000,
      log,
    );
    const metrics = openMetrics(() => vitalsOf(region, dependencies));

    const grpcServer = await startPopServices({ ...config.grpc, tls }, { ...region, events });
    const restServer = await startRestApi(
      { host: rest.host, port: rest.port, adminToken: token, bodyBytesMax: rest.bodyBytesMax },
      controlPlaneApi(region, { regionId, clock: systemClock, events, dependencies, metrics: () => metrics.read() }),
      log,
    );
    log.info("control-plane.listening", { grpcPort: grpcServer.port, restPort: restServer.port });
    dependencies.start();
    region.start();

    return {
      async stop() {
        dependencies.stop();
        await restServer.stop();
        await region.stop();
        await grpcServer.stop();
        etcd.close();
        redis.disconnect();
      },
    };
  },
});
