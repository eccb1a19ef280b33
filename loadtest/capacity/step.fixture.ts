import { perPart, type Span, type Step } from "./measurements.ts";

const SPAN: Span = {
  seconds: 6,
  answered: 600,
  setUp: { count: 600, p50Ms: 4, p90Ms: 8, p99Ms: 12, maxMs: 40 },
  cpuMsPerCall: perPart(
    (part) => ({ "sip-server": 2, pop: 4, "media-worker": 1, rtpengine: 1.5 })[part as string] ?? 0.5,
  ),
  sippShare: 0.05,
  busyShare: 0.5,
  restShare: 0.05,
  stolenShare: 0,
};

/** 100 calls a second for 8 seconds, all of them well. */
export const aStep = (over: Partial<Step> = {}, steady: Partial<Span> = {}): Step => ({
  callsPerSecond: 100,
  calls: 800,
  successful: 800,
  failed: 0,
  failures: {},
  bridged: undefined,
  retransmissions: 0,
  leftUp: 0,
  warmUp: SPAN,
  steady: { ...SPAN, ...steady },
  ...over,
});
