// Which processes a region's local target consists of, how each is started, where it listens and how it is known to
// be ready. Pure: the same region file and options give the same plan.

import { join } from "node:path";
import type { SupervisedPlan } from "../../kernel/shell/supervised.ts";
import { controlPlaneRegionOf, type Pop, type PopHost, type Region } from "../../regions/schema/region.ts";
import { passedLine } from "./passed-lines.ts";
import {
  certificateLinks,
  controlPlaneConfig,
  type HostConfigPlace,
  ipv6SipPort,
  keeperCertificateLinks,
  keeperConfig,
  LOCAL_DRAIN_MS,
  mediaWorkerConfig,
  popConfig,
  redisConfig,
  relayConfig,
  sipServerConfig,
} from "./process-configs.ts";
import { type RegionPaths, regionPaths } from "./region-paths.ts";

/**
 * A young generation of 4 MiB instead of 16: half of what a call allocates lives for 32 s with its transactions, and is copied at each
 * collection. Smaller ones, more often: the event loop's p99 falls from 14 to 4 ms for 7 % more CPU (docs/SIP-COST.md).
 */
export const SIP_SERVER_NODE_FLAGS: readonly string[] = ["--max-semi-space-size=4"];

export interface Listen {
  readonly transport: "tcp" | "udp";
  readonly host: string;
  readonly port: number;
  /** As in messages: "SIP". */
  readonly what: string;
}

export type ProcessKind =
  | "etcd"
  | "redis"
  | "control-plane"
  | "sip-server"
  | "rtpengine"
  | "media-worker"
  | "pop"
  | "keeper";

export interface ProcessPlan extends SupervisedPlan {
  readonly kind: ProcessKind;
  readonly listens: readonly Listen[];
  /** Processes of a lower stage are ready before those of a higher one start, and are stopped after them. */
  readonly stage: number;
}

export interface HostNetwork {
  /** Put before the command of its processes. */
  readonly inside: readonly string[];
  /** As its keeper is told. */
  readonly addressMover: object;
}

export interface TopologyOptions {
  readonly region: Region;
  /** The region whose control plane serves it: often itself. */
  readonly controlPlaneRegion: Region;
  /** Hosts of other regions that this region's control plane serves as well. */
  readonly servedHosts: readonly string[];
  /** Absolute. */
  readonly dataDir: string;
  /** The checkout: where the programs lie. */
  readonly checkout: string;
  /** The Node that runs ours. */
  readonly node: string;
  /** Recorded prompts and music, by the names that flows use. */
  readonly promptsDir: string;
  /** Hosts to run; both of the region's first POP when left out. */
  readonly hosts?: readonly string[];
  /** False: no control plane and no etcd; the POP lives on what it has on disk. */
  readonly controlPlane?: boolean;
  readonly redis?: boolean;
  /** False: the machine has no ::1, and callers none either. */
  readonly ipv6?: boolean;
  /** Text of the region's generated secrets, by file: Redis wants its own in its configuration. */
  readonly secrets: Readonly<{ redisPassword: string }>;
  /** A host's place on a network of its own; left out on loopback. */
  readonly placeOf?: (hostId: string) => HostNetwork;
  /** Last word on the configuration of one of our processes: tests and capacity runs change limits. */
  readonly configure?: (process: { name: string; kind: ProcessKind }, config: object) => object;
}

export interface HostPlace {
  readonly pop: Pop;
  readonly host: PopHost;
}

/** The hosts that run: those asked for, else both hosts of the first POP. */
export function chosenHosts(region: Region, asked: readonly string[] | undefined): HostPlace[] {
  const all = region.pops.flatMap((pop) => pop.hosts.map((host) => ({ pop, host })));
  if (asked !== undefined) return all.filter(({ host }) => asked.includes(host.id));
  const [first] = region.pops;
  return all.filter(({ pop }) => pop === first);
}

/** The media worker's control socket, in its host's folder. */
export const SOCKET_NAME = "media-worker.sock";

/** Every process of the region in the order of its start. */
export function planTopology(options: TopologyOptions): ProcessPlan[] {
  const { region } = options;
  const paths = regionPaths(options.dataDir, region.region);
  const hosts = chosenHosts(region, options.hosts);
  const ownControlPlane = controlPlaneRegionOf(region) === region.region;
  return [
    ...(options.controlPlane !== false && ownControlPlane ? [etcdPlan(region, paths)] : []),
    ...(options.redis !== false ? [redisPlan(region, paths, options.secrets.redisPassword)] : []),
    ...(options.controlPlane !== false && ownControlPlane ? [controlPlanePlan(options, paths)] : []),
    ...hosts.map((place) =>
      hostPlan(options, paths, place, hosts.find(({ host }) => host.id === place.host.twin)?.host),
    ),
  ].sort((a, b) => a.stage - b.stage);
}

function etcdPlan(region: Region, paths: RegionPaths): ProcessPlan {
  const host = region.local.controlPlaneAddress;
  const { etcdClient, etcdPeer } = region.local.controlPlanePorts;
  const data = join(paths.root, "etcd");
  const name = `${region.region}-etcd-1`; // the local target runs the first member alone
  return {
    name: "etcd",
    kind: "etcd",
    command: "etcd",
    args: [
      ...["--name", name, "--data-dir", data],
      ...[
        "--listen-client-urls",
        `http://${host}:${etcdClient}`,
        "--advertise-client-urls",
        `http://${host}:${etcdClient}`,
      ],
      ...[
        "--listen-peer-urls",
        `http://${host}:${etcdPeer}`,
        "--initial-advertise-peer-urls",
        `http://${host}:${etcdPeer}`,
      ],
      ...["--initial-cluster", `${name}=http://${host}:${etcdPeer}`],
      ...["--quota-backend-bytes", String(512 * 1_024 * 1_024)],
      ...["--auto-compaction-mode", "periodic", "--auto-compaction-retention", "1h"],
      ...["--logger", "zap", "--log-outputs", "stderr"],
    ],
    // Debian's etcd 3.4 refuses to run on 64-bit ARM unless told that this is meant.
    env: process.arch === "arm64" ? { ETCD_UNSUPPORTED_ARCH: "arm64" } : {},
    files: [],
    links: [],
    folders: [data],
    listens: [
      { transport: "tcp", host, port: etcdClient, what: "etcd clients" },
      { transport: "tcp", host, port: etcdPeer, what: "etcd peers" },
    ],
    ready: { kind: "http", url: `http://${host}:${etcdClient}/health` },
    readyWithinMs: 20_000,
    stopWithinMs: 5_000,
    stage: 0,
  };
}

function redisPlan(region: Region, paths: RegionPaths, password: string): ProcessPlan {
  const host = region.local.controlPlaneAddress;
  const port = region.local.controlPlanePorts.redis;
  const data = join(paths.root, "redis");
  const file = join(paths.root, "config", "redis.conf");
  return {
    name: "redis",
    kind: "redis",
    command: "redis-server",
    args: [file],
    env: {},
    links: [],
    files: [{ path: file, text: redisConfig({ host, port, data, password }) }],
    folders: [data],
    listens: [{ transport: "tcp", host, port, what: "Redis" }],
    ready: { kind: "redis", host, port, passwordFile: paths.redisPasswordFile },
    readyWithinMs: 20_000,
    stopWithinMs: 5_000,
    stage: 0,
  };
}

const FOLDER = {
  "control-plane": "control-plane",
  "sip-server": "pop/sip-server",
  "media-worker": "pop/media-worker",
  pop: "pop",
  keeper: "pop/keeper",
} as const;

/** What our own processes that we start ourselves have in common. */
function ours(
  options: TopologyOptions,
  paths: RegionPaths,
  kind: "control-plane" | "keeper",
  hostId: string | undefined,
  config: object,
): Pick<ProcessPlan, "name" | "kind" | "command" | "args" | "env" | "files"> {
  const name = hostId === undefined ? kind : `${hostId}/${kind}`;
  const file = join(paths.root, "config", `${hostId === undefined ? kind : `${hostId}-${kind}`}.json`);
  const final = options.configure?.({ name, kind }, config) ?? config;
  return {
    name,
    kind,
    command: options.node,
    args: [join(options.checkout, FOLDER[kind], "main.ts"), "--config", file],
    env: {},
    files: [{ path: file, text: `${JSON.stringify(final, null, 2)}\n` }],
  };
}

function controlPlanePlan(options: TopologyOptions, paths: RegionPaths): ProcessPlan {
  const { region } = options;
  const host = region.local.controlPlaneAddress;
  const { link, rest } = region.local.controlPlanePorts;
  return {
    ...ours(options, paths, "control-plane", undefined, controlPlaneConfig(region, paths, options.servedHosts)),
    links: [],
    folders: [paths.pki],
    listens: [
      { transport: "tcp", host, port: link, what: "POP link" },
      { transport: "tcp", host, port: rest, what: "REST API" },
    ],
    ready: { kind: "http", url: `http://${host}:${rest}/readyz` },
    readyWithinMs: 30_000,
    stopWithinMs: 8_000,
    stage: 1,
  };
}

/** One keeper a host: it starts the rest, its own service's four processes and, when its twin is gone, that one's. */
function hostPlan(
  options: TopologyOptions,
  paths: RegionPaths,
  place: HostPlace,
  twin: PopHost | undefined,
): ProcessPlan {
  const { region, checkout } = options;
  const { host } = place;
  const root = join(paths.root, host.id);
  const address = host.localAddress;
  const ports = region.local.hostPorts;
  const ipv6 = options.ipv6 !== false;
  const v6 = { host: "::1", port: ipv6SipPort(region, host), what: "SIP" };
  const program = (kind: "sip-server" | "media-worker" | "pop", nodeFlags: readonly string[] = []) => ({
    main: join(checkout, FOLDER[kind], "main.ts"),
    nodeFlags,
  });
  const served = [host, ...(twin === undefined ? [] : [twin])].map((one) => servicePlace(options, paths, place, one));
  const config = keeperConfig({
    region,
    host,
    twin,
    paths,
    root,
    etcd: options.controlPlane !== false && controlPlaneRegionOf(region) === region.region,
    redis: options.redis !== false,
    programs: {
      "sip-server": program("sip-server", SIP_SERVER_NODE_FLAGS),
      "media-worker": program("media-worker"),
      pop: program("pop"),
    },
    services: served.map((one) => serviceConfig(options, host, one)),
    addressMover: options.placeOf?.(host.id).addressMover,
  });
  const url = `http://${host.managementAddress}:${ports.keeperHttp}`;
  const own = ours(options, paths, "keeper", host.id, config);
  const [wrapper, ...wrapped] = options.placeOf?.(host.id).inside ?? [];
  return {
    ...own,
    ...(wrapper === undefined ? {} : { command: wrapper, args: [...wrapped, own.command, ...own.args] }),
    links: [...served.flatMap(certificateLinks), ...keeperCertificateLinks(paths, host, root)],
    folders: [
      join(root, "keeper"),
      ...served.flatMap((one) => [
        one.root,
        join(one.root, "recordings"),
        join(one.root, "data"),
        join(one.root, "prompts"),
      ]),
    ],
    listens: [
      { transport: "udp", host: address, port: ports.sip, what: "SIP" },
      { transport: "tcp", host: address, port: ports.sip, what: "SIP" },
      { transport: "tcp", host: address, port: ports.sipTls, what: "SIP over TLS" },
      { transport: "tcp", host: address, port: ports.sipWss, what: "SIP over secure WebSocket" },
      ...(ipv6
        ? [
            { transport: "udp" as const, ...v6 },
            { transport: "tcp" as const, ...v6 },
          ]
        : []),
      { transport: "tcp", host: address, port: ports.sipAdmin, what: "drachtio protocol" },
      { transport: "tcp", host: address, port: ports.sipHttp, what: "sip-server health" },
      { transport: "udp", host: address, port: ports.rtpengineControl, what: "rtpengine control" },
      { transport: "tcp", host: address, port: ports.popHttp, what: "POP health" },
      { transport: "udp", host: address, port: ports.dtmf, what: "DTMF events" },
      { transport: "tcp", host: host.managementAddress, port: ports.keeperHeartbeat, what: "heartbeat" },
      { transport: "tcp", host: host.managementAddress, port: ports.keeperHttp, what: "keeper" },
    ],
    ready: { kind: "keeper", url, popUrl: `http://${address}:${ports.popHttp}/readyz` },
    passes: passedLine,
    readyWithinMs: 45_000,
    stopWithinMs: LOCAL_DRAIN_MS + 7_000,
    stage: 1,
  };
}

/** Where a service's processes find what is theirs on this host: its home's folder, or one below for the twin's. */
function servicePlace(
  options: TopologyOptions,
  paths: RegionPaths,
  { pop, host }: HostPlace,
  service: PopHost,
): HostConfigPlace {
  const home = join(paths.root, host.id);
  const root = service.id === host.id ? home : join(home, service.id);
  return {
    region: options.region,
    controlPlaneRegion: options.controlPlaneRegion,
    pop,
    host: service,
    paths,
    serving: regionPaths(options.dataDir, options.controlPlaneRegion.region),
    root,
    socket: join(root, SOCKET_NAME),
    promptsDir: options.promptsDir,
    ipv6: options.ipv6 !== false,
    redis: options.redis !== false,
    ...(service.id === host.id ? {} : { snapshotFallbackFile: join(home, "data", "snapshot.json") }),
  };
}

function serviceConfig(options: TopologyOptions, host: PopHost, place: HostConfigPlace): object {
  const { localAddress: address, id: service } = place.host;
  const last = (kind: ProcessKind, config: object) =>
    options.configure?.({ name: processName(host.id, kind, service), kind }, config) ?? config;
  return {
    service,
    address,
    sipServer: last("sip-server", sipServerConfig(place)),
    mediaWorker: last("media-worker", mediaWorkerConfig(place)),
    mediaWorkerSocket: place.socket,
    pop: last("pop", popConfig(place)),
    popUrl: `http://${address}:${options.region.local.hostPorts.popHttp}`,
    relay: last("rtpengine", relayConfig(place)),
  };
}

/** "fra-01-a/pop"; where a host serves its twin's service "fra-01-a/pop@fra-01-b". */
export const processName = (host: string, kind: string, service: string): string =>
  `${host}/${kind}${service === host ? "" : `@${service}`}`;
