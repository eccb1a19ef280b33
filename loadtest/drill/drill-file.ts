// A drill as a file: what must hold, what is broken and when, what is then measured, and by which figures it passes. Read strictly: a
// word that is not known here is a mistake, not a wish.

import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parse, YAMLParseError } from "yaml";
import { z } from "zod";
import { CHECKOUT } from "../../cli/up/start-region.ts";
import { duration } from "../../control-plane/core/tenancy/duration.ts";
import { parseConfig, showMistakes } from "../../kernel/config.ts";
import { fail, type Outcome, succeed } from "../../kernel/outcome.ts";
import { CLASS_NAMES } from "./load-classes.ts";

export const DRILLS_FOLDER = join(CHECKOUT, "drills");

const MINUTE_MS = 60_000;
const span = (maxMs = 10 * MINUTE_MS) => duration({ minMs: 0, maxMs });
const percent = z.number().min(0).max(100);
const className = z.enum(CLASS_NAMES);

const NETWORKS = ["netns", "loopback"] as const;
export type Network = (typeof NETWORKS)[number];

const SIGNALS = ["SIGKILL", "SIGTERM", "SIGSTOP", "SIGCONT"] as const;
export type FaultSignal = (typeof SIGNALS)[number];

/** "host fra-01-a", "process fra-01-a/pop", "process redis" */
const victim = z
  .string()
  .regex(/^(host [a-z0-9-]+|process [a-z0-9/-]+)$/, 'like "host fra-01-a", "process fra-01-a/pop" or "process redis"');

const when = {
  /** So long after the fault's moment; several steps at 0s are made one after the other, at once. */
  at: span().optional(),
  /** So long before it. */
  before: span(MINUTE_MS).optional(),
};
const step = z
  .union([
    /** stayDown: nobody starts it again by itself. A killed host stays down in any case. */
    z.strictObject({
      ...when,
      kill: victim,
      signal: z.enum(SIGNALS).default("SIGKILL"),
      stayDown: z.boolean().default(false),
    }),
    z.strictObject({ ...when, pause: victim, for: span(MINUTE_MS) }),
    z.strictObject({ ...when, start: victim }),
    /** netns only: nothing passes between the two until so long after. */
    z.strictObject({ ...when, cut: z.tuple([z.string(), z.string()]), for: span(MINUTE_MS) }),
  ])
  .refine((one) => (one.at === undefined) !== (one.before === undefined), {
    error: 'either "at: 0s" (after the fault) or "before: 3s"',
  });

const DrillSchema = z
  .strictObject({
    name: z.string().regex(/^[a-z][a-z0-9-]{1,60}$/, "small letters, digits and dashes"),
    purpose: z.string().min(10).max(2_000),
    topology: z.strictObject({
      region: z.string(),
      hosts: z.array(z.string()).min(1).max(4),
      /** Where the calls are: its service is what the fault is about. */
      service: z.string(),
      /** Where the drill can run; the first that this machine allows is taken. */
      networks: z.array(z.enum(NETWORKS)).min(1),
    }),
    steadyState: z.strictObject({
      calls: z.int().min(1).max(2_000),
      mix: z
        .partialRecord(className, z.int().min(0).max(1_000))
        .refine((mix) => Object.values(mix).some((weight) => (weight ?? 0) > 0), "no class has a weight"),
      callsPerSecond: z.int().min(1).max(200).prefault(15),
      /** All calls stand so long, untouched, before anything is broken. */
      lasts: span().prefault("3s"),
      /** New and held calls beside the mix, by SIPp, without audio of their own. */
      load: z
        .strictObject({
          held: z.int().min(0).max(5_000).default(0),
          newCallsPerSecond: z.int().min(0).max(1_000).default(0),
          from: span(MINUTE_MS).prefault("4s"),
          lasts: span(MINUTE_MS).prefault("12s"),
        })
        .optional(),
    }),
    fault: z.array(step).min(1).max(20),
    probes: z
      .strictObject({
        /** So many bridged calls send one request each inside their dialog, evenly over the first `over`: how soon is one answered? */
        inDialogCalls: z.int().min(0).max(100).default(10),
        over: span(MINUTE_MS).prefault("2s"),
      })
      .prefault({}),
    /** Nobody touches anything for so long after the fault; then the calls are exercised. */
    watch: span().prefault("6s"),
    /** Whether the service is expected to be served again. */
    expect: z.enum(["takeover", "restart", "silence"]),
    limits: z
      .strictObject({
        survivalPercentMin: z.strictObject({ confirmed: percent, other: percent }).optional(),
        exercisedPercentMin: percent.optional(),
        messagesMax: z.int().min(0).optional(),
        reanchoredMax: z.int().min(0).optional(),
        rtpGapP99MsMax: z.number().min(1).optional(),
        /** Of calls with a leg that was anchored anew by re-INVITE, which the limit above leaves out. */
        rtpGapReanchoredP99MsMax: z.number().min(1).optional(),
        firstInDialogMsMax: z.number().min(1).optional(),
        detectionMsMax: z.number().min(1).optional(),
        ghostsMax: z.int().min(0).optional(),
        recordsMissingOrTwiceMax: z.int().min(0).optional(),
        rescuedPercentMin: percent.optional(),
        failedElsewhereMax: z.int().min(0).optional(),
        /** Messages that the service address speaks after the fault: for drills where nobody may take over. */
        spokenMax: z.int().min(0).optional(),
        /** Classes of the mix that the system cannot do at all. */
        cannotMax: z.int().min(0).default(0),
      })
      .strict(),
    /** Beyond these the drill stops, is rolled back, and has shown nothing. */
    abort: z
      .strictObject({
        setUpPercentMin: percent.default(95),
        lasts: span(30 * MINUTE_MS).prefault("5m"),
      })
      .prefault({}),
    /** What is lost in this drill by design, and why. Replaces the survival limit for these classes. */
    expectedLoss: z
      .array(
        z.strictObject({ classes: z.array(className).min(1), survivalPercentMin: percent, because: z.string().min(5) }),
      )
      .default([]),
    /** For people: what is undone at the end. All processes die with the drill in any case. */
    rollBack: z.array(z.string().min(3)).min(1),
  })
  .refine(({ topology }) => topology.hosts.includes(topology.service), {
    path: ["topology", "service"],
    error: "must be one of the hosts",
  })
  .refine(({ topology, fault }) => topology.networks.every((one) => one === "netns") || !fault.some(needsNetns), {
    path: ["topology", "networks"],
    error: 'a cut, or a host that is paused, needs "netns" alone',
  });

export type Drill = z.output<typeof DrillSchema>;
export type FaultStep = Drill["fault"][number];

/** On one loopback a stopped host's sockets keep its addresses, and there is no link to cut. */
const needsNetns = (one: object): boolean => "cut" in one || ("pause" in one && String(one.pause).startsWith("host "));

export type DrillFileFailure =
  | { readonly code: "drill.unknown"; readonly name: string; readonly known: readonly string[] }
  | { readonly code: "drill.invalid"; readonly file: string; readonly mistakes: string };

/** @fails drill.invalid: not YAML, or not a drill; every mistake is named */
export function readDrill(file: string): Outcome<Drill, DrillFileFailure> {
  let value: unknown;
  try {
    value = parse(readFileSync(file, "utf8"));
  } catch (error) {
    const mistakes = error instanceof YAMLParseError || error instanceof Error ? error.message : String(error);
    return fail({ code: "drill.invalid", file, mistakes });
  }
  const parsed = parseConfig(DrillSchema, value);
  if (!parsed.ok) return fail({ code: "drill.invalid", file, mistakes: showMistakes(parsed.failure.mistakes) });
  return succeed(parsed.value);
}

/** By name, every file of the folder; those that are no drill say why. */
export function listDrills(
  folder = DRILLS_FOLDER,
): { readonly name: string; readonly drill: Outcome<Drill, DrillFileFailure> }[] {
  return readdirSync(folder)
    .filter((file) => file.endsWith(".yaml"))
    .sort()
    .map((file) => ({ name: file.slice(0, -".yaml".length), drill: readDrill(join(folder, file)) }));
}

/** `wanted`: a name of drills/, or the path of a file. @fails drill.unknown, drill.invalid */
export function findDrill(wanted: string, folder = DRILLS_FOLDER): Outcome<Drill, DrillFileFailure> {
  if (wanted.endsWith(".yaml")) return readDrill(resolve(wanted));
  const all = listDrills(folder);
  const found = all.find(({ name }) => name === wanted);
  return found?.drill ?? fail({ code: "drill.unknown", name: wanted, known: all.map(({ name }) => name) });
}

export function showDrillFileFailure(failure: DrillFileFailure): string {
  if (failure.code === "drill.unknown") return `no drill "${failure.name}"; there are ${failure.known.join(", ")}`;
  return `${failure.file} is no drill:\n${failure.mistakes}`;
}
