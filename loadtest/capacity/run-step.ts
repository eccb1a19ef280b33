// One rate for some seconds: SIPp calls, and on the bridge SIPp answers too; looks at /proc frame the warm-up and the rest.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { holderOf } from "../../cli/up/ports.ts";
import { eventually } from "../demo/operator.ts";
import { type RunningSipp, type SippResult, startSipp } from "../sipp/run-sipp.ts";
import { percentiles } from "../sipp/sipp-statistics.ts";
import { type Part, type ProfileName, perPart, type Span, type Step } from "./measurements.ts";
import { type Look, look, usedBetween } from "./process-usage.ts";
import type { CapacityRegion } from "./region.ts";
import { CALLER_HOST, FAR_HOST, NUMBERS } from "./tenant.ts";
import { readTimedResponses, type TimedResponse } from "./timed-responses.ts";

const SCENARIOS = join(import.meta.dirname, "scenarios");
const CALLER = "caller-holds-then-hangs-up";
const FAR_END = "carrier-answers-and-is-released";
const SOCKET_BUFFER_BYTES = 4_194_304;
/** What calls have to end after the last one began, before they count as failed. */
const TAIL_MS = 10_000;
const FAR_END_TAIL_MS = 2_000;
const ALL_GONE_MS_MAX = 5_000;

export interface Traffic {
  readonly profile: ProfileName;
  readonly callsPerSecond: number;
  readonly calls: number;
  readonly holdMs: number;
  /** Of the calls' beginnings. */
  readonly lastsMs: number;
}

/** SIPp at work on both sides. Whoever started it stops it. */
export class RunningTraffic {
  readonly caller: RunningSipp;
  readonly farEnd: RunningSipp | undefined;
  readonly startedAtMs: number;

  private constructor(caller: RunningSipp, farEnd: RunningSipp | undefined) {
    this.caller = caller;
    this.farEnd = farEnd;
    this.startedAtMs = performance.now();
  }

  static async start({ target, folder }: CapacityRegion, traffic: Traffic): Promise<RunningTraffic> {
    const { profile, calls, callsPerSecond, holdMs, lastsMs } = traffic;
    const withinMs = lastsMs + holdMs + TAIL_MS;
    const common = { calls, callsPerSecond, folder, localPort: 5060, socketBufferBytes: SOCKET_BUFFER_BYTES };
    let farEnd: RunningSipp | undefined;
    if (profile === "bridge") {
      const scenario = join(SCENARIOS, `${FAR_END}.xml`);
      farEnd = startSipp({
        ...common,
        ...{ scenario, target, localHost: FAR_HOST, calledNumber: "nobody" },
        withinMs: withinMs + FAR_END_TAIL_MS,
      });
      await eventually("the far end listens", 5_000, async () =>
        holderOf({ transport: "udp", host: FAR_HOST, port: 5060, what: "" }),
      );
    }
    const scenario = join(SCENARIOS, `${CALLER}.xml`);
    const caller = startSipp({
      ...common,
      ...{ scenario, target, localHost: CALLER_HOST, calledNumber: NUMBERS[profile], holdMs, withinMs },
    });
    return new RunningTraffic(caller, farEnd);
  }

  /** The caller's process, and the far end's. */
  pids(): ReadonlyMap<string, number> {
    return new Map([
      ["sipp caller", this.caller.pid],
      ...(this.farEnd === undefined ? [] : [["sipp far end", this.farEnd.pid] as const]),
    ]);
  }

  async results(): Promise<{ caller: SippResult; farEnd: SippResult | undefined }> {
    const caller = await this.caller.result;
    if (this.farEnd === undefined) return { caller, farEnd: undefined };
    // It ends by itself when it has seen every call; when it has not, these are what it saw.
    const timer = setTimeout(() => this.farEnd?.stop(), FAR_END_TAIL_MS);
    const farEnd = await this.farEnd.result;
    clearTimeout(timer);
    return { caller, farEnd };
  }

  stop(): void {
    this.caller.stop();
    this.farEnd?.stop();
  }
}

export interface StepPlan {
  readonly profile: ProfileName;
  readonly callsPerSecond: number;
  readonly seconds: number;
  readonly warmUpSeconds: number;
  readonly holdMs: number;
}

/** @param during called when the warm-up is over, and awaited: for what is to be looked at under load */
export async function runStep(
  region: CapacityRegion,
  plan: StepPlan,
  started: (traffic: RunningTraffic) => void,
  during: () => Promise<void> = async () => {},
): Promise<Step> {
  const { profile, callsPerSecond, seconds, warmUpSeconds, holdMs } = plan;
  const calls = Math.round(callsPerSecond * seconds);
  const traffic = await RunningTraffic.start(region, {
    profile,
    callsPerSecond,
    calls,
    holdMs,
    lastsMs: seconds * 1_000,
  });
  started(traffic);
  const pids = new Map<string, number>([...region.pids, ...traffic.pids()]);
  const { startedAtMs } = traffic;
  const looks = [look(pids)];
  await until(startedAtMs + warmUpSeconds * 1_000);
  looks.push(look(pids));
  await during();
  await until(startedAtMs + seconds * 1_000);
  looks.push(look(pids));
  const { caller, farEnd } = await traffic.results();
  const leftUp = await untilNoneIsUp(region);

  const responses = responsesOf(caller.folder, CALLER);
  const [first, second, third] = looks as [Look, Look, Look];
  return {
    callsPerSecond,
    calls,
    successful: caller.successful,
    failed: caller.failed,
    failures: caller.failures,
    bridged: farEnd?.successful,
    retransmissions: caller.retransmissions + (farEnd?.retransmissions ?? 0),
    leftUp,
    warmUp: spanOf(first, second, startedAtMs, responses),
    steady: spanOf(second, third, startedAtMs, responses),
  };
}

/** Waits for the host to have no call; how many it still has when that takes too long. */
export async function untilNoneIsUp(region: CapacityRegion): Promise<number> {
  let up = 0;
  try {
    await eventually("no call left", ALL_GONE_MS_MAX, async () => {
      up = await region.callsUp();
      return up === 0 ? true : undefined;
    });
  } catch {
    return Math.max(1, up);
  }
  return 0;
}

function spanOf(from: Look, to: Look, startedAtMs: number, responses: readonly TimedResponse[]): Span {
  const used = usedBetween(from, to);
  const [fromMs, toMs] = [from.atMs - startedAtMs, to.atMs - startedAtMs];
  const within = responses.filter(({ atMs }) => atMs >= fromMs && atMs < toMs);
  const cpuMs = (name: string) => used.cpuMs.get(name) ?? 0;
  return {
    seconds: used.wallMs / 1_000,
    answered: within.length,
    setUp: percentiles(within.map(({ tookMs }) => tookMs)),
    cpuMsPerCall: perPart((part: Part) => cpuMs(part) / Math.max(1, within.length)),
    sippShare: Math.max(cpuMs("sipp caller"), cpuMs("sipp far end")) / used.wallMs,
    busyShare: used.busyShare,
    restShare: used.restShare,
    stolenShare: used.stolenShare,
  };
}

function responsesOf(folder: string, scenario: string): readonly TimedResponse[] {
  const files = readdirSync(folder).filter((file) => file.startsWith(`${scenario}_`) && file.endsWith("_rtt.csv"));
  return files.flatMap((file) => readTimedResponses(readFileSync(join(folder, file), "latin1")));
}

export const until = (atMs: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, Math.max(0, atMs - performance.now())));
