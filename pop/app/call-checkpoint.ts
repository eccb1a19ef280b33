// What the next process of a service needs of a call: one text each, in a form with a number.
//
// The rule for forms: a release reads its own, the one before, and the one after. So form n + 1 may add fields, and must still
// mean the same by those of form n; what it no longer needs is left out in n + 2 at the earliest. Unknown fields are ignored.
// Form 1 was read by nobody who could take a call up: it is read to close the call on paper.

import type { FlowId } from "../../kernel/ids.ts";
import { fail, type Outcome, succeed } from "../../kernel/outcome.ts";
import type { InstantMs } from "../../kernel/time.ts";
import type { UnixMs } from "../../kernel/units.ts";
import type { Saved } from "../boundary/saved.ts";
import type { CallTimer } from "../core/call/call-execution.ts";
import type { CallBasics, CallPhase, CallState } from "../core/call/call-state.ts";
import type { CallEvent } from "../core/call/contact-record.ts";
import type { FlowStateName } from "../core/ivr/flow-state.ts";
import type { TracedDialog } from "./journal.ts";

export const CHECKPOINT_FORM = 2;

export interface CallCheckpoint {
  readonly v: number;
  readonly state: CallState;
  /** Wall clock, for a host with another monotonic one. */
  readonly deadlinesUnixMs: Readonly<Record<string, UnixMs>>;
  /** By the clock of the deadlines: none of them lasts longer than it did then. Since form 2. */
  readonly savedAtUnixMs: UnixMs;
  readonly callerOffer: string;
  /** What the parts said of themselves; undefined where a part knows nothing of the call. */
  readonly signalling: Saved | undefined;
  readonly relay: Saved | undefined;
  readonly worker: Saved | undefined;
  /** In the service's book of flows under this name and the tenant's. */
  readonly flow: { readonly id: FlowId; readonly version: number };
  /** For the trace. */
  readonly dialogs: readonly TracedDialog[];
}

/** A call that has ended: kept until the region has its record. */
export interface EndedCheckpoint {
  readonly v: number;
  readonly ended: CallEvent;
}

export type ReadCheckpoint =
  | { readonly kind: "living"; readonly checkpoint: CallCheckpoint }
  | { readonly kind: "ended"; readonly event: CallEvent };

export interface CheckpointUnreadable {
  readonly code: "checkpoint.unreadable";
  readonly detail: string;
  /** As much of it as a contact record needs; undefined where not even that can be read. */
  readonly state: CallState | undefined;
}

/** @fails checkpoint.unreadable: damaged, of a release that is too far from ours, or in a state that we do not know */
export function readCheckpoint(text: string): Outcome<ReadCheckpoint, CheckpointUnreadable> {
  const parsed = parse(text);
  if (!isRecord(parsed)) return unreadable("no JSON object", undefined);
  const { v } = parsed;
  const onPaper = closable(parsed.state);
  if (typeof v !== "number" || v < 1 || v > CHECKPOINT_FORM + 1) return unreadable(`form ${String(v)}`, onPaper);
  if (parsed.ended !== undefined) {
    const event = parsed.ended;
    if (!isRecord(event) || typeof event.id !== "string" || !isRecord(event.record))
      return unreadable("its last event", undefined);
    return succeed({ kind: "ended", event: event as unknown as CallEvent });
  }
  const trouble = strangeness(parsed.state, v);
  if (trouble !== undefined) return unreadable(trouble, onPaper);
  const state = parsed.state as unknown as CallState;
  const deadlinesUnixMs = isRecord(parsed.deadlinesUnixMs) ? numbersOf(parsed.deadlinesUnixMs) : {};
  const saved = parsed as Partial<CallCheckpoint>;
  return succeed({
    kind: "living",
    checkpoint: {
      v,
      state: v === 1 ? fromFormOne(state) : state,
      deadlinesUnixMs,
      savedAtUnixMs: typeof saved.savedAtUnixMs === "number" ? saved.savedAtUnixMs : state.basics.arrivedAtUnixMs,
      callerOffer: typeof saved.callerOffer === "string" ? saved.callerOffer : "",
      signalling: saved.signalling,
      relay: saved.relay,
      worker: saved.worker,
      flow: { id: state.basics.flowId, version: state.basics.flowVersion },
      dialogs: Array.isArray(saved.dialogs) ? saved.dialogs : [],
    },
  });
}

/**
 * When the timers of a checkpoint fall due by our monotonic clock, the past ones in their order. A wall clock that went
 * back between (or another host's that is behind) makes none of them longer than it was; one that went forward makes them due.
 */
export function deadlinesOf(
  { deadlinesUnixMs, savedAtUnixMs }: Pick<CallCheckpoint, "deadlinesUnixMs" | "savedAtUnixMs">,
  nowMs: InstantMs,
  nowUnixMs: UnixMs,
): readonly (readonly [CallTimer, InstantMs])[] {
  return Object.entries(deadlinesUnixMs).flatMap(([name, atUnixMs]) =>
    isTimer(name) ? [[name, nowMs + Math.min(atUnixMs - nowUnixMs, atUnixMs - savedAtUnixMs)] as const] : [],
  );
}

/** A call of which only this is known can still be ended, with a record. @returns undefined: not even that is readable */
export function closable(state: unknown): CallState | undefined {
  if (!isRecord(state) || !isBasics(state.basics)) return undefined;
  const { phase, eventCount } = state;
  const answeredAtUnixMs = isRecord(phase) && typeof phase.answeredAtUnixMs === "number" ? phase.answeredAtUnixMs : 0;
  return {
    basics: state.basics,
    phase: answeredAtUnixMs > 0 ? { name: "answering", answeredAtUnixMs, callerSdp: "" } : { name: "anchoring" },
    eventCount: typeof eventCount === "number" ? eventCount : 0,
    segments: Array.isArray(state.segments) ? state.segments.filter(isRecord).map((one) => one as never) : [],
    media: Array.isArray(state.media) ? state.media.filter(isRecord).map((one) => one as never) : [],
  };
}

/** @returns what is not as we know it, or undefined */
function strangeness(state: unknown, v: number): string | undefined {
  if (!isRecord(state) || !isBasics(state.basics)) return "no call";
  const { phase, eventCount, segments, media } = state;
  if (typeof eventCount !== "number" || !Array.isArray(segments) || !Array.isArray(media)) return "no history";
  if (!isRecord(phase) || !isOneOf(PHASES, phase.name)) return `phase ${isRecord(phase) ? String(phase.name) : "none"}`;
  if (phase.name !== "running") return undefined;
  const { flow, place, far, current } = phase;
  if (!isRecord(flow) || !isOneOf(FLOW_STATES, flow.name) || !isRecord(flow.run)) return "state of its flow";
  if (!isRecord(place) || !isOneOf(PLACES, place.name)) return "place in a queue";
  if (!isRecord(far) || !isOneOf(FAR_LEGS, far.name)) return "leg";
  if (far.name !== "none" && !isRecord(far.party)) return "far party";
  if (!isRecord(current)) return "segment";
  const { refer } = phase;
  if (v > 1 && (!isRecord(refer) || !isOneOf(REFERS, refer.name))) return "transfer under way";
  return undefined;
}

/** Form 1 knew neither a play's position nor what a leg had answered: the one begins anew, the other fails. */
function fromFormOne(state: CallState): CallState {
  if (state.phase.name !== "running") return state;
  const { playing, far } = state.phase;
  return {
    ...state,
    phase: {
      ...state.phase,
      playing: playing === undefined ? undefined : { ...playing, fromMs: 0, sinceUnixMs: undefined },
      far: far.name === "joining" ? { ...far, answer: "" } : far,
      refer: { name: "none" },
    },
  };
}

function isBasics(basics: unknown): basics is CallBasics {
  if (!isRecord(basics)) return false;
  const texts = ["id", "tenantId", "trunkId", "entryPointId", "flowId", "callingNumber", "calledNumber"];
  return (
    texts.every((name) => typeof basics[name] === "string") &&
    typeof basics.flowVersion === "number" &&
    typeof basics.arrivedAtUnixMs === "number"
  );
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const numbersOf = (record: Readonly<Record<string, unknown>>): Readonly<Record<string, number>> =>
  Object.fromEntries(Object.entries(record).filter((entry): entry is [string, number] => typeof entry[1] === "number"));

const unreadable = (detail: string, state: CallState | undefined): Outcome<never, CheckpointUnreadable> =>
  fail({ code: "checkpoint.unreadable", detail, state });

const isOneOf = (names: Readonly<Record<string, true>>, name: unknown): boolean =>
  typeof name === "string" && Object.hasOwn(names, name);

// By name, so that one that is added to the core does not compile until it is known here.
type Running = Extract<CallPhase, { name: "running" }>;
const PHASES: Readonly<Record<CallPhase["name"], true>> = {
  anchoring: true,
  answering: true,
  running: true,
  ended: true,
};
const PLACES: Readonly<Record<Running["place"]["name"], true>> = { none: true, joining: true, waiting: true };
const FAR_LEGS: Readonly<Record<Running["far"]["name"], true>> = {
  none: true,
  preparing: true,
  ringing: true,
  joining: true,
  talking: true,
};
const REFERS: Readonly<Record<Running["refer"]["name"], true>> = { none: true, trying: true };
const FLOW_STATES: Readonly<Record<FlowStateName, true>> = {
  playing: true,
  menu: true,
  collecting: true,
  queued: true,
  "with-agent": true,
  transferring: true,
  "with-number": true,
  "default-treatment": true,
  ended: true,
};
const TIMERS: Readonly<Record<CallTimer, true>> = {
  "flow.input": true,
  "flow.message": true,
  "flow.wait": true,
  "call.setup": true,
  "call.ack": true,
  "call.ring": true,
  "call.routing": true,
  "call.worker": true,
  "call.limit": true,
};
const isTimer = (name: string): name is CallTimer => Object.hasOwn(TIMERS, name);
