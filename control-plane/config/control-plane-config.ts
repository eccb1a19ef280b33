import { z } from "zod";

const port = z.int().min(0).max(65_535);
const host = z.string().min(1).max(255);
const id = z
  .string()
  .max(64)
  .regex(/^[a-z0-9]+(-[a-z0-9]+)*$/, "lower-case words joined by hyphens");

/** All that a control-plane replica is told at its start. Every bound and wait that an operator may want to change is here. */
export const controlPlaneConfigSchema = z.strictObject({
  regionId: id,
  /** Never shared by two processes: a lease held under it is taken over at once. */
  replicaId: id,
  etcd: z.strictObject({
    endpoints: z
      .array(z.string().regex(/^(https?:\/\/)?[^\s/]+:\d+$/, "host:port"))
      .min(1)
      .max(9),
    callTimeoutMs: z.int().min(100).max(30_000).default(2_000),
  }),
  redis: z.strictObject({
    host,
    port,
    passwordFile: z.string().min(1).optional(),
    commandTimeoutMs: z.int().min(10).max(10_000).default(500),
  }),
  /** What POP hosts connect to, with mutual TLS. */
  grpc: z.strictObject({ host, port }),
  rest: z.strictObject({
    host,
    port,
    /** Made with a random token on the first start if it is missing. */
    adminTokenFile: z.string().min(1),
    bodyBytesMax: z.int().min(1_024).max(16_777_216).default(2_097_152),
  }),
  /** The development CA. */
  pki: z.strictObject({ dir: z.string().min(1), hosts: z.array(id).min(1).max(1_000) }),
  limits: z
    .strictObject({
      leaseTtlSeconds: z.int().min(2).max(60).default(5),
      /** How long a first start waits for Redis before it begins with empty queues. */
      shardLoadWaitMsMax: z.int().min(0).max(120_000).default(10_000),
      hostGraceMs: z.int().min(1_000).max(600_000).default(60_000),
      offerGraceMs: z.int().min(500).max(60_000).default(5_000),
      wrapUpMs: z.int().min(0).max(3_600_000).default(0),
      positionIntervalMs: z.int().min(100).max(60_000).default(1_000),
      presenceIntervalMs: z.int().min(500).max(60_000).default(5_000),
      commandTimeoutMs: z.int().min(500).max(60_000).default(5_000),
      contactsKeptMax: z.int().min(100).max(1_000_000).default(100_000),
      contactRetentionSeconds: z.int().min(60).max(31_536_000).default(604_800),
      eventsInStreamMax: z.int().min(100).max(10_000_000).default(500_000),
      decisionsPerContactMax: z.int().min(5).max(1_000).default(50),
      decisionsPendingMax: z.int().min(100).max(100_000).default(10_000),
    })
    .prefault({}),
});

export type ControlPlaneConfig = z.output<typeof controlPlaneConfigSchema>;
