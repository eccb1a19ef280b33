// What the keepers of a pair say to each other, ten times a second each way.

import type { PopHostId } from "../../../kernel/ids.ts";
import type { InstantMs } from "../../../kernel/time.ts";

/**
 * A host's word on one service.
 * holds: its processes may answer under `epoch`. busy: about to begin or to end (`epoch`: of what it begins or ends). asks: would begin under `epoch`
 * if it were granted. idle: holds nothing, and whatever it will hold later has an epoch above `epoch`.
 */
export interface Stance {
  readonly service: PopHostId;
  readonly name: "holds" | "busy" | "asks" | "idle";
  readonly epoch: number;
  /** Does not want it just now: the other is to take it. */
  readonly yields: boolean;
}

/** In both directions, in every message. */
export interface HostSays {
  /** Of this run of the keeper: another one is another process. */
  readonly boot: string;
  readonly stances: readonly Stance[];
  /** Stops on purpose: what follows is no death. */
  readonly leaving: boolean;
  /** Wants its home service back from who hears this. */
  readonly wantsHome: boolean;
}

export interface Beat extends HostSays {
  readonly n: number;
  /** Of the sender's monotonic clock; means nothing to the other. */
  readonly sentAtMs: InstantMs;
}

export interface Grant {
  readonly service: PopHostId;
  readonly epoch: number;
}

export interface Answer extends HostSays {
  /** Of the beat it answers. */
  readonly n: number;
  readonly sentAtMs: InstantMs;
  /** "I will not take these from you for leaseMs." */
  readonly grants: readonly Grant[];
}
