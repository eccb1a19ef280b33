import type { CallId, PopHostId, RegionId, TenantId } from "../../../kernel/ids.ts";
import type { CallEvent } from "./contact-event.ts";

/** The end code of a contact whose host died and whose state died with it. */
export const LOST_WITHOUT_STATE = "host.lost-without-state";

/** A record of the region's own: any of a POP takes its place. */
export const isOfRegion = ({ record }: CallEvent): boolean => record?.endCode === LOST_WITHOUT_STATE;

interface Whose {
  readonly contactId: CallId;
  readonly tenantId: TenantId;
  readonly hostId: PopHostId;
  readonly regionId: RegionId;
}

/** The last event of a contact that nobody has any more, of as much as its events tell; numbers and flow are not among that. */
export function closedByRegion(
  events: readonly CallEvent[],
  { contactId, tenantId, hostId, regionId }: Whose,
): CallEvent {
  const arrived = events.find(({ name }) => name === "call.arrived");
  const answered = events.find(({ name }) => name === "call.answered");
  const times = events.map(({ atUnixMs }) => atUnixMs);
  const lastHeardAtUnixMs = Math.max(0, ...times);
  return {
    id: `${contactId}/lost`,
    callId: contactId,
    tenantId,
    sequence: Math.max(-1, ...events.map(({ sequence }) => sequence)) + 1,
    atUnixMs: lastHeardAtUnixMs,
    name: "call.ended",
    fields: { endedBy: "system", endCode: LOST_WITHOUT_STATE },
    record: {
      contactId,
      tenantId,
      regionId,
      popId: "",
      hostId,
      trunkId: arrived?.fields.trunkId ?? "",
      entryPointId: arrived?.fields.entryPointId ?? "",
      flowId: "",
      flowVersion: 0,
      callingNumber: "",
      calledNumber: "",
      arrivedAtUnixMs: arrived?.atUnixMs ?? Math.min(lastHeardAtUnixMs, ...times),
      answeredAtUnixMs: answered?.atUnixMs ?? null,
      endedAtUnixMs: lastHeardAtUnixMs,
      endedBy: "system",
      endCode: LOST_WITHOUT_STATE,
      segments: [],
      media: [],
      reAnchored: 0,
    },
  };
}
