// JSON lines of bounded length, each checked before anybody sees it.

import { z } from "zod";
import { asId } from "../../../../kernel/ids.ts";
import type { Answer, Beat } from "../../core/twin-talk.ts";

/** A beat with two services is some 400 bytes. */
export const LINE_BYTES_MAX = 8_192;

const HostIdSchema = z
  .string()
  .min(1)
  .max(64)
  .transform(asId<"pop-host">);
const EpochSchema = z.int().min(0);
const says = {
  boot: z.string().min(1).max(64),
  stances: z
    .array(
      z.object({
        service: HostIdSchema,
        name: z.enum(["holds", "busy", "asks", "idle"]),
        epoch: EpochSchema,
        yields: z.boolean(),
      }),
    )
    .max(2),
  leaving: z.boolean(),
  wantsHome: z.boolean(),
  n: EpochSchema,
  sentAtMs: z.number(),
};
// What a newer keeper says beside is let through unread
const BeatSchema = z.object(says);
const AnswerSchema = z.object({
  ...says,
  grants: z.array(z.object({ service: HostIdSchema, epoch: EpochSchema })).max(2),
});

export const readBeat = (line: string): Beat | undefined => parsed(BeatSchema, line);
export const readAnswer = (line: string): Answer | undefined => parsed(AnswerSchema, line);

function parsed<Value>(schema: z.ZodType<Value>, line: string): Value | undefined {
  try {
    return schema.safeParse(JSON.parse(line)).data;
  } catch {
    return undefined;
  }
}

/** Cuts a stream into lines. */
export class Lines {
  #rest = "";

  /** @returns the lines that ended; undefined once one is too long: the stream is of no use any more */
  take(chunk: string): readonly string[] | undefined {
    const lines = (this.#rest + chunk).split("\n");
    this.#rest = lines.pop() ?? "";
    return this.#rest.length > LINE_BYTES_MAX || lines.some(({ length }) => length > LINE_BYTES_MAX)
      ? undefined
      : lines;
  }
}
