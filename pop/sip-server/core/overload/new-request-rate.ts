// How many new requests per second the server lets in: a controller fed by what overload feels like from inside, the delay of
// the event loop. Additive increase, multiplicative decrease, with a dead band between. Pure.

export interface OverloadLimits {
  /** A busy loop that answers this late is overloaded; below the lower one it is well. */
  readonly delayHighMs: number;
  readonly delayLowMs: number;
  /** Share of a core that the loop's thread used. UDP overload fills the kernel's buffer, not the loop's queue: only this tells. */
  readonly utilizationHigh: number;
  readonly utilizationLow: number;
  /** Unsent to one application. */
  readonly backlogBytesHigh: number;
  readonly probeMs: number;
  /** Never less, so that it is noticed when things are better. */
  readonly newPerSecondMin: number;
}

export const OVERLOAD_LIMITS: OverloadLimits = {
  delayHighMs: 100,
  delayLowMs: 30,
  utilizationHigh: 0.98,
  utilizationLow: 0.93,
  backlogBytesHigh: 8 * 1_048_576,
  probeMs: 250,
  newPerSecondMin: 10,
};

export type NewRequestRate =
  /** `heat` tells a bad moment from overload: one pause of the garbage collector is no reason to refuse calls. */
  | { readonly name: "unlimited"; readonly heat: number }
  | { readonly name: "limited"; readonly perSecond: number; readonly calmProbes: number };

export interface Probe {
  readonly intervalMs: number;
  /** The longest that a timer was late. */
  readonly delayMs: number;
  /** 0 … 1. */
  readonly utilization: number;
  readonly backlogBytes: number;
  /** New requests in the interval, those that were shed included. */
  readonly offered: number;
  readonly admitted: number;
}

export const UNLIMITED: NewRequestRate = { name: "unlimited", heat: 0 };

/** A process that has just begun compiles what it runs and takes up what waited: its first second is judged by nobody. */
export const BEGINNING: NewRequestRate = { name: "unlimited", heat: -6 };

const HEAT_MAX = 4;
const DECREASE = 0.85;
const INCREASE = 0.03;
/** Where there is room, in one probe: what was let in shows its whole weight only later. */
const INCREASE_MAX = 0.5;
/** As long as this many probes were calm and everybody got in, the limit is not needed. */
const CALM_PROBES = 8;

export function step(limits: OverloadLimits, state: NewRequestRate, probe: Probe): NewRequestRate {
  const heat = heatOf(limits, probe);
  const admittedPerSecond = (probe.admitted * 1_000) / probe.intervalMs;
  if (state.name === "unlimited") {
    const sum = heat === 0 ? 0 : state.heat + heat;
    if (sum < HEAT_MAX) return sum === state.heat ? state : { name: "unlimited", heat: sum };
    return { name: "limited", perSecond: atLeast(limits, admittedPerSecond * DECREASE), calmProbes: 0 };
  }
  if (heat > 0) {
    // A limit that was not reached did not help: come down to what really got in.
    const reached = Math.min(state.perSecond, Math.max(admittedPerSecond, state.perSecond / 2));
    return { name: "limited", perSecond: atLeast(limits, reached * DECREASE), calmProbes: 0 };
  }
  if (!isCalm(limits, probe)) return state.calmProbes === 0 ? state : { ...state, calmProbes: 0 };
  const shed = probe.offered > probe.admitted;
  const calmProbes = shed ? 0 : state.calmProbes + 1;
  if (calmProbes >= CALM_PROBES) return UNLIMITED;
  return { name: "limited", perSecond: shed ? raised(limits, state.perSecond, probe) : state.perSecond, calmProbes };
}

/** By the room that is left of the core: a limit that a stall has set too low is gone in a second or two. */
function raised({ utilizationLow }: OverloadLimits, perSecond: number, { utilization }: Probe): number {
  const room = utilizationLow / Math.max(utilization, 0.01) - 1;
  return perSecond * (1 + Math.min(INCREASE_MAX, Math.max(INCREASE, room / 2))) + 1;
}

const atLeast = ({ newPerSecondMin }: OverloadLimits, perSecond: number): number =>
  Math.max(newPerSecondMin, perSecond);

/** Below this a late loop waits for the machine, not for its own work: refusing calls would help nobody. */
const BUSY_UTILIZATION = 0.8;

function heatOf(limits: OverloadLimits, probe: Probe): number {
  if (probe.backlogBytes >= limits.backlogBytesHigh) return 2;
  if (probe.delayMs >= limits.delayHighMs && probe.utilization >= BUSY_UTILIZATION) return 2;
  return probe.utilization >= limits.utilizationHigh ? 1 : 0;
}

const isCalm = (limits: OverloadLimits, probe: Probe): boolean =>
  (probe.delayMs <= limits.delayLowMs || probe.utilization < BUSY_UTILIZATION) &&
  probe.utilization <= limits.utilizationLow &&
  probe.backlogBytes <= limits.backlogBytesHigh / 2;
