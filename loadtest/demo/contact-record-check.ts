// Is a contact record complete, and does it say one story? Pure.

import { type ContactRecord, RecordSchema } from "./operator.ts";

/** Everything that is wrong with it; an empty list is a complete record. */
export function mistakesOf(record: unknown, segmentKinds: readonly string[]): readonly string[] {
  const parsed = RecordSchema.safeParse(record);
  if (!parsed.success) return parsed.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`);
  const { data } = parsed;
  const empty = Object.entries(data)
    .filter(([, value]) => value === "" || value === null)
    .map(([name]) => `${name} is empty`);
  return [...empty, ...wrongTimes(data), ...wrongSegments(data, segmentKinds)];
}

/** Segments follow one another; only a phone rings while something else goes on. */
function wrongTimes({ arrivedAtUnixMs, answeredAtUnixMs, endedAtUnixMs, segments }: ContactRecord): string[] {
  const wrong: string[] = [];
  if (answeredAtUnixMs !== null && answeredAtUnixMs < arrivedAtUnixMs) wrong.push("answered before it arrived");
  if (endedAtUnixMs < (answeredAtUnixMs ?? arrivedAtUnixMs)) wrong.push("ended before it was answered");
  let freeFromMs = arrivedAtUnixMs;
  for (const { kind, startedAtUnixMs, endedAtUnixMs: endMs } of segments) {
    if (endMs < startedAtUnixMs) wrong.push(`segment ${kind} ends before it begins`);
    if (endMs > endedAtUnixMs) wrong.push(`segment ${kind} outlives the call`);
    if (startedAtUnixMs < freeFromMs) wrong.push(`segment ${kind} begins before the one in front of it is over`);
    if (kind !== "ringing") freeFromMs = endMs;
  }
  return wrong;
}

function wrongSegments({ segments }: ContactRecord, kinds: readonly string[]): string[] {
  const said = segments.map(({ kind }) => kind).join(" → ");
  const wrong = said === kinds.join(" → ") ? [] : [`segments are ${said}, not ${kinds.join(" → ")}`];
  for (const { kind, queueId, agentId, outcome } of segments) {
    if (outcome === "") wrong.push(`segment ${kind} has no outcome`);
    if (kind === "queue" && !queueId) wrong.push("the queue segment names no queue");
    if ((kind === "agent" || kind === "ringing") && !agentId) wrong.push(`the ${kind} segment names no agent`);
  }
  return wrong;
}
