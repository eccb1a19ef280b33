// One schema, parsed once, strictly: what a `pop` process has to be told. Times in ms, sizes in their unit.

import { z } from "zod";

const port = z.int().min(1).max(65_535);
const host = z.union([z.ipv4(), z.ipv6()]);
const seconds = (s: number) => s * 1_000;

export const PopConfig = z.strictObject({
  regionId: z.string().min(1),
  popId: z.string().min(1),
  hostId: z.string().min(1),
  sip: z.strictObject({
    /** Whose drachtio protocol: our sip-server's, or the C++ drachtio-server's. */
    server: z.enum(["tollgate", "drachtio"]),
    host,
    port,
    secretFile: z.string(),
    /** Where carriers reach this host: shown to people. */
    sipHost: host,
    sipPort: port,
  }),
  /** The sip-server's own message trace; absent with a server that has none. */
  sipTrace: z.strictObject({ url: z.url() }).optional(),
  rtpengine: z.strictObject({ ngHost: host, ngPort: port, dtmfHost: host, dtmfPort: port }),
  mediaWorker: z.strictObject({ socket: z.string().max(100, "a unix socket's path has at most 107 characters") }),
  prompts: z.strictObject({ dir: z.string(), cacheDir: z.string() }),
  /** Where calls are written down; absent: nowhere, and they end with the process. */
  redis: z.strictObject({ host, port, passwordFile: z.string().optional() }).optional(),
  controlPlane: z.strictObject({ host, port, certDir: z.string() }),
  dataDir: z.string(),
  /** The snapshot of another pop process on this host: for a service that was never served here, until the region has sent its own. */
  snapshotFallbackFile: z.string().optional(),
  /** Whose calls, in Redis; absent: those of `hostId`. */
  checkpoints: z.strictObject({ service: z.string().min(1) }).optional(),
  http: z.strictObject({ host, port }),
  /** Begins without taking new calls, until it is told to. */
  draining: z.boolean().default(false),
  limits: z
    .strictObject({
      callsConcurrentMax: z.int().min(1).max(20_000).default(2_000),
      setupTimeoutMs: z.int().min(100).max(seconds(60)).default(seconds(5)),
      ackGraceMs: z.int().min(0).max(seconds(32)).default(1_000),
      routingTimeoutMs: z.int().min(100).max(seconds(120)).default(seconds(10)),
      callMsMax: z
        .int()
        .min(1_000)
        .max(seconds(7 * 24 * 3_600))
        .default(seconds(4 * 3_600)),
      journalsMax: z.int().min(0).max(100_000).default(1_000),
      drainMs: z
        .int()
        .min(0)
        .max(seconds(24 * 3_600))
        .default(seconds(30)),
      spoolBytesMax: z
        .int()
        .min(1_000_000)
        .default(256 * 1_048_576),
    })
    .prefault({}),
});

export type PopConfig = z.output<typeof PopConfig>;
