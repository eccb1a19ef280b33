// What is measured of a SIP server under calls, as values; and what the values say. Pure.

import type { Percentiles } from "../../sipp/sipp-statistics.ts";
import { SIPP_SHARE_MAX } from "../verdict.ts";
import type { Probed } from "./probe.ts";

export const SIP_PROFILES = ["answer", "b2bua"] as const;
export type SipProfile = (typeof SIP_PROFILES)[number];

/** One rate for some seconds on one server; the warm-up is not in the CPU figures. */
export interface SipStep {
  readonly server: string;
  readonly profile: SipProfile;
  readonly callsPerSecond: number;
  readonly calls: number;
  readonly successful: number;
  readonly failed: number;
  readonly failures: Readonly<Record<string, number>>;
  /** The first message SIPp did not expect; "" when it said nothing of the kind. */
  readonly complaint: string;
  /** Calls the far end saw whole; undefined where there is none. */
  readonly bridged: number | undefined;
  /** Of the caller and the far end: for each of them we or the machine were late. */
  readonly retransmissions: number;
  readonly serverCpuMsPerCall: number;
  readonly applicationCpuMsPerCall: number;
  /** Of a server that writes its calls down. */
  readonly store?: StoreFigures | undefined;
  /** INVITE to 100, and to 200, as SIPp sees them. */
  readonly trying: Percentiles | undefined;
  readonly answer: Percentiles | undefined;
  /** Calls per second that came about after the warm-up. */
  readonly cameAbout: number;
  readonly sippShare: number;
  /** Of all cores together. */
  readonly busyShare: number;
  readonly restShare: number;
  readonly stolenShare: number;
  readonly rssBytes: number;
  readonly loopDelay: Probed["loopDelay"] | undefined;
}

/** Per call: Redis's own time, and what was written to it. */
export interface StoreFigures {
  readonly cpuMs: number;
  readonly characters: number;
  readonly fields: number;
  readonly groups: number;
  /** Messages that waited until their call was written. */
  readonly waits: number;
}

const RATE_KEPT_MIN = 0.95;

export interface SipJudged {
  /** What went wrong with calls. */
  readonly faults: readonly string[];
  /** Why the step says nothing of the server. */
  readonly spoilt: string | undefined;
}

export function judge(step: SipStep): SipJudged {
  const { calls, successful, failed, failures, bridged, cameAbout, callsPerSecond, sippShare } = step;
  const faults: string[] = [];
  const why = [...Object.keys(failures), step.complaint].filter((text) => text !== "").join(", ");
  if (failed > 0) faults.push(`${failed} of ${calls} failed (${why || "no reason"})`);
  const unfinished = Math.max(0, calls - successful - failed);
  if (unfinished > 0) faults.push(`${unfinished} of ${calls} not over in time`);
  if (bridged !== undefined && bridged < successful) faults.push(`${successful - bridged} not bridged`);
  const spoilt =
    sippShare > SIPP_SHARE_MAX
      ? `SIPp took ${Math.round(sippShare * 100)} % of a core`
      : faults.length === 0 && cameAbout < callsPerSecond * RATE_KEPT_MIN
        ? `only ${cameAbout.toFixed(0)} of ${callsPerSecond} calls/s came about`
        : undefined;
  return { faults, spoilt };
}

/** The middle one; of two, their mean. NaN of none. */
export function median(values: readonly number[]): number {
  if (values.length === 0) return Number.NaN;
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/** All rounds of one server at one rate. Rounds that were spoilt are left out of the medians. */
export interface Summary {
  readonly server: string;
  readonly rounds: number;
  readonly spoilt: number;
  readonly failed: number;
  readonly retransmissions: number;
  readonly calls: number;
  readonly serverCpuMsPerCall: number;
  readonly applicationCpuMsPerCall: number;
  readonly tryingP50Ms: number;
  readonly tryingP99Ms: number;
  readonly loopP99Ms: number;
  readonly sippShare: number;
  readonly busyShare: number;
  readonly rssBytes: number;
}

export function summarise(server: string, steps: readonly SipStep[]): Summary {
  const mine = steps.filter((step) => step.server === server);
  const good = mine.filter((step) => judge(step).spoilt === undefined);
  const over = (value: (step: SipStep) => number | undefined) =>
    median(good.map(value).filter((number) => number !== undefined));
  const sum = (value: (step: SipStep) => number) => mine.reduce((total, step) => total + value(step), 0);
  return {
    server,
    rounds: mine.length,
    spoilt: mine.length - good.length,
    failed: sum(({ calls, successful }) => calls - successful),
    retransmissions: sum(({ retransmissions }) => retransmissions),
    calls: sum(({ calls }) => calls),
    serverCpuMsPerCall: over((step) => step.serverCpuMsPerCall),
    applicationCpuMsPerCall: over((step) => step.applicationCpuMsPerCall),
    tryingP50Ms: over((step) => step.trying?.p50Ms),
    tryingP99Ms: over((step) => step.trying?.p99Ms),
    loopP99Ms: over((step) => step.loopDelay?.p99Ms),
    sippShare: over((step) => step.sippShare),
    busyShare: over((step) => step.busyShare),
    rssBytes: over((step) => step.rssBytes),
  };
}

/** Least squares: how much `y` grows while `x` grows by one. */
export function slope(points: readonly { readonly x: number; readonly y: number }[]): number {
  const mean = (of: (point: { x: number; y: number }) => number) =>
    points.reduce((sum, point) => sum + of(point), 0) / Math.max(1, points.length);
  const [x, y] = [mean((point) => point.x), mean((point) => point.y)];
  let [over, under] = [0, 0];
  for (const point of points) {
    over += (point.x - x) * (point.y - y);
    under += (point.x - x) ** 2;
  }
  return under === 0 ? 0 : over / under;
}
