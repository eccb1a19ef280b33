// The configuration each process gets on the local target. Pure: from the region file to JSON and arguments.
// A process validates its own; what it would refuse shows up in `topology.test.ts`, which parses them by its schema.

import { join } from "node:path";
import type { Pop, PopHost, Region } from "../../regions/schema/region.ts";
import { keeperTokenFileOf, type RegionPaths } from "./region-paths.ts";

/** On the local target calls that are up get this long to end by themselves when a POP is stopped. */
export const LOCAL_DRAIN_MS = 5_000;

export interface HostConfigPlace {
  readonly region: Region;
  readonly controlPlaneRegion: Region;
  readonly pop: Pop;
  readonly host: PopHost;
  readonly paths: RegionPaths;
  /** Paths of the region whose control plane serves this one. */
  readonly serving: RegionPaths;
  /** DATA/eu/fra-01-a */
  readonly root: string;
  readonly socket: string;
  readonly promptsDir: string;
  /** Where it serves its twin's service: the last good snapshot of the host's own. */
  readonly snapshotFallbackFile?: string;
  readonly redis: boolean;
  /** The machine has ::1. */
  readonly ipv6: boolean;
}

export const redisConfig = (redis: { host: string; port: number; data: string; password: string }): string =>
  `# Written by tollgate up; the password is why nobody else may read it.
bind ${redis.host}
port ${redis.port}
dir "${redis.data}"
requirepass ${redis.password}
daemonize no
appendonly yes
appendfsync everysec
save ""
maxmemory 512mb
maxmemory-policy noeviction
databases 64
`;

const redisAt = (region: Region, paths: RegionPaths) => ({
  host: region.local.controlPlaneAddress,
  port: region.local.controlPlanePorts.redis,
  passwordFile: paths.redisPasswordFile,
});

export const controlPlaneConfig = (region: Region, paths: RegionPaths, servedHosts: readonly string[]): object => {
  const host = region.local.controlPlaneAddress;
  const { link, rest, etcdClient } = region.local.controlPlanePorts;
  return {
    regionId: region.region,
    replicaId: `${region.region}-1`,
    etcd: { endpoints: [`http://${host}:${etcdClient}`] },
    redis: redisAt(region, paths),
    grpc: { host, port: link },
    rest: { host, port: rest, adminTokenFile: paths.adminTokenFile },
    pki: { dir: paths.pki, hosts: [...region.pops.flatMap((pop) => pop.hosts.map(({ id }) => id)), ...servedHosts] },
  };
};

/** Every host of every region has the one address ::1: it is told apart by its port. */
export const ipv6SipPort = (region: Region, host: PopHost): number =>
  10_000 + 200 * region.local.number + Number(host.localAddress.split(".")[3]);

/** What a host's certificate for SIP says it is called. */
export const sipNames = (region: Region, host: PopHost): readonly string[] => [
  `DNS:${host.id}.${region.region}.tollgate.test`,
  `URI:sip:${region.region}.tollgate.test`,
  `IP:${host.localAddress}`,
  "IP:::1",
];

export const sipServerConfig = ({ region, host, paths, ipv6 }: HostConfigPlace): object => {
  const { sip, sipTls, sipWss, sipAdmin, sipHttp } = region.local.hostPorts;
  const pair = (kind: "crt" | "key") => join(paths.pki, "sip", `${host.id}.${kind}`);
  const tls = {
    identities: [{ certFile: pair("crt"), keyFile: pair("key") }],
    caFiles: [join(paths.pki, "ca.crt")],
    clientCertificate: "request",
  };
  const at = { host: host.localAddress };
  const v6 = { host: "::1", port: ipv6SipPort(region, host) };
  return {
    listen: [
      { transport: "udp", name: "carriers", ...at, port: sip },
      { transport: "tcp", name: "carriers", ...at, port: sip },
      { transport: "tls", name: "carriers-tls", ...at, port: sipTls, tls },
      { transport: "wss", name: "agents", ...at, port: sipWss, tls: { ...tls, clientCertificate: "none" } },
      ...(ipv6
        ? [
            { transport: "udp", name: "carriers-v6", ...v6 },
            { transport: "tcp", name: "carriers-v6", ...v6 },
          ]
        : []),
    ],
    admin: { host: host.localAddress, port: sipAdmin, secretFile: join(paths.secrets, `${host.id}-sip`) },
    http: { host: host.localAddress, port: sipHttp },
    trustedSources: "told",
    // Written down for whoever serves next: the process that is started in its place, or the twin's.
    checkpoints: { service: host.id, redis: redisAt(region, paths) },
    // The next pop takes them up within a second; on a busy machine, without a spare, it may need ten.
    orphanGraceMs: 30_000,
  };
};

/** Two of its own for each host's service, 0 being everybody's: `databases` of redis.conf is larger than all of them. */
const relayDatabases = (region: Region, host: PopHost): readonly [number, number] => {
  const at = region.pops.flatMap(({ hosts }) => hosts).findIndex(({ id }) => id === host.id);
  return [2 * at + 1, 2 * at + 2];
};

export const relayConfig = ({ region, host, root, paths, redis, ipv6 }: HostConfigPlace): object => {
  const { rtpengineControl, dtmf, relayRtpFirst, relayRtpLast } = region.local.hostPorts;
  const address = host.localAddress;
  return {
    mediaHost: address,
    ...(ipv6 ? { mediaHostV6: "::1" } : {}),
    ng: { host: address, port: rtpengineControl },
    dtmfLog: { host: address, port: dtmf },
    rtpPorts: { first: relayRtpFirst, last: relayRtpLast },
    recordingFolder: join(root, "recordings"),
    ...(redis
      ? {
          redis: {
            ...redisAt(region, paths),
            databases: relayDatabases(region, host),
            configFile: join(root, "rtpengine.conf"),
          },
        }
      : {}),
  };
};

/** What a keeper's certificate says it is called. */
export const keeperNames = (host: PopHost): readonly string[] => [`DNS:${host.id}`, `IP:${host.managementAddress}`];

/** Where its keeper looks for it. */
export const keeperCertificateLinks = (
  { pki }: RegionPaths,
  host: PopHost,
  root: string,
): { path: string; target: string }[] => {
  const folder = join(root, "keeper", "certificates");
  return [
    { path: join(folder, "ca.pem"), target: join(pki, "ca.crt") },
    { path: join(folder, "cert.pem"), target: join(pki, "keepers", `${host.id}.crt`) },
    { path: join(folder, "key.pem"), target: join(pki, "keepers", `${host.id}.key`) },
  ];
};

export interface KeeperPlace {
  readonly region: Region;
  readonly host: PopHost;
  /** Undefined: it does not run. */
  readonly twin: PopHost | undefined;
  readonly paths: RegionPaths;
  /** DATA/eu/fra-01-a */
  readonly root: string;
  readonly etcd: boolean;
  readonly redis: boolean;
  readonly programs: object;
  readonly services: readonly object[];
  /** Undefined on loopback, where every host has every address. */
  readonly addressMover: object | undefined;
}

export const keeperConfig = ({ region, host, twin, paths, root, ...rest }: KeeperPlace): object => {
  const { keeperHeartbeat, keeperHttp } = region.local.hostPorts;
  const at = { host: host.managementAddress };
  const { controlPlaneAddress, controlPlanePorts } = region.local;
  return {
    hostId: host.id,
    ...(twin === undefined ? {} : { twin: { hostId: twin.id, host: twin.managementAddress, port: keeperHeartbeat } }),
    heartbeat: { ...at, port: keeperHeartbeat, certDir: join(root, "keeper", "certificates") },
    http: { ...at, port: keeperHttp, tokenFile: keeperTokenFileOf(paths, host.id) },
    ...(rest.etcd ? { etcd: { endpoints: [`http://${controlPlaneAddress}:${controlPlanePorts.etcdClient}`] } } : {}),
    ...(rest.redis ? { redis: redisAt(region, paths) } : {}),
    dataDir: join(root, "keeper"),
    programs: rest.programs,
    services: rest.services,
    ...(rest.addressMover === undefined ? {} : { addressMover: rest.addressMover }),
    limits: { stopMs: LOCAL_DRAIN_MS + 3_000 },
  };
};

export const mediaWorkerConfig = ({ region, host, socket }: HostConfigPlace): object => {
  const { workerRtpFirst, workerRtpLast } = region.local.hostPorts;
  return {
    control: { socketPath: socket },
    rtp: { host: host.localAddress, portFirst: workerRtpFirst, portLast: workerRtpLast },
  };
};

const certFolder = (root: string): string => join(root, "certificates");

/**
 * What the control plane's development CA makes for a host, where its POP looks for it. Links, because the files are
 * made only when the control plane starts for the first time, and made anew before they expire.
 */
export const certificateLinks = ({ host, serving, root }: HostConfigPlace): { path: string; target: string }[] => [
  { path: join(certFolder(root), "ca.pem"), target: join(serving.pki, "ca.crt") },
  { path: join(certFolder(root), "cert.pem"), target: join(serving.pki, "hosts", `${host.id}.crt`) },
  { path: join(certFolder(root), "key.pem"), target: join(serving.pki, "hosts", `${host.id}.key`) },
];

export const popConfig = (place: HostConfigPlace): object => {
  const { region, controlPlaneRegion, pop, host, paths, root, socket, promptsDir } = place;
  const ports = region.local.hostPorts;
  const address = host.localAddress;
  return {
    hostId: host.id,
    popId: pop.id,
    regionId: region.region,
    sip: {
      server: "tollgate",
      host: address,
      port: ports.sipAdmin,
      secretFile: join(paths.secrets, `${host.id}-sip`),
      sipHost: address,
      sipPort: ports.sip,
    },
    sipTrace: { url: `http://${address}:${ports.sipHttp}` },
    rtpengine: { ngHost: address, ngPort: ports.rtpengineControl, dtmfHost: address, dtmfPort: ports.dtmf },
    mediaWorker: { socket },
    prompts: { dir: promptsDir, cacheDir: join(root, "prompts") },
    redis: redisAt(region, paths),
    controlPlane: {
      host: controlPlaneRegion.local.controlPlaneAddress,
      port: controlPlaneRegion.local.controlPlanePorts.link,
      certDir: certFolder(root),
    },
    dataDir: join(root, "data"),
    ...(place.snapshotFallbackFile === undefined ? {} : { snapshotFallbackFile: place.snapshotFallbackFile }),
    http: { host: address, port: ports.popHttp },
    // Ctrl-C at a terminal: somebody is waiting.
    limits: { drainMs: LOCAL_DRAIN_MS },
  };
};
