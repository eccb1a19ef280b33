// What the drill and its party processes say to each other, as JSON over Node's channel: each process has one share of the calls, with
// the phones of both sides, so that their packets never wait behind the drill's own work.

import type { Exercise, LoadClass } from "../load-classes.ts";

export interface OpenParties {
  readonly kind: "open";
  readonly carrierHost: string;
  readonly agentHost: string;
  readonly service: { readonly host: string; readonly sipPort: number; readonly sipTlsPort: number };
  /** Absent: no phones over TLS. */
  readonly tls?: { readonly ca: string; readonly cert: string; readonly key: string };
}

export interface PlannedCall {
  readonly id: string;
  readonly index: number;
  readonly className: string;
  readonly loadClass: LoadClass;
  readonly number: string;
  readonly callingNumber: string;
  /** Where a REFER points. */
  readonly referTo: string;
}

export type PartyRequest =
  | OpenParties
  | {
      readonly kind: "put-up";
      readonly calls: readonly PlannedCall[];
      readonly callsPerSecond: number;
      readonly withinMs: number;
      readonly attemptsMax: number;
    }
  | { readonly kind: "check"; readonly withinMs: number }
  /** What cannot stand for long is begun now: a REFER, whose target rings for half a minute at most. */
  | { readonly kind: "eve"; readonly withinMs: number }
  | { readonly kind: "watch" }
  | { readonly kind: "probe"; readonly calls: readonly { readonly id: string; readonly atUnixMs: number }[] }
  | { readonly kind: "collect"; readonly faultUnixMs: number; readonly untilUnixMs: number }
  | { readonly kind: "exercise"; readonly calls: readonly { readonly id: string; readonly exercise: Exercise }[] }
  | { readonly kind: "hang-up" }
  | { readonly kind: "close" };

export interface PutUp {
  readonly id: string;
  readonly failure?: string;
  readonly setUpMs?: number;
  /** The last one it was tried with: each attempt has its own, and its own contact record. */
  readonly callingNumber: string;
  readonly attempts: number;
  readonly sipCallIds: readonly string[];
}

export interface Checked {
  readonly id: string;
  readonly failure?: string;
}

export interface Probed {
  readonly id: string;
  readonly sentUnixMs: number;
  /** From the fault's own clock's view; undefined: no 200 in time. */
  readonly okUnixMs: number | undefined;
  readonly status: number | undefined;
  readonly failure?: string;
}

/** One direction of audio, as its receiver heard it. */
export interface LegHeard {
  readonly leg: "caller" | "agent" | "target";
  /** "127.20.0.10:40312": where the capture finds it. */
  readonly socket: string;
  readonly before: number;
  /** null: it did not come back (JSON knows no Infinity). */
  readonly gapMs: number | null;
  readonly backAfterMs: number | null;
  readonly after: number;
  readonly ssrcs: number;
}

export interface Collected {
  readonly id: string;
  readonly sipCallIds: readonly string[];
  readonly legs: readonly LegHeard[];
  /** Why it no longer stands; undefined while it does. */
  readonly ended?: string;
  readonly endedUnixMs?: number;
  /** Messages from the service to either party between the fault and now, as the phone saw them: the only judge where TLS hides them. */
  readonly heard: readonly { readonly atUnixMs: number; readonly summary: string }[];
}

export interface Exercised {
  readonly id: string;
  readonly exercise: Exercise;
  readonly failure?: string;
  readonly statuses: readonly number[];
  readonly firstAnswerMs?: number;
  readonly beganUnixMs: number;
}

export interface CollectedAll {
  readonly calls: readonly Collected[];
  /** The longest that this process did not run since "watch". */
  readonly ownStallMs: number;
  readonly reconnected: number;
}

export interface PartyAnswers {
  open: { readonly ready: true };
  "put-up": readonly PutUp[];
  check: readonly Checked[];
  eve: readonly Checked[];
  watch: { readonly ready: true };
  probe: readonly Probed[];
  collect: CollectedAll;
  exercise: readonly Exercised[];
  "hang-up": { readonly left: number };
  close: { readonly ready: true };
}

export interface Asked {
  readonly id: number;
  readonly request: PartyRequest;
}

export type Answered =
  | { readonly id: number; readonly ok: true; readonly value: unknown }
  | { readonly id: number; readonly ok: false; readonly message: string };
