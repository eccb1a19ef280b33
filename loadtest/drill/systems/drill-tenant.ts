// The tenant of a drill: a queue with its own agents for each class and lane, so that who answers behaves as the class says; menus and
// prompts that are tones and last longer than any drill.

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { toneSamples } from "../../../pop/core/media/tone.ts";
import { wav } from "../../e2e/wav.ts";
import { CLASS_NAMES, type ClassName, LOAD_CLASSES, TONES } from "../load-classes.ts";
import type { LanePlan } from "./system-under-test.ts";

export const TENANT = "drill";

const NO_LIMIT = { callsPerSecondMax: 10_000, callsConcurrentMax: 20_000 };
const PROMPT_MS: Readonly<Record<keyof typeof TONES, number>> = {
  music: 4_000,
  menu: 300_000,
  prompt: 300_000,
  chosen: 120_000,
};
const SHORT_MS = 300;

export const LOAD_NUMBERS = { bridged: "+4970000001", answered: "+4970000002" } as const;
const LOAD_NUMBER = "+4970000009";
const REFER_NUMBER = "+4970000008";

const classAt = (className: ClassName): string => String(CLASS_NAMES.indexOf(className) + 1).padStart(2, "0");
export const numberOf = (lane: number, className: ClassName): string => `+49600${lane}0${classAt(className)}`;
const idOf = (lane: number, className: ClassName): string => `l${lane}-${className}`;
export const agentIdOf = (lane: number, className: ClassName, at: number): string => `${idOf(lane, className)}-${at}`;

/** One that could not be reached while its call was put up is not asked again soon: there are some to spare. */
export const agentsFor = (calls: number): number => calls + Math.max(2, Math.ceil(calls / 5));

const tone = (name: string) => ({ file: `${TENANT}/${name}` });
const hangUp = { disconnect: {} };

const entry = (id: string, number: string, start: string, activities: object) => [
  { kind: "dn", id, number, entryPoint: id },
  { kind: "entry-point", id, name: id, flow: id },
  { kind: "flow", id, start, activities: { ...activities, "hang-up": hangUp } },
];

function classDocuments({ lane }: LanePlan, className: ClassName, calls: number): readonly object[] {
  const id = idOf(lane, className);
  const number = numberOf(lane, className);
  switch (LOAD_CLASSES[className].entry) {
    case "menu":
      return entry(id, number, "ask", {
        ask: {
          menu: {
            prompts: [tone("menu")],
            choices: { "1": "chosen" },
            timeout: "60s",
            attemptsMax: 1,
            onNoInput: "hang-up",
            onNoMatch: "hang-up",
          },
          onFailure: "hang-up",
        },
        chosen: { play: { prompts: [tone("chosen")], next: "hang-up" }, onFailure: "hang-up" },
      });
    case "prompt":
      return entry(id, number, "say", {
        say: { play: { prompts: [tone("prompt")], next: "hang-up" }, onFailure: "hang-up" },
      });
    default:
      return [
        ...entry(id, number, "wait", {
          wait: { queue: { queue: id, music: tone("music"), next: "hang-up" }, onFailure: "hang-up" },
        }),
        { kind: "queue", id, name: id, teams: [id], ringTimeout: "120s", music: tone("music") },
        { kind: "team", id, name: id },
        ...Array.from({ length: agentsFor(calls) }, (_, at) => {
          const agent = agentIdOf(lane, className, at);
          return { kind: "agent", id: agent, name: agent, teams: [id] };
        }),
      ];
  }
}

export interface TenantPlan {
  readonly lanes: readonly LanePlan[];
  readonly carrierCidr: string;
  readonly agentCidr: string;
  /** Answers what the bulk load bridges. */
  readonly loadHost: string;
}

export function documents({ lanes, carrierCidr, agentCidr, loadHost }: TenantPlan): readonly object[] {
  const [first] = lanes;
  return [
    { kind: "tenant", id: TENANT, name: "Drill", agentSourceCidrs: [agentCidr], callsConcurrentMax: 20_000 },
    {
      kind: "trunk",
      id: "carrier",
      sourceCidrs: [carrierCidr],
      outboundUri: `sip:${first?.carrierHost ?? ""}:5060`,
      ...NO_LIMIT,
    },
    // Beside the carrier's own: by its more exact range the load's calls are this trunk's.
    { kind: "trunk", id: "load", sourceCidrs: [`${loadHost}/32`], outboundUri: `sip:${loadHost}:5060`, ...NO_LIMIT },
    ...entry("load-bridged", LOAD_NUMBERS.bridged, "out", {
      out: {
        transfer: { number: LOAD_NUMBER, trunk: "load", ringTimeout: "10s", next: "hang-up" },
        onFailure: "hang-up",
      },
    }),
    ...entry("load-answered", LOAD_NUMBERS.answered, "say", {
      say: { play: { prompts: [tone("short")], next: "hang-up" }, onFailure: "hang-up" },
    }),
    ...lanes.flatMap((lane) => [...lane.classes].flatMap(([name, calls]) => classDocuments(lane, name, calls))),
  ];
}

export const referUri = (serviceHost: string): string => `sip:${REFER_NUMBER}@${serviceHost}`;

/** Writes the tones where the POP looks for recorded prompts. */
export function writePrompts(folder: string): void {
  mkdirSync(join(folder, TENANT), { recursive: true });
  const write = (name: string, hz: number, ms: number) =>
    writeFileSync(join(folder, TENANT, `${name}.wav`), wav(toneSamples(hz, ms)));
  for (const [name, hz] of Object.entries(TONES)) write(name, hz, PROMPT_MS[name as keyof typeof TONES]);
  write("short", TONES.prompt, SHORT_MS);
}
