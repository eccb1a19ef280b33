import { z } from "zod";

/** sun_path of unix(7) has 108 bytes, the last one zero; a longer path would be cut off silently. */
export const SOCKET_PATH_BYTES_MAX = 107;

const port = z.number().int().min(1_024).max(65_535);

export const mediaWorkerConfig = z.strictObject({
  control: z.strictObject({
    socketPath: z
      .string()
      .min(1)
      .refine((path) => path.startsWith("/"), "must be an absolute path")
      .refine(
        (path) => Buffer.byteLength(path) <= SOCKET_PATH_BYTES_MAX,
        `longer than ${SOCKET_PATH_BYTES_MAX} bytes, which a unix socket cannot have`,
      ),
  }),
  rtp: z
    .strictObject({
      /** An address that only this host's rtpengine reaches. */
      host: z.union([z.ipv4(), z.ipv6()]),
      portFirst: port,
      portLast: port,
    })
    .refine(({ portFirst, portLast }) => portLast > portFirst, {
      path: ["portLast"],
      message: "must be above portFirst",
    }),
  /** How long endpoints live on when the pop is gone: callers keep hearing music meanwhile. */
  orphanSeconds: z.number().int().min(1).max(3_600).default(120),
  /** Prompts kept in memory. One that is being played is kept in any case. */
  promptCacheBytes: z
    .number()
    .int()
    .min(1 << 20)
    .max(1 << 30)
    .default(64 << 20),
});

export type MediaWorkerConfig = z.output<typeof mediaWorkerConfig>;
