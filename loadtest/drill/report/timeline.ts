// What the system itself said around the fault, in order; and the moments that have a name in every takeover.

import type { SystemEvent } from "../systems/system-under-test.ts";
import type { TimelineEntry } from "./drill-report.ts";

/** By the event's name; the first that matches counts. */
const MILESTONES: readonly { readonly name: string; readonly event: string }[] = [
  { name: "detected", event: "takeover.began" },
  { name: "detected", event: "process.restarting" },
  { name: "epoch taken", event: "service.claimed" },
  { name: "address taken", event: "address.taken" },
  { name: "service complete", event: "takeover.complete" },
];
/** What the survivor says at the end: which of its processes served when. */
const COMPLETE = "takeover.complete";
const PARTS = ["rtpengine", "media-worker", "sip-server", "pop"] as const;
const ENTRIES_MAX = 400;
const DETAIL_CHARACTERS_MAX = 160;
const NOISE = /^(http|grpc|link\.ping|call\.)|^process\.(ready|starting)$/;

export function timelineOf(
  events: readonly SystemEvent[],
  faultAtUnixMs: number,
  untilUnixMs: number,
): { readonly timeline: TimelineEntry[]; readonly milestones: Record<string, number> } {
  const milestones: Record<string, number> = {};
  const timeline: TimelineEntry[] = [];
  const chosen = events
    .filter(
      ({ atUnixMs, level, event }) =>
        atUnixMs >= faultAtUnixMs && atUnixMs <= untilUnixMs && level !== "debug" && !NOISE.test(event),
    )
    .sort((a, b) => a.atUnixMs - b.atUnixMs);
  for (const { atUnixMs, event, process, fields } of chosen) {
    const afterMs = atUnixMs - faultAtUnixMs;
    const milestone = MILESTONES.find((one) => one.event === event)?.name;
    const isFirst = milestone !== undefined && milestones[milestone] === undefined;
    if (isFirst) milestones[milestone] = afterMs;
    if (isFirst && event === COMPLETE) Object.assign(milestones, partsServing(fields, afterMs));
    if (timeline.length >= ENTRIES_MAX) continue;
    timeline.push({
      afterMs,
      where: process,
      what: event.slice(0, DETAIL_CHARACTERS_MAX),
      detail: detailOf(fields),
      ...(isFirst ? { milestone } : {}),
    });
  }
  return { timeline, milestones };
}

/** Their times count from when the former owner was heard last; the last of them is now. */
function partsServing(fields: Readonly<Record<string, unknown>>, completeMs: number): Record<string, number> {
  const served = PARTS.flatMap((part) => {
    const atMs = fields[part];
    return typeof atMs === "number" ? [{ part, atMs }] : [];
  });
  const last = Math.max(...served.map(({ atMs }) => atMs));
  return Object.fromEntries(served.map(({ part, atMs }) => [`${part} serves`, Math.round(completeMs - last + atMs)]));
}

const detailOf = (fields: Readonly<Record<string, unknown>>): string =>
  Object.entries(fields)
    .filter(([key]) => key !== "hostId" && key !== "process")
    .map(([key, value]) => `${key}=${typeof value === "object" ? JSON.stringify(value) : String(value)}`)
    .join(" ")
    .slice(0, DETAIL_CHARACTERS_MAX);
