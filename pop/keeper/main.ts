// The keeper of a host: starts, watches and ends its processes, and decides with its twin which services it serves.
// Wires, starts, stops. No logic.

import { randomUUID } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { asId, type PopHostId } from "../../kernel/ids.ts";
import type { Log } from "../../kernel/log.ts";
import { monotonicMs } from "../../kernel/shell/monotonic.ts";
import { prefer } from "../../kernel/shell/precedence.ts";
import { type RunningProcess, runProcess } from "../../kernel/shell/process.ts";
import { readSecretFile } from "../../kernel/shell/secret-file.ts";
import { fenceRelayState } from "../adapters/rtpengine/relay-fence.ts";
import { rtpengineSpawn } from "../adapters/rtpengine/spawn-arguments.ts";
import { absentFence, absentOwnerStore, absentTwin } from "./adapters/absent/absent.ts";
import { AwsAddressMover } from "./adapters/address-aws/address-mover.ts";
import { environmentCredentials, InstanceCredentials } from "./adapters/address-aws/aws-credentials.ts";
import { FabricAddressMover } from "./adapters/address-fabric/address-mover.ts";
import { LocalAddressMover } from "./adapters/address-local/address-mover.ts";
import { readMemory, writeMemory } from "./adapters/disk/keeper-memory.ts";
import { EtcdOwnerStore } from "./adapters/etcd/owner-store.ts";
import { openKeeperHttp } from "./adapters/http/keeper-http.ts";
import { PopIntake } from "./adapters/http/pop-intake.ts";
import { ForwardedLines } from "./adapters/processes/forwarded-lines.ts";
import { HostProcesses, shownName } from "./adapters/processes/host-processes.ts";
import { RedisFence } from "./adapters/redis-fence/redis-fence.ts";
import { TlsTwinLink } from "./adapters/twin-link/twin-link.ts";
import { Drain } from "./app/drain.ts";
import { Keeper } from "./app/keeper.ts";
import { keeperMetrics } from "./app/keeper-metrics.ts";
import { readiness } from "./app/readiness.ts";
import type { AddressMover } from "./boundary/address-mover.ts";
import { KeeperConfig, type ServiceConfig } from "./config/keeper-config.ts";
import { KEEPER_TIMING, type KeeperSettings } from "./core/keeper-machine.ts";

/** At the start of a keeper: a service without its state is worse than one that starts a moment later. */
const REDIS_WAIT_MS = 1_000;

async function start(config: KeeperConfig, log: Log): Promise<RunningProcess> {
  const host = asId<"pop-host">(config.hostId);
  const { twin: twinConfig, redis, etcd, heartbeat } = config;
  mkdirSync(config.dataDir, { recursive: true, mode: 0o700 });
  const memoryFile = join(config.dataDir, "keeper.json");
  const twinId = twinConfig === undefined ? undefined : idOf(twinConfig.hostId);

  const lines = new ForwardedLines(process.stdout);
  const processes = new HostProcesses(
    {
      host,
      node: process.execPath,
      programs: config.programs,
      services: config.services.map(servicePlan),
      spares: config.spares,
      ...config.limits,
      logLevel: "info",
    },
    log,
    lines.forward,
  );
  const owners = etcd === undefined ? absentOwnerStore : new EtcdOwnerStore(etcd);
  const redisFence =
    redis === undefined
      ? undefined
      : new RedisFence({ ...redis, databases: databasesOf(config.services), fence: fenceRelayState });
  const fence = redisFence ?? absentFence;

  const settings: KeeperSettings = {
    host,
    twin: twinId,
    processes: ["rtpengine", "sip-server", "media-worker", "pop"],
    timing: KEEPER_TIMING,
  };
  let finished = () => {};
  const over = new Promise<void>((resolve) => {
    finished = resolve;
  });
  let alarm: NodeJS.Timeout | undefined;
  const keeper = new Keeper(settings, readMemory(memoryFile), randomUUID(), {
    owners,
    twin:
      twinConfig === undefined
        ? absentTwin
        : new TlsTwinLink({
            twin: idOf(twinConfig.hostId),
            listen: heartbeat,
            peer: twinConfig,
            certDir: heartbeat.certDir,
            log,
          }),
    addresses: moverOf(config),
    fence,
    processes,
    log,
    nowMs: monotonicMs,
    unixMs: Date.now,
    wakeAt: (atMs, wake) => {
      clearTimeout(alarm);
      alarm = setTimeout(wake, Math.max(0, atMs - monotonicMs()));
    },
    persist: (memory) => writeMemory(memoryFile, memory),
    finished: () => finished(),
  });
  const intake = new PopIntake(new Map(config.services.map(({ service, popUrl }) => [idOf(service), popUrl])));
  const drainedFile = join(config.dataDir, "drained");
  const drain = new Drain({
    keeper,
    intake,
    log,
    drained: existsSync(drainedFile),
    persist: (on) => (on ? writeFileSync(drainedFile, "", { mode: 0o600 }) : rmSync(drainedFile, { force: true })),
  });
  processes.drain(drain.on);
  drain.onChange(() => processes.drain(drain.on));
  const status = () => {
    const { processes: shown, ...rest } = keeper.status();
    const named = shown.map((one) => ({ name: shownName(host, one.process, one.service), ...one }));
    return { ...rest, draining: drain.on, processes: named };
  };
  const known = (service: string, name: string) => processes.knows(idOf(service), name);

  const http = await openKeeperHttp(
    { host: config.http.host, port: config.http.port, token: readSecretFile("http.tokenFile", config.http.tokenFile) },
    {
      status,
      ready: () => readiness(keeper.status()),
      metrics: () => keeperMetrics(keeper.status(), drain.on),
      onChange: (changed) => {
        const [one, two] = [keeper.onChange(changed), drain.onChange(changed)];
        return () => [one, two].map((forget) => forget());
      },
      handOver: (service) => keeper.handOver(idOf(service)),
      returnHome: () => keeper.returnHome(),
      drain: (on) => drain.set(on),
      hold: (service, name, signal) => {
        const found = known(service, name);
        if (found.ok) processes.hold(idOf(service), found.value, signal);
        return found.ok ? { ok: true, value: undefined } : found;
      },
      release: (service, name) => {
        const found = known(service, name);
        if (found.ok) processes.release(idOf(service), found.value);
        return found.ok ? { ok: true, value: undefined } : found;
      },
    },
  );

  await redisFence?.ready(REDIS_WAIT_MS);
  prefer(process.pid, "keeper");
  await keeper.start();
  return {
    async stop() {
      keeper.stop();
      await over;
      clearTimeout(alarm);
      drain.close();
      await http.close();
      await processes.end();
      await keeper.close();
    },
  };
}

function moverOf({ addressMover: how, services }: KeeperConfig): AddressMover {
  switch (how.kind) {
    case "local":
      return new LocalAddressMover();
    case "fabric": {
      const { fabric, device, via } = how;
      const addresses = new Map(services.map(({ service, address }) => [idOf(service), address]));
      return new FabricAddressMover({ fabric, device, ...(via === undefined ? {} : { via }), addresses });
    }
    case "aws": {
      const { region, networkInterfaceId, endpoint } = how;
      const addresses = services.map(({ service, address: privateAddress, elasticIpAllocationId: allocationId }) => {
        const place = allocationId === undefined ? { privateAddress } : { privateAddress, allocationId };
        return [idOf(service), place] as const;
      });
      return new AwsAddressMover({
        region,
        networkInterfaceId,
        ...(endpoint === undefined ? {} : { endpoint }),
        addresses: new Map(addresses),
        credentials: environmentCredentials() ?? new InstanceCredentials(),
      });
    }
  }
}

const idOf = (service: string): PopHostId => asId<"pop-host">(service);

function servicePlan(service: ServiceConfig) {
  const { redis, command, ...relay } = service.relay;
  return {
    service: idOf(service.service),
    configs: { "sip-server": service.sipServer, "media-worker": service.mediaWorker, pop: service.pop },
    mediaWorkerSocket: service.mediaWorkerSocket,
    relay: {
      ng: relay.ng,
      spawn: (database: number | undefined) => ({
        command,
        ...rtpengineSpawn({
          ...withoutUndefined(relay),
          ...(redis === undefined || database === undefined
            ? {}
            : {
                redis: {
                  host: redis.host,
                  port: redis.port,
                  database,
                  configFile: redis.configFile,
                  ...(redis.passwordFile === undefined
                    ? {}
                    : { password: readFileSync(redis.passwordFile, "utf8").trim() }),
                },
              }),
        }),
      }),
    },
  };
}

const databasesOf = (services: readonly ServiceConfig[]): ReadonlyMap<PopHostId, readonly [number, number]> =>
  new Map(
    services.flatMap(({ service, relay }) =>
      relay.redis === undefined ? [] : [[idOf(service), relay.redis.databases]],
    ),
  );

function withoutUndefined<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, one]) => one !== undefined)) as never;
}

await runProcess({ name: "keeper", schema: KeeperConfig, start });
