// Our end of the region link: hello, one snapshot at a time applied or refused, presence, commands once each.
//
// Invariants:
//   (a) the applied version never goes back;
//   (b) at most one snapshot is being applied;
//   (c) every snapshot that was not overtaken by a newer one is answered, with `applied` or `refused`, while the link holds;
//   (d) a command is performed at most once per id, however often it is sent and however often the link breaks.

import type { CallId } from "../../../kernel/ids.ts";
import type { Outcome } from "../../../kernel/outcome.ts";
import { impossible, type Step } from "../../../kernel/step.ts";
import type { Snapshot, SnapshotMistake } from "../routing/snapshot.ts";
import {
  type ConnectionEffect,
  type ConnectionInput,
  type ConnectionPolicy,
  type ConnectionState,
  type ConnectionTimer,
  connectionStep,
  newConnection,
} from "./connection.ts";

export type LinkCommand =
  | { readonly kind: "hang-up"; readonly callId: CallId }
  | { readonly kind: "drain"; readonly on: boolean };

/** A snapshot as it arrived: readable, or with the mistakes that make it unusable. */
export interface ReceivedSnapshot {
  readonly version: number;
  readonly content: Outcome<Snapshot, readonly SnapshotMistake[]>;
}

export interface CommandAnswer {
  readonly id: string;
  /** undefined: done, or under way. */
  readonly reason: string | undefined;
}

/** The last commands answered; at the bound the oldest is forgotten, and would be performed again if it were sent again. */
export const COMMANDS_REMEMBERED_MAX = 256;

export const PRESENCE_INTERVAL_MS = { min: 250, max: 60_000, default: 2_000 } as const;

export interface RegionLinkState {
  readonly connection: ConnectionState;
  readonly appliedVersion: number;
  readonly presenceIntervalMs: number;
  readonly intake:
    | { readonly name: "free" }
    | { readonly name: "applying"; readonly version: number; readonly next: ReceivedSnapshot | undefined };
  readonly commands: readonly CommandAnswer[];
}

export type RegionLinkTimer = ConnectionTimer | "presence";

export type RegionLinkInput =
  | Exclude<ConnectionInput, { kind: "opened" | "welcomed" | "timer" }>
  | { readonly kind: "opened"; readonly appliedVersion: number }
  | { readonly kind: "welcomed"; readonly presenceIntervalMs: number }
  | { readonly kind: "timer"; readonly timer: RegionLinkTimer; readonly chance: number }
  | { readonly kind: "snapshot"; readonly snapshot: ReceivedSnapshot }
  /** What came of the effect `apply`. */
  | { readonly kind: "applied"; readonly version: number }
  | { readonly kind: "refused"; readonly version: number; readonly mistakes: readonly SnapshotMistake[] }
  | { readonly kind: "command"; readonly id: string; readonly command: LinkCommand | undefined }
  /** What came of the effect `perform`. */
  | { readonly kind: "performed"; readonly id: string; readonly reason: string | undefined };

export type RegionReport =
  | { readonly kind: "hello"; readonly appliedVersion: number }
  | { readonly kind: "applied"; readonly version: number }
  | { readonly kind: "refused"; readonly version: number; readonly mistakes: readonly SnapshotMistake[] }
  | { readonly kind: "command-done"; readonly id: string; readonly reason: string | undefined };

export type RegionLinkEffect =
  | Exclude<ConnectionEffect, { kind: "say-hello" | "start-timer" | "stop-timer" }>
  | { readonly kind: "start-timer"; readonly timer: RegionLinkTimer; readonly afterMs: number }
  | { readonly kind: "stop-timer"; readonly timer: RegionLinkTimer }
  | { readonly kind: "report"; readonly report: RegionReport }
  /** Ask the host how it is, and tell the region. */
  | { readonly kind: "report-presence" }
  | { readonly kind: "apply"; readonly snapshot: Snapshot }
  | { readonly kind: "perform"; readonly id: string; readonly command: LinkCommand };

export type RegionLinkStep = Step<RegionLinkState, RegionLinkEffect>;

export const newRegionLink: RegionLinkState = {
  connection: newConnection,
  appliedVersion: 0,
  presenceIntervalMs: PRESENCE_INTERVAL_MS.default,
  intake: { name: "free" },
  commands: [],
};

export function regionLinkStep(
  policy: ConnectionPolicy,
  state: RegionLinkState,
  input: RegionLinkInput,
): RegionLinkStep {
  switch (input.kind) {
    case "opened":
      return connected(policy, { ...state, appliedVersion: input.appliedVersion }, { kind: "opened" });
    case "welcomed":
      return connected(policy, { ...state, presenceIntervalMs: presenceIntervalMs(input.presenceIntervalMs) }, input);
    case "timer":
      return input.timer === "presence"
        ? presence(state)
        : connected(policy, state, { kind: "timer", timer: input.timer, chance: input.chance });
    case "start":
    case "lost":
    case "reachable":
    case "close":
      return connected(policy, state, input);
    case "snapshot":
      return received(state, input.snapshot);
    case "applied":
      return settled({ ...state, appliedVersion: Math.max(state.appliedVersion, input.version) }, input);
    case "refused":
      return settled(state, input);
    case "command":
      return commanded(state, input.id, input.command);
    case "performed":
      return performed(state, { id: input.id, reason: input.reason });
    default:
      return impossible(input);
  }
}

function connected(policy: ConnectionPolicy, state: RegionLinkState, input: ConnectionInput): RegionLinkStep {
  const { state: connection, effects } = connectionStep(policy, state.connection, input);
  const next = { ...state, connection };
  return { state: next, effects: effects.flatMap((effect) => translated(next, effect)) };
}

function translated(state: RegionLinkState, effect: ConnectionEffect): readonly RegionLinkEffect[] {
  switch (effect.kind) {
    case "say-hello":
      return [report({ kind: "hello", appliedVersion: state.appliedVersion })];
    case "linked":
      return [effect, { kind: "report-presence" }, nextPresence(state)];
    case "drop":
      return [{ kind: "stop-timer", timer: "presence" }, effect];
    default:
      return [effect];
  }
}

const presenceIntervalMs = (askedMs: number): number =>
  askedMs > 0
    ? Math.min(PRESENCE_INTERVAL_MS.max, Math.max(PRESENCE_INTERVAL_MS.min, askedMs))
    : PRESENCE_INTERVAL_MS.default;

const presence = (state: RegionLinkState): RegionLinkStep =>
  state.connection.name === "linked"
    ? { state, effects: [{ kind: "report-presence" }, nextPresence(state)] }
    : { state, effects: [] };

/** The region keeps to one outstanding; should it not, the newest waits and takes the place of an older one (c). */
function received(state: RegionLinkState, snapshot: ReceivedSnapshot): RegionLinkStep {
  const { intake } = state;
  if (!heard(state)) return { state, effects: [] }; // of a stream that is gone: the next one begins with our version
  if (intake.name === "free") return considered(state, snapshot);
  const next = intake.next !== undefined && intake.next.version > snapshot.version ? intake.next : snapshot;
  return { state: { ...state, intake: { ...intake, next } }, effects: [] };
}

function considered(state: RegionLinkState, { version, content }: ReceivedSnapshot): RegionLinkStep {
  // The answer got lost with an earlier stream: say it again, and do nothing.
  if (version === state.appliedVersion && version > 0)
    return { state, effects: told(state, { kind: "applied", version }) };
  const mistakes = content.ok ? [] : [...content.failure];
  if (version < 1) mistakes.unshift({ path: "version", message: "must be 1 or more" });
  else if (version < state.appliedVersion)
    mistakes.unshift({ path: "version", message: `is older than ${state.appliedVersion}, which serves calls` });
  if (!content.ok || mistakes.length > 0)
    return { state, effects: told(state, { kind: "refused", version, mistakes }) };
  return {
    state: { ...state, intake: { name: "applying", version, next: undefined } },
    effects: [{ kind: "apply", snapshot: content.value }],
  };
}

function settled(
  state: RegionLinkState,
  result: Extract<RegionLinkInput, { kind: "applied" | "refused" }>,
): RegionLinkStep {
  const { intake } = state;
  if (intake.name !== "applying" || intake.version !== result.version) return { state, effects: [] };
  const free: RegionLinkState = { ...state, intake: { name: "free" } };
  const effects = told(free, result);
  if (intake.next === undefined) return { state: free, effects };
  const following = considered(free, intake.next);
  return { state: following.state, effects: [...effects, ...following.effects] };
}

function commanded(state: RegionLinkState, id: string, command: LinkCommand | undefined): RegionLinkStep {
  const known = state.commands.find((answer) => answer.id === id);
  if (known !== undefined) return { state, effects: told(state, { kind: "command-done", ...known }) };
  if (command === undefined) return performed(state, { id, reason: "command.unknown" });
  return { state: remembering(state, { id, reason: undefined }), effects: [{ kind: "perform", id, command }] };
}

const performed = (state: RegionLinkState, answer: CommandAnswer): RegionLinkStep => ({
  state: remembering(state, answer),
  effects: told(state, { kind: "command-done", ...answer }),
});

const remembering = (state: RegionLinkState, answer: CommandAnswer): RegionLinkState => ({
  ...state,
  commands: [...state.commands.filter(({ id }) => id !== answer.id), answer].slice(-COMMANDS_REMEMBERED_MAX),
});

/** Nobody hears a report without a link; the hello of the next one says the version. */
const told = (state: RegionLinkState, what: RegionReport): readonly RegionLinkEffect[] =>
  heard(state) ? [report(what)] : [];

const heard = ({ connection: { name } }: RegionLinkState): boolean => name === "linked" || name === "hello-sent";

const report = (what: RegionReport): RegionLinkEffect => ({ kind: "report", report: what });

const nextPresence = (state: RegionLinkState): RegionLinkEffect => ({
  kind: "start-timer",
  timer: "presence",
  afterMs: state.presenceIntervalMs,
});
