// What the system itself said around the fault, in order; and the moments that have a name in every takeover.

import type { SystemEvent } from "../systems/system-under-test.ts";
import type { TimelineEntry } from "./drill-report.ts";

/** By the event's name; the first that matches counts. */
const MILESTONES: readonly { readonly name: string; readonly event: RegExp }[] = [
  { name: "detected", event: /^(keeper\.)?(twin\.(died|dead|silent|lost)|twin-(died|dead|silent|lost|unheard))/ },
  { name: "epoch taken", event: /(epoch|ownership|owner|service)[.-](taken|won|changed|owned)/ },
  { name: "address taken", event: /address[.-](taken|moved)/ },
  { name: "SIP server has its dialogs", event: /(sip|dialogs?|book|checkpoint)[.-](restored|taken-up|resumed)/ },
  { name: "calls taken up", event: /calls[.-](restored|resumed|taken-up)/ },
  { name: "serving", event: /(keeper|service|takeover)[.-](serving|done|complete)|^serving$/ },
];
const ENTRIES_MAX = 400;
const DETAIL_CHARACTERS_MAX = 160;
const NOISE = /^(http|grpc|link\.ping)|^process\.(ready|starting)$/;

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
    const milestone = MILESTONES.find((one) => one.event.test(event))?.name;
    const isFirst = milestone !== undefined && milestones[milestone] === undefined;
    if (isFirst) milestones[milestone] = afterMs;
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

const detailOf = (fields: Readonly<Record<string, unknown>>): string =>
  Object.entries(fields)
    .filter(([key]) => key !== "hostId" && key !== "process")
    .map(([key, value]) => `${key}=${typeof value === "object" ? JSON.stringify(value) : String(value)}`)
    .join(" ")
    .slice(0, DETAIL_CHARACTERS_MAX);
