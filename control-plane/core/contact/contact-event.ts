// What POP hosts report about contacts. Row R1.

import type { CallId, TenantId } from "../../../kernel/ids.ts";
import type { UnixMs } from "../../../kernel/units.ts";

export interface CallEvent {
  /** The same event always has the same id. */
  readonly id: string;
  readonly callId: CallId;
  readonly tenantId: TenantId;
  readonly sequence: number;
  readonly atUnixMs: UnixMs;
  /** "call.arrived", "queue.joined" … */
  readonly name: string;
  readonly fields: Readonly<Record<string, string>>;
  /** Only with "call.ended". */
  readonly record?: ContactRecord;
}

export interface ContactRecord {
  readonly contactId: CallId;
  readonly tenantId: TenantId;
  readonly regionId: string;
  readonly popId: string;
  readonly hostId: string;
  readonly trunkId: string;
  readonly entryPointId: string;
  readonly flowId: string;
  readonly flowVersion: number;
  readonly callingNumber: string;
  readonly calledNumber: string;
  readonly arrivedAtUnixMs: UnixMs;
  /** Null: never answered. */
  readonly answeredAtUnixMs: UnixMs | null;
  readonly endedAtUnixMs: UnixMs;
  readonly endedBy: "unknown" | "caller" | "agent" | "flow" | "system";
  readonly endCode: string;
  readonly segments: readonly Segment[];
  readonly media: readonly MediaLeg[];
  /** How often its media was given a new place by re-INVITE. */
  readonly reAnchored: number;
}

export interface Segment {
  readonly kind: "unknown" | "flow" | "queue" | "ringing" | "agent" | "transfer";
  readonly startedAtUnixMs: UnixMs;
  readonly endedAtUnixMs: UnixMs;
  readonly queueId: string;
  readonly agentId: string;
  readonly outcome: string;
}

export interface MediaLeg {
  readonly leg: string;
  readonly localAddress: string;
  readonly remoteAddress: string;
  readonly codec: string;
}
