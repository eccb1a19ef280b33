// What a call costs that is simply up: memory of each process for it, and CPU time for each second of it.

import type { Inspected } from "./inspector.ts";
import { type Held, type HeldPart, PARTS, type Part, type ProfileName, perPart } from "./measurements.ts";
import { look, usedBetween } from "./process-usage.ts";
import type { CapacityRegion } from "./region.ts";
import { RunningTraffic, until, untilNoneIsUp } from "./run-step.ts";

const RAMP_CALLS_PER_SECOND_MAX = 50;
const SETTLE_MS = 2_000;
const WATCH_MS = 3_000;
/** For the looks themselves, garbage collections included. */
const LOOK_MS = 3_000;
const NODE_PARTS: readonly Part[] = ["sip-server", "pop", "media-worker", "control-plane"];

export async function holdCalls(
  region: CapacityRegion,
  profile: ProfileName,
  calls: number,
  started: (traffic: RunningTraffic) => void,
): Promise<Held> {
  const pids = region.pids;
  const doors = new Map<Part, Inspected>();
  for (const part of NODE_PARTS) {
    const { name, pid } = region.running.processes().find(({ name }) => name.split("/").at(-1) === part) ?? {};
    if (name !== undefined && pid !== undefined) doors.set(part, await region.doors.open(name, pid));
  }
  const before = await memory(pids, doors);

  const callsPerSecond = Math.min(RAMP_CALLS_PER_SECOND_MAX, calls);
  const rampMs = (calls / callsPerSecond) * 1_000;
  const holdMs = rampMs + SETTLE_MS + WATCH_MS + LOOK_MS;
  const traffic = await RunningTraffic.start(region, { profile, calls, callsPerSecond, holdMs, lastsMs: rampMs });
  started(traffic);
  await until(traffic.startedAtMs + rampMs + SETTLE_MS);
  const from = look(pids);
  await until(traffic.startedAtMs + rampMs + SETTLE_MS + WATCH_MS);
  const used = usedBetween(from, look(pids));
  const up = await region.callsUp();
  const after = await memory(pids, doors);
  await traffic.results();
  await untilNoneIsUp(region);
  for (const door of doors.values()) await door.close();

  const each = (bytes: number) => bytes / Math.max(1, up);
  const partOf = (part: Part): HeldPart => {
    const [was, is] = [before.get(part), after.get(part)];
    const live = was?.liveBytes === undefined || is?.liveBytes === undefined ? undefined : is.liveBytes - was.liveBytes;
    const [rssBeforeBytes, rssBytes] = [was?.rssBytes ?? 0, is?.rssBytes ?? 0];
    return {
      rssBeforeBytes,
      rssBytes,
      rssBytesPerCall: each(rssBytes - rssBeforeBytes),
      liveBytesPerCall: live === undefined ? undefined : each(live),
    };
  };
  return {
    calls,
    up,
    parts: Object.fromEntries(PARTS.map((part) => [part, partOf(part)])) as unknown as Held["parts"],
    cpuMsPerCallSecond: perPart((part) => (each(used.cpuMs.get(part) ?? 0) * 1_000) / used.wallMs),
  };
}

interface Memory {
  readonly rssBytes: number;
  readonly liveBytes: number | undefined;
}

/** After a garbage collection where there is one to ask for: what was left lying about is not what calls need. */
async function memory(
  pids: ReadonlyMap<Part, number>,
  doors: ReadonlyMap<Part, Inspected>,
): Promise<ReadonlyMap<Part, Memory>> {
  const live = new Map<Part, number>();
  for (const [part, door] of doors) {
    await door.collectGarbage();
    live.set(part, await door.liveBytes());
  }
  const { processes } = look(pids);
  return new Map(
    [...pids.keys()].map((part) => [part, { rssBytes: processes.get(part)?.rssBytes ?? 0, liveBytes: live.get(part) }]),
  );
}
