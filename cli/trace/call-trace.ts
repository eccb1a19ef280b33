// A call's trace as a POP host and the control plane tell it. Lenient where they may say more than we know.

import { z } from "zod";

const atUnixMs = z.number();

/** As our sip-server tells it. */
const SipLineSchema = z
  .looseObject({
    unixMs: atUnixMs,
    direction: z.enum(["in", "out"]),
    peer: z.string(),
    /** "INVITE sip:127.0.0.1:5060" or "180 Ringing". */
    start: z.string(),
    retransmission: z.boolean().default(false),
    /** Whether it had a body: in a call, SDP. */
    body: z.boolean().default(false),
    sipCallId: z.string().default(""),
  })
  .transform(({ unixMs, direction, peer, start, retransmission, body, sipCallId }) => ({
    atUnixMs: unixMs,
    direction,
    peer,
    summary: `${/^\d/.test(start) ? start : start.split(" ")[0]}${body ? " (SDP)" : ""}`,
    retransmission,
    sipCallId,
  }));

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
  sip: z.array(SipLineSchema).default([]),
});

export type PopTrace = z.output<typeof PopTraceSchema>;

export const ContactSchema = z.object({
  record: z.record(z.string(), z.unknown()).nullish(),
  events: z.array(z.record(z.string(), z.unknown())).default([]),
  decisions: z.array(z.looseObject({ atMs: atUnixMs, what: z.string(), why: z.string().default("") })).default([]),
});

export type Contact = z.output<typeof ContactSchema>;

/** What is known of one call, from whoever knew anything. */
export interface CallTrace {
  readonly callId: string;
  readonly hostId: string | undefined;
  readonly pop: PopTrace | undefined;
  readonly contact: Contact | undefined;
}
