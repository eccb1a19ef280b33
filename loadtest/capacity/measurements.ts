// What a capacity run measures, as values: the report and the verdict are made of nothing else.

import type { Percentiles } from "../sipp/sipp-statistics.ts";

export const PROFILES = ["answer", "bridge"] as const;
export type ProfileName = (typeof PROFILES)[number];

/** The processes of the host, whose cost per call is the figure; then those that the whole region shares. */
export const HOST_PARTS = ["sip-server", "pop", "media-worker", "rtpengine"] as const;
export const REGION_PARTS = ["control-plane", "redis", "etcd"] as const;
export const PARTS = [...HOST_PARTS, ...REGION_PARTS] as const;
export type Part = (typeof PARTS)[number];
export type PerPart = Readonly<Record<Part, number>>;

export const perPart = (value: (part: Part) => number): PerPart =>
  Object.fromEntries(PARTS.map((part) => [part, value(part)])) as unknown as PerPart;

export const hostSum = (values: PerPart): number => HOST_PARTS.reduce((sum, part) => sum + values[part], 0);

/** A stretch of a step: its warm-up, or what came after. */
export interface Span {
  readonly seconds: number;
  /** Calls answered in it. */
  readonly answered: number;
  /** INVITE to 200, as SIPp sees it. */
  readonly setUp: Percentiles | undefined;
  readonly cpuMsPerCall: PerPart;
  /** Of one core; the busier one where there are two. */
  readonly sippShare: number;
  /** Of all cores together. */
  readonly busyShare: number;
  readonly restShare: number;
  readonly stolenShare: number;
}

export interface Step {
  readonly callsPerSecond: number;
  readonly calls: number;
  readonly successful: number;
  /** Failed for the caller. */
  readonly failed: number;
  /** SIPp's reasons for that. */
  readonly failures: Readonly<Record<string, number>>;
  /** Calls that the far end saw from INVITE to BYE; undefined where there is none. */
  readonly bridged: number | undefined;
  /** Of the caller and the far end. */
  readonly retransmissions: number;
  /** On the host when SIPp had none any more, and a time to end had passed. */
  readonly leftUp: number;
  readonly warmUp: Span;
  readonly steady: Span;
}

export interface HeldPart {
  readonly rssBeforeBytes: number;
  readonly rssBytes: number;
  readonly rssBytesPerCall: number;
  /** Of processes on Node: what lives on the JavaScript heap and outside of it, after a garbage collection. */
  readonly liveBytesPerCall: number | undefined;
}

export interface Held {
  readonly calls: number;
  /** Those of `calls` that were up at the look. */
  readonly up: number;
  readonly parts: Readonly<Record<Part, HeldPart>>;
  /** While nothing but holding them is done. */
  readonly cpuMsPerCallSecond: PerPart;
}

export interface Run {
  readonly profile: ProfileName;
  readonly startedAt: string;
  readonly machine: { readonly cores: number; readonly cpu: string; readonly system: string; readonly node: string };
  /** CPU time per second of a region that has nothing to do. */
  readonly idleCpuMsPerSecond: PerPart;
  readonly steps: readonly Step[];
  readonly held: Held | undefined;
}
