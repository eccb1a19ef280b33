// The tenant of the capacity runs: one flow a profile, trunk limits that nothing reaches, and a prompt longer than any hold.

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { toneSamples } from "../../pop/core/media/tone.ts";
import { wav } from "../e2e/wav.ts";
import type { ProfileName } from "./measurements.ts";

export const TENANT = "capacity";
export const CALLER_HOST = "127.20.0.1";
export const FAR_HOST = "127.20.0.9";
const FAR_NUMBER = "+4950001234";

/** The number that a profile calls. */
export const NUMBERS: Readonly<Record<ProfileName, string>> = { answer: "+4950000001", bridge: "+4950000002" };

const LIMITS = { callsPerSecondMax: 10_000, callsConcurrentMax: 20_000 };
const PROMPT = `${TENANT}/tone`;
const PROMPT_MS = 60_000;

const flow = (id: ProfileName, activity: object) => [
  {
    kind: "flow",
    id,
    start: "first",
    activities: { first: { ...activity, onFailure: "hang-up" }, "hang-up": { disconnect: {} } },
  },
  { kind: "dn", id, number: NUMBERS[id], entryPoint: id },
  { kind: "entry-point", id, name: id, flow: id },
];

export const documents = (): readonly object[] => [
  { kind: "tenant", id: TENANT, name: "Capacity", callsConcurrentMax: LIMITS.callsConcurrentMax },
  { kind: "trunk", id: "carrier", sourceCidrs: ["127.20.0.0/24"], outboundUri: `sip:${FAR_HOST}:5060`, ...LIMITS },
  ...flow("answer", { play: { prompts: [{ file: PROMPT }], next: "hang-up" } }),
  ...flow("bridge", { transfer: { number: FAR_NUMBER, trunk: "carrier", ringTimeout: "10s", next: "hang-up" } }),
];

/** Writes what the answer profile plays where the POP looks for recorded prompts. */
export function writePrompt(folder: string): void {
  mkdirSync(join(folder, TENANT), { recursive: true });
  writeFileSync(join(folder, `${PROMPT}.wav`), wav(toneSamples(440, PROMPT_MS)));
}
