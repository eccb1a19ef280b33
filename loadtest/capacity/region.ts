// One POP host with its region's control plane, etcd and Redis, in a folder of its own, ready for calls at any rate.

import { rmSync } from "node:fs";
import { join } from "node:path";
import { connectRegion } from "../../cli/client/region-client.ts";
import { showOccupied } from "../../cli/up/ports.ts";
import {
  CHECKOUT,
  type RunningRegion,
  type StartRegionOptions,
  showUpFailure,
  startRegion,
  type UpFailure,
} from "../../cli/up/start-region.ts";
import { fail, type Outcome, succeed } from "../../kernel/outcome.ts";
import { Operator } from "../demo/operator.ts";
import { InspectorDoors } from "./inspector.ts";
import { PARTS, type Part } from "./measurements.ts";
import { documents, TENANT, writePrompt } from "./tenant.ts";

const REGION = "eu";
const HOST_ID = "fra-01-a";
export const DATA_DIR = join(CHECKOUT, ".tollgate", "capacity");
const CALLS_CONCURRENT_MAX = 20_000;
const TRY_AGAIN_MS = 2_000;

export interface CapacityRegion {
  readonly running: RunningRegion;
  /** "127.10.1.11:5060" */
  readonly target: string;
  readonly folder: string;
  readonly doors: InspectorDoors;
  /** As they were started: one that is started anew in mid-run has spoilt the run. */
  readonly pids: ReadonlyMap<Part, number>;
  readonly sipMetricsUrl: string;
  readonly popMetricsUrl: string;
  /** Calls that the host has at this moment. */
  callsUp(): Promise<number>;
  /** The same with another of its hosts. @throws Error when it does not run */
  on(hostId: string): CapacityRegion;
}

export interface RegionOptions {
  /** How long to wait for the addresses when somebody else has them: only one region runs on a machine. */
  readonly waitMs: number;
  readonly say: (line: string) => void;
  readonly signal: AbortSignal;
  /** The first is the one that is measured. */
  readonly hosts?: readonly string[];
  readonly configure?: StartRegionOptions["configure"];
}

/** @fails up.*: as startRegion */
export async function startCapacityRegion(options: RegionOptions): Promise<Outcome<CapacityRegion, UpFailure>> {
  const { say, signal, hosts = [HOST_ID], configure = (_, config) => config } = options;
  const promptsDir = join(DATA_DIR, "prompts");
  const doors = new InspectorDoors();
  const deadlineMs = performance.now() + options.waitMs;
  writePrompt(promptsDir);
  for (let waiting = false; ; waiting = true) {
    rmSync(join(DATA_DIR, REGION), { recursive: true, force: true });
    const started = await startRegion({
      region: REGION,
      dataDir: DATA_DIR,
      promptsDir,
      hosts,
      signal,
      configure: (one, config) => configure(one, one.kind === "pop" ? withLimits(config) : config),
      onLog: (entry) => doors.hear(entry.process, entry.event),
    });
    if (started.ok) return ready(started.value, doors, hosts);
    const { failure } = started;
    if (failure.code !== "up.port-in-use" || performance.now() + TRY_AGAIN_MS > deadlineMs) return started;
    const [first] = failure.occupied;
    if (!waiting && first !== undefined) say(`waiting: ${showOccupied(first)}`);
    await new Promise((resolve) => setTimeout(resolve, TRY_AGAIN_MS));
    if (signal.aborted) return fail({ code: "up.interrupted" });
  }
}

async function ready(
  running: RunningRegion,
  doors: InspectorDoors,
  hosts: readonly string[],
): Promise<Outcome<CapacityRegion, UpFailure>> {
  const operator = new Operator(connectRegion(DATA_DIR, REGION), TENANT);
  try {
    await operator.apply(documents(), hosts);
  } catch (error) {
    await running.stop();
    throw error;
  }
  const on = (hostId: string): CapacityRegion => {
    const host = running.addresses.hosts.find((one) => one.hostId === hostId);
    if (host === undefined) throw new Error(`no host ${hostId}`);
    const processes = running.processes().filter(({ name }) => !name.includes("/") || name.startsWith(`${hostId}/`));
    return {
      running,
      target: `${host.address}:${host.sipPort}`,
      folder: join(running.addresses.dataDir, "sipp"),
      doors,
      pids: new Map(
        processes.flatMap(({ name, pid }) => {
          const part = partOf(name);
          return part === undefined || pid === undefined ? [] : [[part, pid] as const];
        }),
      ),
      sipMetricsUrl: `${host.sipHttpUrl}/metrics`,
      popMetricsUrl: `${host.popUrl}/metrics`,
      callsUp: async () => (await operator.calls(hostId)).length,
      on,
    };
  };
  return succeed(on(hosts[0] ?? HOST_ID));
}

/** "fra-01-a/pop" → "pop" */
export const partOf = (name: string): Part | undefined => PARTS.find((part) => part === name.split("/").at(-1));

function withLimits(config: object): object {
  const limits = "limits" in config && typeof config.limits === "object" ? config.limits : {};
  return { ...config, limits: { ...limits, callsConcurrentMax: CALLS_CONCURRENT_MAX } };
}

export { showUpFailure };
