// What a keeper has to be told: who it is, who its twin is, and how the processes of both their services are started here.

import { z } from "zod";

const port = z.int().min(1).max(65_535);
const host = z.union([z.ipv4(), z.ipv6()]);
const hostId = z.string().min(1);

const program = z.strictObject({ main: z.string(), nodeFlags: z.array(z.string()).default([]) });

/** Checked by the process itself, which is started with it. */
const configuration = z.record(z.string(), z.unknown());

const relay = z.strictObject({
  command: z.string().default("rtpengine"),
  mediaHost: host,
  mediaHostV6: host.optional(),
  ng: z.strictObject({ host, port }),
  dtmfLog: z.strictObject({ host, port }),
  rtpPorts: z.strictObject({ first: port, last: port }),
  threads: z.int().min(1).max(64).optional(),
  silenceSeconds: z.int().min(1).optional(),
  recordingFolder: z.string().optional(),
  /** Calls survive its death. */
  redis: z
    .strictObject({
      host,
      port,
      passwordFile: z.string().optional(),
      /** Two of the service's own: each new owner takes the one that the owner before did not have. */
      databases: z.tuple([z.int().min(0), z.int().min(0)]),
      /** Written at each start, readable by us alone: it holds the password. */
      configFile: z.string(),
    })
    .optional(),
});

const service = z.strictObject({
  /** Its home host. */
  service: hostId,
  address: host,
  /** On AWS, where the address is reached from outside by an elastic IP. */
  elasticIpAllocationId: z.string().optional(),
  sipServer: configuration,
  mediaWorker: configuration,
  /** Removed before a media worker starts: a dead one leaves it behind. */
  mediaWorkerSocket: z.string(),
  pop: configuration,
  /** Its HTTP: how it is told to take no new calls. */
  popUrl: z.url(),
  relay,
});

const addressMover = z.discriminatedUnion("kind", [
  /** The address is on every host already (one machine): nothing has to be moved. */
  z.strictObject({ kind: z.literal("local") }),
  /** `tollgate up --network netns`: the namespace that routes between hosts, and its device to this one. */
  z.strictObject({ kind: z.literal("fabric"), fabric: z.string(), device: z.string(), via: z.ipv4().optional() }),
  z.strictObject({
    kind: z.literal("aws"),
    region: z.string().min(1),
    networkInterfaceId: z.string().min(1),
    /** For a VPC's own endpoint. */
    endpoint: z.url().optional(),
  }),
]);

export const KeeperConfig = z
  .strictObject({
    hostId,
    /** Absent: nobody ever takes over, and etcd is not asked. */
    twin: z.strictObject({ hostId, host, port }).optional(),
    /** On the host's own address, which never moves. The folder has ca.pem, cert.pem and key.pem; the name in it is the host's. */
    heartbeat: z.strictObject({ host, port, certDir: z.string() }),
    http: z.strictObject({ host, port, tokenFile: z.string() }),
    etcd: z.strictObject({ endpoints: z.array(z.url()).min(1) }).optional(),
    redis: z.strictObject({ host, port, passwordFile: z.string().optional() }).optional(),
    dataDir: z.string(),
    programs: z.strictObject({ "sip-server": program, "media-worker": program, pop: program }),
    /** The first is the home service. */
    services: z.array(service).min(1).max(2),
    addressMover: addressMover.default({ kind: "local" }),
    /** False: processes that are needed start cold. */
    spares: z.boolean().default(true),
    limits: z
      .strictObject({
        /** From one spare's start to the next, and from the end of a takeover to the first. */
        spareAfterMs: z.int().min(0).max(60_000).default(2_000),
        /** SIGTERM to SIGKILL. */
        stopMs: z.int().min(0).max(86_400_000).default(40_000),
      })
      .prefault({}),
  })
  .refine(({ services, hostId: own }) => services[0]?.service === own, {
    error: "the first service is not the host's own",
    path: ["services"],
  })
  .refine(({ services, twin }) => services[1]?.service === twin?.hostId, {
    error: "the second service is the twin's, and there with a twin alone",
    path: ["services"],
  });

export type KeeperConfig = z.output<typeof KeeperConfig>;
export type ServiceConfig = KeeperConfig["services"][number];
