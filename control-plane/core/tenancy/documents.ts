// The objects of a tenant, each as it is written in a file: a kind, an id, and what it says. Row C1.

import { z } from "zod";
import { parseCidr } from "./cidr.ts";
import { duration } from "./duration.ts";
import { flowSchema, objectId, promptSchema } from "./flow-document.ts";

const name = z.string().min(1).max(200);
const cidr = z
  .string()
  .refine((text) => parseCidr(text) !== undefined, {
    error: "an address range such as 192.0.2.0/24, with no bits behind the prefix",
    abort: true,
  })
  .refine((text) => isNarrow(text), "not wider than /8 (IPv6: /16): it would let strangers in");

/** The POPs refuse wider ones, and with them the configuration of all tenants. */
function isNarrow(text: string): boolean {
  const range = parseCidr(text);
  return range !== undefined && range.prefixBits >= (range.family === 4 ? 8 : 16);
}

const tenantSchema = z.strictObject({
  kind: z.literal("tenant"),
  id: objectId,
  name,
  /** Where agents' phones are: these addresses may send requests without being a trunk. */
  agentSourceCidrs: z.array(cidr).max(100).default([]),
  callsConcurrentMax: z.int().min(1).max(100_000).optional(),
  /** Heard before release when a flow cannot go on. */
  defaultTreatment: z
    .array(promptSchema)
    .max(10)
    .default([{ text: "We are sorry, your call cannot be completed. Please try again later.", language: "en" }]),
});

const trunkSchema = z.strictObject({
  kind: z.literal("trunk"),
  id: objectId,
  name: name.optional(),
  sourceCidrs: z.array(cidr).min(1).max(100),
  callsPerSecondMax: z.int().min(1).max(10_000).default(10),
  callsConcurrentMax: z.int().min(1).max(100_000).default(100),
  outboundUri: z
    .string()
    .max(200)
    .regex(/^sips?:[^@\s<>]+$/, "a SIP URI without user part: sip:192.0.2.1:5060")
    .optional(),
});

const dnSchema = z.strictObject({
  kind: z.literal("dn"),
  id: objectId,
  number: z
    .string('a number in quotes: "+498912345678"')
    .regex(/^\+?\d{2,15}$/, 'E.164 with plus, or digits, in quotes: "+498912345678"'),
  entryPoint: objectId,
});

const entryPointSchema = z.strictObject({
  kind: z.literal("entry-point"),
  id: objectId,
  name,
  flow: objectId,
  /** The flow's newest version at the time of the apply, unless said here. */
  flowVersion: z.int().min(1).optional(),
});

const queueSchema = z.strictObject({
  kind: z.literal("queue"),
  id: objectId,
  name,
  teams: z.array(objectId).min(1).max(50),
  /** How long an agent's phone rings before the contact goes to the next. */
  ringTimeout: duration({ minMs: 1_000, maxMs: 120_000 }).prefault("20s"),
  music: promptSchema.optional(),
  contactsMax: z.int().min(1).max(5_000).default(500),
});

const teamSchema = z.strictObject({ kind: z.literal("team"), id: objectId, name });

const agentSchema = z.strictObject({
  kind: z.literal("agent"),
  id: objectId,
  name,
  teams: z.array(objectId).min(1).max(50),
});

export const DOCUMENT_SCHEMAS = {
  tenant: tenantSchema,
  trunk: trunkSchema,
  dn: dnSchema,
  "entry-point": entryPointSchema,
  flow: flowSchema,
  queue: queueSchema,
  team: teamSchema,
  agent: agentSchema,
} as const;

export type ObjectKind = keyof typeof DOCUMENT_SCHEMAS;
export const OBJECT_KINDS = Object.keys(DOCUMENT_SCHEMAS) as readonly ObjectKind[];
export const isObjectKind = (text: unknown): text is ObjectKind => OBJECT_KINDS.includes(text as ObjectKind);

/** What each kind says once parsed: defaults filled in, durations in milliseconds. */
export type SpecOf = { readonly [Kind in ObjectKind]: z.output<(typeof DOCUMENT_SCHEMAS)[Kind]> };

/** Instead of an object: `{kind: queue, id: support, delete: true}`. */
export const deletionSchema = z.strictObject({
  kind: z.enum(OBJECT_KINDS),
  id: objectId,
  delete: z.literal(true),
});
