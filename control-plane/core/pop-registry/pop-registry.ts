// What the region knows of a POP host, and what it should be sent next. Values and one step; the streams are boundary/pop-links.ts.

import type { CallId, PopHostId, PopId } from "../../../kernel/ids.ts";
import { impossible, type Step } from "../../../kernel/step.ts";
import type { UnixMs } from "../../../kernel/units.ts";

/** What a POP host tells its region. */
export type Report =
  | {
      readonly kind: "hello";
      readonly popId: PopId;
      readonly hostId: PopHostId;
      /** 0: none. */
      readonly appliedVersion: number;
      readonly softwareVersion: string;
      /** Of the owner of the host's service; see HostEpochs. */
      readonly epoch: number;
      /** Calls that the host has; undefined: it does not say. */
      readonly held: readonly CallId[] | undefined;
    }
  | { readonly kind: "applied"; readonly version: number }
  | { readonly kind: "refused"; readonly version: number; readonly mistakes: readonly SnapshotMistake[] }
  | { readonly kind: "presence"; readonly calls: number; readonly draining: boolean; readonly atUnixMs: UnixMs }
  | { readonly kind: "command-done"; readonly commandId: string; readonly done: boolean; readonly reason: string };

export interface SnapshotMistake {
  readonly path: string;
  readonly message: string;
}

export type PopCommand =
  | { readonly kind: "hang-up"; readonly callId: CallId }
  | { readonly kind: "drain"; readonly on: boolean };

/** What is known of a host. */
export interface HostRecord {
  readonly hostId: PopHostId;
  readonly popId: PopId;
  readonly softwareVersion: string;
  readonly link: { readonly name: "linked" | "lost"; readonly sinceUnixMs: UnixMs };
  readonly appliedVersion: number;
  /** Sent and not answered yet; at most one. */
  readonly outstandingVersion: number | null;
  readonly refused: {
    readonly version: number;
    readonly atUnixMs: UnixMs;
    readonly mistakes: readonly SnapshotMistake[];
  } | null;
  readonly presence: { readonly calls: number; readonly draining: boolean; readonly atUnixMs: UnixMs } | null;
}

export type HostInput =
  | { readonly kind: "report"; readonly report: Exclude<Report, { kind: "hello" | "command-done" }> }
  /** A newer snapshot exists. */
  | { readonly kind: "newest" }
  | { readonly kind: "lost" };

/** The number of the snapshot to send now. */
export interface SendSnapshot {
  readonly kind: "send-snapshot";
  readonly version: number;
}

export const hostLinked = (
  hello: Extract<Report, { kind: "hello" }>,
  before: HostRecord | undefined,
  atUnixMs: UnixMs,
): HostRecord => ({
  hostId: hello.hostId,
  popId: hello.popId,
  softwareVersion: hello.softwareVersion,
  link: { name: "linked", sinceUnixMs: atUnixMs },
  appliedVersion: hello.appliedVersion,
  outstandingVersion: null,
  refused: null, // a new link is a new try, perhaps of a newer release
  presence: before?.presence ?? null,
});

/** One input; then the newest snapshot goes out unless one is outstanding, applied, or was refused. */
export function stepHost(
  host: HostRecord,
  input: HostInput,
  newestVersion: number,
  atUnixMs: UnixMs,
): Step<HostRecord, SendSnapshot> {
  const heard = hear(host, input, atUnixMs);
  const answered = Math.max(heard.appliedVersion, heard.refused?.version ?? 0);
  if (heard.link.name === "lost" || heard.outstandingVersion !== null || newestVersion <= answered)
    return { state: heard, effects: [] };
  return {
    state: { ...heard, outstandingVersion: newestVersion },
    effects: [{ kind: "send-snapshot", version: newestVersion }],
  };
}

function hear(host: HostRecord, input: HostInput, atUnixMs: UnixMs): HostRecord {
  switch (input.kind) {
    case "newest":
      return host;
    case "lost":
      return { ...host, link: { name: "lost", sinceUnixMs: atUnixMs }, outstandingVersion: null };
    case "report": {
      const { report } = input;
      switch (report.kind) {
        case "applied":
          // Applied versions never go back: an answer to a snapshot of a former link is late, not news.
          return {
            ...host,
            appliedVersion: Math.max(host.appliedVersion, report.version),
            outstandingVersion: settled(host, report.version),
            refused: host.refused && host.refused.version <= report.version ? null : host.refused,
          };
        case "refused": {
          const { version, mistakes } = report;
          return { ...host, outstandingVersion: settled(host, version), refused: { version, atUnixMs, mistakes } };
        }
        case "presence": {
          const { calls, draining } = report;
          return { ...host, presence: { calls, draining, atUnixMs } };
        }
        default:
          return impossible(report);
      }
    }
    default:
      return impossible(input);
  }
}

const settled = (host: HostRecord, version: number): number | null =>
  host.outstandingVersion === version ? null : host.outstandingVersion;
