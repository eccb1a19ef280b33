// What remains of a call: exactly one record each. The events on the way there have the same sequence numbers whoever sends them.

import type {
  AgentId,
  CallId,
  EntryPointId,
  FlowId,
  PopHostId,
  PopId,
  QueueId,
  RegionId,
  TenantId,
  TrunkId,
} from "../../../kernel/ids.ts";
import type { UnixMs } from "../../../kernel/units.ts";

export interface CallEvent {
  /** "<call id>/<sequence>", and "<call id>/record" of the one with the record: the same event always has the same id. */
  readonly id: string;
  readonly callId: CallId;
  readonly tenantId: TenantId;
  readonly sequence: number;
  readonly atUnixMs: UnixMs;
  /** Past tense: "call.arrived", "flow.entered", "queue.joined", "agent.answered", "call.ended". */
  readonly name: string;
  readonly fields: Readonly<Record<string, string>>;
  /** Only with "call.ended". */
  readonly record: ContactRecord | undefined;
}

export interface ContactRecord {
  readonly contactId: CallId;
  readonly tenantId: TenantId;
  readonly regionId: RegionId;
  readonly popId: PopId;
  readonly hostId: PopHostId;
  readonly trunkId: TrunkId;
  readonly entryPointId: EntryPointId;
  readonly flowId: FlowId;
  readonly flowVersion: number;
  readonly callingNumber: string;
  readonly calledNumber: string;
  readonly arrivedAtUnixMs: UnixMs;
  /** undefined: never answered. */
  readonly answeredAtUnixMs: UnixMs | undefined;
  readonly endedAtUnixMs: UnixMs;
  readonly endedBy: EndedBy;
  /** "normal", "abandoned", or a failure code. */
  readonly endCode: string;
  readonly segments: readonly Segment[];
  readonly media: readonly MediaLegRecord[];
  /** How often its media was given a new place by re-INVITE, since the relay had lost it: 0 almost always. */
  readonly reAnchored: number;
}

export type EndedBy = "caller" | "agent" | "flow" | "system";

export interface Segment {
  readonly kind: "flow" | "queue" | "ringing" | "agent" | "transfer";
  readonly startedAtUnixMs: UnixMs;
  readonly endedAtUnixMs: UnixMs;
  readonly queueId: QueueId | undefined;
  readonly agentId: AgentId | undefined;
  /** "ended", "answered", "rejected", "no-answer", "unreachable", "abandoned" … */
  readonly outcome: string;
}

export interface MediaLegRecord {
  readonly leg: "caller" | "agent" | "number";
  /** "127.10.1.11:30012" */
  readonly localAddress: string;
  readonly remoteAddress: string;
  readonly codec: string;
}
