// call_events.v1 to our words.

import { asId } from "../../../../kernel/ids.ts";
import {
  type CallEvent as CallEventWire,
  type ContactRecord as ContactRecordWire,
  EndedBy,
  SegmentKind,
} from "../../../../proto/gen/call_events/v1/call_events.ts";
import type { CallEvent, ContactRecord, Segment } from "../../../core/contact/contact-event.ts";

const ENDED_BY: Readonly<Record<number, ContactRecord["endedBy"]>> = {
  [EndedBy.ENDED_BY_CALLER]: "caller",
  [EndedBy.ENDED_BY_AGENT]: "agent",
  [EndedBy.ENDED_BY_FLOW]: "flow",
  [EndedBy.ENDED_BY_SYSTEM]: "system",
};

const SEGMENT: Readonly<Record<number, Segment["kind"]>> = {
  [SegmentKind.SEGMENT_KIND_FLOW]: "flow",
  [SegmentKind.SEGMENT_KIND_QUEUE]: "queue",
  [SegmentKind.SEGMENT_KIND_RINGING]: "ringing",
  [SegmentKind.SEGMENT_KIND_AGENT]: "agent",
  [SegmentKind.SEGMENT_KIND_TRANSFER]: "transfer",
};

/** Undefined: without id or call it can neither be kept nor be told from another. */
export function eventFromWire(wire: CallEventWire): CallEvent | undefined {
  if (!wire.id || !wire.callId) return undefined;
  return {
    id: wire.id,
    callId: asId<"call">(wire.callId),
    tenantId: asId<"tenant">(wire.tenantId ?? ""),
    sequence: wire.sequence ?? 0,
    atUnixMs: wire.atUnixMs ?? 0,
    name: wire.name ?? "",
    fields: wire.fields,
    ...(wire.record ? { record: recordFromWire(wire.record) } : {}),
  };
}

const recordFromWire = (wire: ContactRecordWire): ContactRecord => ({
  contactId: asId<"call">(wire.contactId ?? ""),
  tenantId: asId<"tenant">(wire.tenantId ?? ""),
  regionId: wire.regionId ?? "",
  popId: wire.popId ?? "",
  hostId: wire.hostId ?? "",
  trunkId: wire.trunkId ?? "",
  entryPointId: wire.entryPointId ?? "",
  flowId: wire.flowId ?? "",
  flowVersion: wire.flowVersion ?? 0,
  callingNumber: wire.callingNumber ?? "",
  calledNumber: wire.calledNumber ?? "",
  arrivedAtUnixMs: wire.arrivedAtUnixMs ?? 0,
  answeredAtUnixMs: wire.answeredAtUnixMs ? wire.answeredAtUnixMs : null,
  endedAtUnixMs: wire.endedAtUnixMs ?? 0,
  endedBy: ENDED_BY[wire.endedBy ?? 0] ?? "unknown",
  endCode: wire.endCode ?? "",
  segments: wire.segments.map((segment) => ({
    kind: SEGMENT[segment.kind ?? 0] ?? "unknown",
    startedAtUnixMs: segment.startedAtUnixMs ?? 0,
    endedAtUnixMs: segment.endedAtUnixMs ?? 0,
    queueId: segment.queueId ?? "",
    agentId: segment.agentId ?? "",
    outcome: segment.outcome ?? "",
  })),
  media: wire.media.map((leg) => ({
    leg: leg.leg ?? "",
    localAddress: leg.localAddress ?? "",
    remoteAddress: leg.remoteAddress ?? "",
    codec: leg.codec ?? "",
  })),
  reAnchored: wire.reAnchored ?? 0,
});
