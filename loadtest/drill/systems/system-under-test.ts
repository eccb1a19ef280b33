// What a drill needs of the thing it drills. Tollgate's region is one; another pair of hosts, built of other programs, can be another: what
// it cannot do at all is said, and reported as such.

import type { PhoneTls } from "../../phones/stream-links.ts";
import type { Drill, FaultSignal, Network } from "../drill-file.ts";
import type { Ability, ClassName } from "../load-classes.ts";

export interface LanePlan {
  readonly lane: number;
  readonly carrierHost: string;
  readonly agentHost: string;
  /** How many calls of each class this lane puts up. */
  readonly classes: ReadonlyMap<ClassName, number>;
}

export interface SystemPlan {
  readonly drill: Drill;
  readonly network: Network;
  readonly lanes: readonly LanePlan[];
  /** For data and logs; empty. */
  readonly folder: string;
  readonly signal: AbortSignal;
}

/** Something that happened in the system, as it says itself. */
export interface SystemEvent {
  readonly process: string;
  readonly atUnixMs: number;
  readonly event: string;
  readonly level: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export interface Signalled {
  readonly pids: readonly number[];
  /** Just before the first of them got it. */
  readonly atUnixMs: number;
}

export interface Leftovers {
  /** What it still has after every call has ended, by what counts it: "pop calls", "sip-server dialogs", … */
  readonly counts: Readonly<Record<string, number>>;
  /** What could not be asked. */
  readonly unknown: readonly string[];
}

export interface CallRecord {
  readonly callingNumber: string;
  readonly endedBy: string;
  readonly endCode: string;
}

export interface RunningSystem {
  readonly service: { readonly host: string; readonly sipPort: number; readonly sipTlsPort: number };
  /** The capture's device: where everything between parties and hosts passes. */
  readonly captureDevice: string;
  readonly tls?: PhoneTls;
  /** What a caller of this class dials. */
  numberOf(lane: number, className: ClassName): string;
  /** For the bulk load: a number that is bridged to `loadHost`, and one that is answered, plays a second, and is released. */
  readonly loadNumbers?: { readonly bridged: string; readonly answered: string };
  /** Where a REFER points. */
  readonly referTo: string;
  /** Makes the agents of a lane's class reachable; several times does no harm. */
  bringAgents(lane: number, className: ClassName): Promise<void>;
  /** "host fra-01-a", "process fra-01-a/pop". Resolves when the signal has been sent to all of it. @throws when there is no such thing */
  signal(victim: string, signal: FaultSignal, stayDown: boolean): Promise<Signalled>;
  start(victim: string): Promise<void>;
  /** @throws where there are no links */
  cut(between: readonly [string, string]): Promise<() => Promise<void>>;
  /** Newest last, from all of its processes. */
  readonly events: readonly SystemEvent[];
  leftovers(): Promise<Leftovers>;
  /** undefined: it keeps none. */
  records(): Promise<readonly CallRecord[] | undefined>;
  /** Everything, whatever state it is in. */
  stop(): Promise<void>;
  /** At once. */
  killAll(): void;
}

export interface SystemUnderTest {
  readonly name: string;
  readonly abilities: ReadonlySet<Ability>;
  readonly lanesMax: number;
  /** As the drill file calls addresses on this network. */
  address(network: Network, loopback: string): string;
  /** undefined: it can run there; else why not. */
  cannotRunOn(network: Network): string | undefined;
  /** @throws Error saying why it would not start; nothing is left running then */
  start(plan: SystemPlan): Promise<RunningSystem>;
}
