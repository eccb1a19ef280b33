// How a flow is written: activities by name, each saying in one word what it does.

import { z } from "zod";
import { duration } from "./duration.ts";

export const objectId = z
  .string()
  .max(64)
  .regex(/^[a-z0-9]+(-[a-z0-9]+)*$/, "lower-case words joined by hyphens: support-line");

export const promptSchema = z
  .strictObject({
    file: z
      .string()
      .max(200)
      .regex(/^[a-z0-9][a-z0-9_-]*(\/[a-z0-9][a-z0-9_-]*)*$/, "a name in the prompt store: music/default")
      .optional(),
    text: z.string().min(1).max(1_000).optional(),
    language: z
      .string()
      .regex(/^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$/, "a BCP 47 tag: en, de, en-GB")
      .optional(),
  })
  .superRefine((prompt, context) => {
    if ((prompt.file === undefined) === (prompt.text === undefined))
      context.addIssue({ code: "custom", message: "exactly one of file and text" });
    if (prompt.file !== undefined && prompt.language !== undefined)
      context.addIssue({ code: "custom", path: ["language"], message: "only with text" });
  });

export type PromptSpec = z.output<typeof promptSchema>;

const prompts = z.array(promptSchema).min(1).max(20);
const variable = z.string().regex(/^[a-zA-Z_][A-Za-z0-9_]{0,63}$/, "letters, digits, underscore: accountNumber");
const activityId = objectId;
const template = z.string().max(1_000);

const play = z.strictObject({ prompts, next: activityId });

const menu = z.strictObject({
  prompts,
  choices: z
    .record(z.string().regex(/^[0-9*#]$/, "a choice is one key: 0-9, * or #, in quotes"), activityId)
    .refine((choices) => Object.keys(choices).length > 0, "a menu needs a choice"),
  timeout: duration({ minMs: 500, maxMs: 60_000 }).prefault("5s"),
  attemptsMax: z.int().min(1).max(10).default(3),
  onNoInput: activityId.optional(),
  onNoMatch: activityId.optional(),
  noMatchPrompts: z.array(promptSchema).max(20).default([]),
});

const collect = z
  .strictObject({
    prompts,
    variable,
    digitsMin: z.int().min(1).max(40).default(1),
    digitsMax: z.int().min(1).max(40),
    terminator: z
      .string()
      .regex(/^[0-9*#]$/, "one key: 0-9, * or #")
      .optional(),
    firstDigitTimeout: duration({ minMs: 500, maxMs: 60_000 }).prefault("5s"),
    interDigitTimeout: duration({ minMs: 500, maxMs: 60_000 }).prefault("3s"),
    attemptsMax: z.int().min(1).max(10).default(3),
    next: activityId,
    onNoInput: activityId.optional(),
    sensitive: z.boolean().default(false),
  })
  .refine((collected) => collected.digitsMin <= collected.digitsMax, {
    path: ["digitsMin"],
    error: "not more than digitsMax",
  });

const set = z.strictObject({ variable, value: template, next: activityId });

const COMPARISONS = ["equals", "notEquals", "lessThan", "greaterThan", "contains", "startsWith"] as const;
export type ComparisonWord = (typeof COMPARISONS)[number] | "isEmpty";

const condition = z
  .strictObject({
    value: template,
    equals: template.optional(),
    notEquals: template.optional(),
    lessThan: template.optional(),
    greaterThan: template.optional(),
    contains: template.optional(),
    startsWith: template.optional(),
    isEmpty: z.literal(true).optional(),
    // biome-ignore lint/suspicious/noThenProperty: the word a flow's author expects after "if"; never a function
    then: activityId,
    else: activityId,
  })
  .superRefine((written, context) => {
    const said = [...COMPARISONS, "isEmpty" as const].filter((word) => written[word] !== undefined);
    if (said.length !== 1)
      context.addIssue({ code: "custom", message: `exactly one of ${COMPARISONS.join(", ")}, isEmpty: true` });
  });

const queue = z
  .strictObject({
    queue: objectId,
    music: promptSchema.optional(),
    messages: z.array(promptSchema).max(20).default([]),
    messageInterval: duration({ minMs: 1_000, maxMs: 3_600_000 }).optional(),
    waitMax: duration({ minMs: 1_000, maxMs: 86_400_000 }).optional(),
    onWaitExceeded: activityId.optional(),
    priority: z.int().min(0).max(1_000).default(0),
    next: activityId.optional(),
  })
  .refine((queued) => queued.messages.length === 0 || queued.messageInterval !== undefined, {
    path: ["messageInterval"],
    error: "messages need a messageInterval, like 20s",
  })
  .refine((queued) => queued.onWaitExceeded === undefined || queued.waitMax !== undefined, {
    path: ["waitMax"],
    error: "onWaitExceeded needs a waitMax, like 10m",
  });

const transfer = z.strictObject({
  number: z.string().min(1).max(200),
  trunk: objectId.optional(),
  ringTimeout: duration({ minMs: 1_000, maxMs: 300_000 }).prefault("30s"),
  next: activityId.optional(),
});

export const ACTIVITY_WORDS = [
  "play",
  "menu",
  "collect",
  "set",
  "if",
  "goto",
  "queue",
  "transfer",
  "disconnect",
] as const;

const activitySchema = z
  .strictObject({
    play: play.optional(),
    menu: menu.optional(),
    collect: collect.optional(),
    set: set.optional(),
    if: condition.optional(),
    goto: activityId.optional(),
    queue: queue.optional(),
    transfer: transfer.optional(),
    disconnect: z.strictObject({}).optional(),
    onFailure: activityId.optional(),
  })
  .superRefine((activity, context) => {
    const said = ACTIVITY_WORDS.filter((word) => activity[word] !== undefined);
    if (said.length !== 1)
      context.addIssue({
        code: "custom",
        message: `an activity does exactly one thing: ${ACTIVITY_WORDS.join(", ")}${said.length > 1 ? `; this one says ${said.join(" and ")}` : ""}`,
      });
  });

export type ActivitySpec = z.output<typeof activitySchema>;

export const flowSchema = z.strictObject({
  kind: z.literal("flow"),
  id: objectId,
  name: z.string().min(1).max(200).optional(),
  start: activityId,
  variables: z
    .record(variable, z.string().max(1_000))
    .refine((variables) => Object.keys(variables).length <= 200, "at most 200 variables")
    .default({}),
  activities: z
    .record(activityId, activitySchema)
    .refine((activities) => Object.keys(activities).length > 0, "a flow needs an activity")
    .refine((activities) => Object.keys(activities).length <= 300, "at most 300 activities"),
});

export type FlowSpec = z.output<typeof flowSchema>;
