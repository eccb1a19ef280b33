// The core's events → call_events.v1. An undefined time is 0 on the wire, an undefined id is empty.

import {
  EndedBy,
  SegmentKind,
  type CallEvent as WireEvent,
  type ContactRecord as WireRecord,
} from "../../../proto/gen/call_events/v1/call_events.ts";
import type { CallEvent, ContactRecord } from "../../core/call/contact-record.ts";

const ENDED_BY = {
  caller: EndedBy.ENDED_BY_CALLER,
  agent: EndedBy.ENDED_BY_AGENT,
  flow: EndedBy.ENDED_BY_FLOW,
  system: EndedBy.ENDED_BY_SYSTEM,
} as const;

const SEGMENT_KINDS = {
  flow: SegmentKind.SEGMENT_KIND_FLOW,
  queue: SegmentKind.SEGMENT_KIND_QUEUE,
  ringing: SegmentKind.SEGMENT_KIND_RINGING,
  agent: SegmentKind.SEGMENT_KIND_AGENT,
  transfer: SegmentKind.SEGMENT_KIND_TRANSFER,
} as const;

/** int64 fields take whole numbers only. */
const whole = (unixMs: number): number => Math.round(unixMs);

export const eventToWire = (event: CallEvent): WireEvent => ({
  id: event.id,
  callId: event.callId,
  tenantId: event.tenantId,
  sequence: event.sequence,
  atUnixMs: whole(event.atUnixMs),
  name: event.name,
  fields: { ...event.fields },
  record: event.record === undefined ? undefined : recordToWire(event.record),
});

const recordToWire = (record: ContactRecord): WireRecord => ({
  contactId: record.contactId,
  tenantId: record.tenantId,
  regionId: record.regionId,
  popId: record.popId,
  hostId: record.hostId,
  trunkId: record.trunkId,
  entryPointId: record.entryPointId,
  flowId: record.flowId,
  flowVersion: record.flowVersion,
  callingNumber: record.callingNumber,
  calledNumber: record.calledNumber,
  arrivedAtUnixMs: whole(record.arrivedAtUnixMs),
  answeredAtUnixMs: whole(record.answeredAtUnixMs ?? 0),
  endedAtUnixMs: whole(record.endedAtUnixMs),
  endedBy: ENDED_BY[record.endedBy],
  endCode: record.endCode,
  segments: record.segments.map((segment) => ({
    kind: SEGMENT_KINDS[segment.kind],
    startedAtUnixMs: whole(segment.startedAtUnixMs),
    endedAtUnixMs: whole(segment.endedAtUnixMs),
    queueId: segment.queueId ?? "",
    agentId: segment.agentId ?? "",
    outcome: segment.outcome,
  })),
  media: record.media.map((leg) => ({ ...leg })),
  reAnchored: whole(record.reAnchored ?? 0), // absent in what an older process has left on disk
});
