// What a drill has measured, whole and raw: report.json. The text and the page are drawn from it, and can be again.

import type { Network } from "../drill-file.ts";
import type { ClassName, Exercise } from "../load-classes.ts";
import type { SetUps } from "../wire/set-ups.ts";
import type { UnaskedMessage } from "../wire/unasked.ts";

export interface LegReport {
  readonly leg: "caller" | "agent" | "target";
  readonly socket: string;
  /** Packets in the second before the fault; the direction counts from 40. */
  readonly packetsBefore: number;
  /** By the kernel's time of each packet; null: no audio came back. Absent: not captured. */
  readonly gapMs?: number | null;
  /** From the fault to the first packet after the gap. */
  readonly backAfterMs?: number | null;
  /** The same as the receiving process saw it, its own stalls in it. */
  readonly probeGapMs: number | null;
  readonly ssrcs: number;
}

export interface CallReport {
  readonly id: string;
  readonly className: ClassName;
  readonly lane: number;
  readonly callingNumber: string;
  readonly setUpMs?: number;
  /** Why it did not stand before the fault: such a call has shown nothing. */
  readonly notUp?: string;
  /** It stood at the end of the watch, and audio that came before came again. */
  readonly survived: boolean;
  readonly lostBecause?: string;
  readonly endedAfterMs?: number;
  readonly legs: readonly LegReport[];
  readonly exercise?: Exercise;
  readonly exerciseFailure?: string;
  readonly statuses: readonly number[];
  readonly firstAnswerMs?: number;
  /** Messages from the service that nobody had caused. */
  readonly unasked: number;
  readonly reanchored: number;
  readonly records: number;
}

export interface Spread {
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

export interface ClassReport {
  readonly className: ClassName;
  readonly title: string;
  readonly confirmed: boolean;
  readonly planned: number;
  readonly up: number;
  readonly survived: number;
  readonly survivalPercent: number;
  readonly exercised: number;
  readonly exercisedWell: number;
  readonly unasked: number;
  readonly reanchored: number;
  /** Of directions that had audio before the fault, in calls that survived. */
  readonly gap: Spread | undefined;
  /** What the system cannot do; then nothing was put up. */
  readonly cannot?: string;
  readonly expectedLoss?: string;
}

export interface TimelineEntry {
  readonly afterMs: number;
  readonly where: string;
  readonly what: string;
  readonly detail: string;
  /** A milestone has a name of ours: "detected", "epoch taken". */
  readonly milestone?: string;
}

export interface LimitVerdict {
  readonly name: string;
  readonly limit: string;
  readonly measured: string;
  readonly ok: boolean;
}

export interface DrillReport {
  readonly version: 1;
  readonly drill: string;
  readonly purpose: string;
  readonly system: string;
  readonly network: Network;
  readonly service: string;
  readonly startedAtUnixMs: number;
  readonly lastedMs: number;
  readonly machine: {
    readonly cpus: number;
    readonly model: string;
    readonly kernel: string;
    readonly node: string;
    readonly loadAverage: number;
  };
  readonly verdict: "passed" | "failed" | "aborted";
  readonly aborted?: string;
  readonly phases: readonly {
    readonly name: string;
    readonly atMs: number;
    readonly lastedMs: number;
    readonly said: string;
  }[];
  readonly fault: {
    readonly atUnixMs: number;
    readonly steps: readonly {
      readonly afterMs: number;
      readonly what: string;
      readonly processes: number;
      readonly failure?: string;
    }[];
  };
  readonly milestones: Readonly<Record<string, number>>;
  readonly timeline: readonly TimelineEntry[];
  readonly probes: {
    readonly sent: readonly {
      readonly afterMs: number;
      readonly okAfterMs: number | null;
      readonly status?: number;
      readonly failure?: string;
    }[];
    readonly firstInDialogMs: number | null;
  };
  readonly classes: readonly ClassReport[];
  /** Of calls whose media simply went on. */
  readonly gap: Spread | undefined;
  /** Of calls with a leg that was anchored anew by re-INVITE: told apart. */
  readonly gapReanchored: Spread | undefined;
  readonly calls: readonly CallReport[];
  readonly wire: {
    readonly sip:
      | {
          readonly file: string;
          readonly packets: number;
          readonly dropped: number;
          readonly messages: number;
          readonly unread: number;
        }
      | undefined;
    readonly media: { readonly file: string; readonly packets: number; readonly dropped: number } | undefined;
    readonly unasked: readonly UnaskedMessage[];
    readonly reanchored: readonly UnaskedMessage[];
    /** Ours after the fault to no call of the mix. */
    readonly strange: number;
    /** Every SIP message and RTP packet from the service address after the fault, until the exercises. */
    readonly spoken: number;
  };
  readonly setUps?: SetUps;
  /** Of the bulk load: stood through the fault, and ended by their callers. */
  readonly held?: { readonly calls: number; readonly endedWell: number };
  /** Dialled after everything else, each once: is anybody there for new callers? undefined: the mix has no prompt to call. */
  readonly newCalls: { readonly asked: number; readonly served: number } | undefined;
  /** The longest that a party process did not run between fault and end of watch: nothing is subtracted for it. */
  readonly ownStallMs: readonly number[];
  readonly reconnected: number;
  readonly leftovers: { readonly counts: Readonly<Record<string, number>>; readonly unknown: readonly string[] };
  readonly records:
    | { readonly wanted: number; readonly one: number; readonly none: number; readonly several: number }
    | undefined;
  readonly limits: readonly LimitVerdict[];
  readonly expectedLoss: readonly { readonly classes: readonly string[]; readonly because: string }[];
  readonly rollBack: readonly string[];
}
