// The example that a newcomer copies, and what the demo needs to know of it: read from the file, so that both stay one.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { readDocuments } from "../../cli/commands/object-documents.ts";
import { CHECKOUT } from "../../cli/up/start-region.ts";
import type { Prompt } from "../../pop/core/media/prompt.ts";

export const EXAMPLE_FILE = join(CHECKOUT, "examples", "acme.yaml");

const PromptSchema = z.object({
  file: z.string().optional(),
  text: z.string().optional(),
  language: z.string().optional(),
});
const DocumentSchema = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("dn"), number: z.string(), entryPoint: z.string() }),
  z.object({ kind: z.literal("entry-point"), id: z.string(), flow: z.string() }),
  z.object({
    kind: z.literal("flow"),
    id: z.string(),
    start: z.string(),
    activities: z.record(
      z.string(),
      z.object({
        play: z.object({ prompts: z.array(PromptSchema) }).optional(),
        queue: z.object({ queue: z.string(), music: PromptSchema.optional() }).optional(),
      }),
    ),
  }),
  z.object({ kind: z.enum(["tenant", "trunk", "queue", "team", "agent"]) }),
]);

export interface ExampleTenant {
  readonly tenant: string;
  readonly documents: readonly unknown[];
  /** Number of the flow with a queue, and of one that only says something. */
  readonly supportNumber: string;
  readonly announcementNumber: string;
  readonly queue: string;
  /** What the caller hears first, and while waiting. */
  readonly greeting: Prompt;
  readonly music: Prompt;
}

/** @throws Error when the example no longer has what the demo shows */
export function readExample(file: string = EXAMPLE_FILE): ExampleTenant {
  const documents = readDocuments(file, readFileSync(file, "utf8"));
  const parsed = documents.map(({ value }) => DocumentSchema.parse(value));
  const tenant = documents.find((document) => document.tenant !== undefined)?.tenant;
  const flows = parsed.filter((document) => document.kind === "flow");
  const numberOf = (flowId: string): string | undefined => {
    const entry = parsed.find((document) => document.kind === "entry-point" && document.flow === flowId);
    const dn = parsed.find(
      (document) => document.kind === "dn" && entry !== undefined && document.entryPoint === idOf(entry),
    );
    return dn?.kind === "dn" ? dn.number : undefined;
  };
  for (const flow of flows) {
    const queued = Object.values(flow.activities).find((activity) => activity.queue !== undefined)?.queue;
    const greeting = promptOf(flow.activities[flow.start]?.play?.prompts[0]);
    const music = promptOf(queued?.music);
    const plain = flows.find((other) => other !== flow);
    const supportNumber = numberOf(flow.id);
    const announcementNumber = plain === undefined ? undefined : numberOf(plain.id);
    if (queued && greeting && music && supportNumber && announcementNumber && tenant)
      return {
        tenant,
        documents: documents.map(({ value }) => value),
        supportNumber,
        announcementNumber,
        queue: queued.queue,
        greeting,
        music,
      };
  }
  throw new Error(`${file} has no flow that greets and queues with music, or no second one`);
}

const idOf = (document: object): string => ("id" in document ? String(document.id) : "");

function promptOf(said: z.output<typeof PromptSchema> | undefined): Prompt | undefined {
  if (said?.file !== undefined) return { kind: "file", name: said.file };
  if (said?.text === undefined) return undefined;
  const { text, language } = said;
  return language === undefined ? { kind: "text", text } : { kind: "text", text, language };
}
