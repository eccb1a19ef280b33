// A call's trace as a POP host and the control plane tell it. Lenient where they may say more than we know.

import { z } from "zod";

const atUnixMs = z.number();

export const PopTraceSchema = z.object({
  callId: z.string(),
  legs: z.array(z.object({ leg: z.string(), sipCallId: z.string(), role: z.string() })).default([]),
  journal: z.array(z.object({ atUnixMs, kind: z.string(), what: z.string(), why: z.string().nullish() })).default([]),
  media: z
    .array(
      z.object({
        leg: z.string(),
        local: z.string().nullish(),
        remote: z.string().nullish(),
        codec: z.string().nullish(),
      }),
    )
    .default([]),
  sip: z
    .array(
      z.object({
        atUnixMs,
        direction: z.enum(["in", "out"]),
        peer: z.string(),
        local: z.string().nullish(),
        summary: z.string(),
        cseq: z.union([z.string(), z.number()]).nullish(),
        retransmission: z.boolean().nullish(),
        sipCallId: z.string().nullish(),
      }),
    )
    .default([]),
});

export type PopTrace = z.output<typeof PopTraceSchema>;

export const ContactSchema = z.object({
  record: z.record(z.string(), z.unknown()).nullish(),
  events: z.array(z.record(z.string(), z.unknown())).default([]),
  decisions: z.array(z.looseObject({ atUnixMs, decision: z.string(), reason: z.string().nullish() })).default([]),
});

export type Contact = z.output<typeof ContactSchema>;

/** What is known of one call, from whoever knew anything. */
export interface CallTrace {
  readonly callId: string;
  readonly hostId: string | undefined;
  readonly pop: PopTrace | undefined;
  readonly contact: Contact | undefined;
}
