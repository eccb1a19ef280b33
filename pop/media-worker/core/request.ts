// What the pop may ask, as it comes over the control socket: one JSON object a line. Anything else is refused whole.

import { z } from "zod";
import type { MediaFailure } from "../../core/media/media-failure.ts";

export const PROTOCOL_VERSION = 1;
/** A play of 64 long file names has some 20 kB. */
export const LINE_BYTES_MAX = 64 * 1_024;
export const ITEMS_MAX = 64;
const HOUR_MS = 3_600_000;

const id = z.number().int().min(0);
const call = z.string().min(1).max(128);
const address = z.strictObject({
  host: z.union([z.ipv4(), z.ipv6()]),
  port: z.number().int().min(1).max(65_535),
});
const item = z.discriminatedUnion("kind", [
  // Whole hertz: a tone is a loop of one second.
  z.strictObject({
    kind: z.literal("tone"),
    hz: z.number().int().min(20).max(3_800),
    ms: z.number().min(0).max(HOUR_MS),
  }),
  z.strictObject({ kind: z.literal("silence"), ms: z.number().min(0).max(HOUR_MS) }),
  z.strictObject({ kind: z.literal("file"), path: z.string().startsWith("/").max(4_096) }),
]);

export const request = z.discriminatedUnion("op", [
  z.strictObject({ id, op: z.literal("ping") }),
  z.strictObject({ id, op: z.literal("stats") }),
  z.strictObject({ id, op: z.literal("open"), call }),
  /** An endpoint that an earlier worker had. One that is there stays as it is. */
  z.strictObject({
    id,
    op: z.literal("restore"),
    call,
    port: z.number().int().min(1_024).max(65_535),
    sendsTo: address.optional(),
    hushed: z.boolean(),
  }),
  z.strictObject({
    id,
    op: z.literal("connect"),
    call,
    sendsTo: address,
    dtmfPayloadType: z.number().int().optional(),
  }),
  z.strictObject({
    id,
    op: z.literal("play"),
    call,
    play: z.string().min(1).max(128),
    items: z.array(item).max(ITEMS_MAX),
    repeat: z.enum(["once", "forever"]),
    fromMs: z
      .number()
      .min(0)
      .max(24 * HOUR_MS),
  }),
  z.strictObject({ id, op: z.literal("stop"), call }),
  z.strictObject({ id, op: z.literal("hush"), call }),
  z.strictObject({ id, op: z.literal("close"), call }),
  /** For self tests: how much of the last `ms` (up to a second) of received audio is at `hz`. */
  z.strictObject({ id, op: z.literal("listen"), call, hz: z.number().int(), ms: z.number().int().min(20).max(1_000) }),
]);

export type Request = z.output<typeof request>;
export type PromptItem = z.output<typeof item>;

export type Reply =
  | { readonly id: number; readonly ok: true; readonly value: unknown }
  | { readonly id: number; readonly ok: false; readonly failure: MediaFailure };

export type Event =
  | { readonly event: "hello"; readonly protocol: number; readonly pid: number }
  | {
      readonly event: "played";
      readonly call: string;
      readonly play: string;
      readonly how: "finished" | "stopped" | "failed";
      readonly atMs: number;
    }
  /** Another connection has taken this one's place. */
  | { readonly event: "replaced" };
