// The tenant of the end-to-end suite: short time-outs, and prompts that are tones, so that a test can tell them apart
// by frequency. Nothing here sleeps: what is to happen soon is configured to happen soon.

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { toneSamples } from "../../pop/core/media/tone.ts";
import { wav } from "./wav.ts";

export const TENANT = "e2e";

/** What each number does. */
export const NUMBERS = {
  /** A spoken greeting, then released. */
  greeting: "+4950000001",
  /** A long tone: for callers who leave in the middle of a prompt. */
  announcement: "+4950000002",
  /** Menu: 1 leads to the queue, anything else to goodbye. */
  menu: "+4950000003",
  /** Straight into the queue; when the agent has left: goodbye. */
  queue: "+4950000004",
  /** To a number of the carrier's. */
  transfer: "+4950000005",
  /** Into the queue, at most a second. */
  impatient: "+4950000006",
  /** Says a short tone, then releases. */
  short: "+4950000007",
} as const;

export const UNKNOWN_NUMBER = "+4950009999";
/** Where the transfer leads: the carrier's side of it. */
export const OFFICE_NUMBER = "+4950001234";

/** What each prompt sounds like, in Hz. */
export const TONES = { announcement: 500, menu: 600, music: 350, goodbye: 850, apology: 950 } as const;

export const GREETING = "Good day. This is the tollgate test line.";

export const CARRIER = "127.20.0.1";
/** The carrier that a transfer goes out to. */
export const OFFICE = "127.20.0.9";
/** Two trunks with hardly any room: one call at once, one call a second. */
export const NARROW_CARRIER = "127.20.1.1";
export const SLOW_CARRIER = "127.20.2.1";
export const STRANGER = "127.99.0.1";

const tone = (name: keyof typeof TONES) => ({ file: `${TENANT}/${name}` });
const play = (name: keyof typeof TONES, next: string) => ({
  play: { prompts: [tone(name)], next },
  onFailure: "hang-up",
});
const hangUp = { disconnect: {} };
const queued = (more: object = {}) => ({
  queue: { queue: "line", music: tone("music"), next: "goodbye", ...more },
  onFailure: "apology",
});

const flow = (id: string, start: string, activities: object) => ({
  kind: "flow",
  id,
  start,
  activities: {
    ...activities,
    goodbye: play("goodbye", "hang-up"),
    apology: play("apology", "hang-up"),
    "hang-up": hangUp,
  },
});

const flows = [
  flow("greeting", "say", {
    say: { play: { prompts: [{ text: GREETING, language: "en" }], next: "hang-up" }, onFailure: "hang-up" },
  }),
  flow("announcement", "say", { say: play("announcement", "hang-up") }),
  flow("menu", "ask", {
    ask: {
      menu: {
        prompts: [tone("menu")],
        choices: { "1": "wait" },
        timeout: "5s",
        attemptsMax: 1,
        onNoInput: "goodbye",
        onNoMatch: "goodbye",
      },
      onFailure: "apology",
    },
    wait: queued(),
  }),
  flow("queue", "wait", { wait: queued() }),
  flow("impatient", "wait", { wait: queued({ waitMax: "1s", onWaitExceeded: "apology" }) }),
  flow("transfer", "out", {
    out: {
      transfer: { number: OFFICE_NUMBER, trunk: "carrier", ringTimeout: "2s", next: "goodbye" },
      onFailure: "apology",
    },
  }),
  flow("short", "say", { say: play("goodbye", "hang-up") }),
];

const trunk = (id: string, cidrs: string | readonly string[], more: object = {}) => ({
  kind: "trunk",
  id,
  sourceCidrs: typeof cidrs === "string" ? [cidrs] : cidrs,
  callsPerSecondMax: 200,
  callsConcurrentMax: 200,
  ...more,
});

/** Everything the suite applies; `ringTimeout` of the queue is what no-answer tests wait for. */
export const documents = (): readonly object[] => [
  { kind: "tenant", id: TENANT, name: "End to end", agentSourceCidrs: ["127.30.0.0/24"] },
  trunk("carrier", "127.20.0.0/24", { outboundUri: `sip:${OFFICE}:5060` }),
  // Programs of others that cannot choose an address: softphones, browsers, IPv6.
  trunk("softphones", ["127.0.0.1/32", "::1/128"]),
  trunk("narrow", "127.20.1.0/24", { callsConcurrentMax: 1 }),
  trunk("slow", "127.20.2.0/24", { callsPerSecondMax: 1 }),
  ...Object.entries(NUMBERS).flatMap(([name, number]) => [
    { kind: "dn", id: name, number, entryPoint: name },
    { kind: "entry-point", id: name, name, flow: name },
  ]),
  ...flows,
  { kind: "queue", id: "line", name: "Line", teams: ["first"], ringTimeout: "1s", music: tone("music") },
  { kind: "team", id: "first", name: "First" },
  ...["alice", "bob", "carol"].map((id) => ({ kind: "agent", id, name: id, teams: ["first"] })),
];

const PROMPT_MS: Record<keyof typeof TONES, number> = {
  announcement: 20_000,
  menu: 10_000,
  music: 4_000,
  goodbye: 600,
  apology: 600,
};

/** Writes the tones where the POP looks for recorded prompts. */
export function writePrompts(folder: string): void {
  mkdirSync(join(folder, TENANT), { recursive: true });
  for (const [name, hz] of Object.entries(TONES))
    writeFileSync(join(folder, TENANT, `${name}.wav`), wav(toneSamples(hz, PROMPT_MS[name as keyof typeof TONES])));
}
