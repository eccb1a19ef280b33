// The kinds of call a drill puts up: how each stands, what must be heard while it stands, and what may be asked of it afterwards.
// A table; parties/ acts on it.

export const CLASS_NAMES = [
  "bridged",
  "held-by-a",
  "held-by-b",
  "idle",
  "in-menu",
  "in-prompt",
  "queued",
  "ringing",
  "in-refer",
  "tcp",
  "tls",
  "srtp",
] as const;
export type ClassName = (typeof CLASS_NAMES)[number];

export const EXERCISES = [
  "bye-a",
  "bye-b",
  "reinvite",
  "hold-retrieve",
  "retrieve",
  "refresh-a",
  "refresh-b",
  "refer",
  "wake",
  "menu-key",
  "prompt-goes-on",
  "queue-offer",
  "agent-answers",
  "caller-gives-up",
  "refer-ends",
] as const;
export type Exercise = (typeof EXERCISES)[number];

/** What a system must be able to do for a class or an exercise. */
export type Ability = "bridge" | "tcp" | "tls" | "srtp" | "ivr" | "queue" | "refer" | "session-refresh";

/** What the caller's number leads to. */
export type Entry = "agent" | "ringing-agent" | "menu" | "prompt" | "queue";

export interface LoadClass {
  readonly title: string;
  /** Answered on every leg it has: 100 % of these must survive. */
  readonly confirmed: boolean;
  readonly needs: readonly Ability[];
  readonly transport: "udp" | "tcp" | "tls";
  readonly srtp: boolean;
  readonly entry: Entry;
  /** Done once both talk: who holds, who falls silent, who refers. */
  readonly standing: "talking" | "held-by-a" | "held-by-b" | "mute" | "referring";
  /** What the caller must hear in the steady state, and after the fault. */
  readonly callerHears: "agent" | "menu" | "prompt" | "music" | "anything";
  readonly agentHears: "caller" | "anything" | "nobody";
  readonly exercises: readonly Exercise[];
}

const talking = {
  confirmed: true,
  transport: "udp",
  srtp: false,
  entry: "agent",
  standing: "talking",
  callerHears: "agent",
  agentHears: "caller",
} as const;
const withMachine = { ...talking, agentHears: "nobody", needs: ["ivr"] } as const;

export const LOAD_CLASSES: Readonly<Record<ClassName, LoadClass>> = {
  bridged: {
    ...talking,
    title: "bridged",
    needs: ["bridge"],
    exercises: ["bye-a", "reinvite", "bye-b", "hold-retrieve", "refresh-a", "refer", "refresh-b"],
  },
  "held-by-a": {
    ...talking,
    title: "held by A",
    needs: ["bridge"],
    standing: "held-by-a",
    callerHears: "anything",
    agentHears: "anything",
    exercises: ["retrieve", "bye-a", "bye-b"],
  },
  "held-by-b": {
    ...talking,
    title: "held by B",
    needs: ["bridge"],
    standing: "held-by-b",
    callerHears: "anything",
    agentHears: "anything",
    exercises: ["retrieve", "bye-a", "bye-b"],
  },
  idle: {
    ...talking,
    title: "both streams idle",
    needs: ["bridge"],
    standing: "mute",
    callerHears: "anything",
    agentHears: "anything",
    exercises: ["wake", "bye-a", "refresh-a"],
  },
  "in-menu": {
    ...withMachine,
    title: "in menu",
    entry: "menu",
    callerHears: "menu",
    exercises: ["menu-key", "menu-key", "bye-a"],
  },
  "in-prompt": {
    ...withMachine,
    title: "in prompt",
    entry: "prompt",
    callerHears: "prompt",
    exercises: ["prompt-goes-on", "bye-a", "refresh-a"],
  },
  queued: {
    ...withMachine,
    title: "queued with music",
    needs: ["ivr", "queue"],
    entry: "queue",
    callerHears: "music",
    exercises: ["queue-offer"],
  },
  ringing: {
    ...withMachine,
    title: "ringing the agent",
    confirmed: false,
    needs: ["ivr", "queue"],
    entry: "ringing-agent",
    callerHears: "music",
    exercises: ["agent-answers", "caller-gives-up"],
  },
  "in-refer": {
    ...talking,
    title: "in REFER",
    confirmed: false,
    needs: ["bridge", "refer"],
    standing: "referring",
    callerHears: "anything",
    agentHears: "anything",
    exercises: ["refer-ends"],
  },
  tcp: {
    ...talking,
    title: "over TCP",
    needs: ["bridge", "tcp"],
    transport: "tcp",
    exercises: ["bye-a", "bye-b", "hold-retrieve", "reinvite"],
  },
  tls: {
    ...talking,
    title: "over TLS",
    needs: ["bridge", "tls"],
    transport: "tls",
    exercises: ["bye-a", "bye-b", "hold-retrieve", "reinvite"],
  },
  srtp: {
    ...talking,
    title: "SRTP",
    needs: ["bridge", "srtp"],
    srtp: true,
    exercises: ["reinvite", "bye-a", "bye-b"],
  },
};

/** An exercise that a system cannot do is left out of the turn. */
export const EXERCISE_NEEDS: Readonly<Partial<Record<Exercise, Ability>>> = {
  refer: "refer",
  "refer-ends": "refer",
  "refresh-a": "session-refresh",
  "refresh-b": "session-refresh",
};

/** Hz; none near another, nor near the tones of calls (400 … 2,780 in steps of 20, from different ends). */
export const TONES = { music: 310, menu: 330, prompt: 350, chosen: 370 } as const;
const TONE_STEPS = 60;
const CALLER_TONE_HZ = 400;
const AGENT_TONE_HZ = 1_600;
const TONE_STEP_HZ = 20;

/** Neighbouring calls sound different: audio that reaches the wrong call is noticed. */
export const callerToneOf = (index: number): number => CALLER_TONE_HZ + (index % TONE_STEPS) * TONE_STEP_HZ;
export const agentToneOf = (index: number): number => AGENT_TONE_HZ + (index % TONE_STEPS) * TONE_STEP_HZ;

/**
 * Divides calls over classes by weight: largest remainders first, and every class with a weight gets one as long as there are
 * as many calls as classes.
 */
export function apportion(calls: number, mix: Readonly<Partial<Record<ClassName, number>>>): Map<ClassName, number> {
  const weighted = CLASS_NAMES.flatMap((name) => {
    const weight = mix[name] ?? 0;
    return weight > 0 ? [{ name, weight }] : [];
  });
  const total = weighted.reduce((sum, { weight }) => sum + weight, 0);
  const floor = calls >= weighted.length ? 1 : 0;
  const spare = calls - floor * weighted.length;
  const shares = weighted.map(({ name, weight }) => {
    const exact = (spare * weight) / Math.max(1, total);
    return { name, whole: Math.floor(exact), rest: exact - Math.floor(exact) };
  });
  let left = spare - shares.reduce((sum, { whole }) => sum + whole, 0);
  const extra = new Set<ClassName>();
  for (const { name } of [...shares].sort((a, b) => b.rest - a.rest)) {
    if (left <= 0) break;
    extra.add(name);
    left--;
  }
  return new Map(shares.map(({ name, whole }) => [name, whole + floor + (extra.has(name) ? 1 : 0)]));
}
