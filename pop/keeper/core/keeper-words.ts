// The words of the keeper machine: settings, inputs, effects, state. All plain data.

import type { BackoffPolicy } from "../../../kernel/backoff.ts";
import type { PopHostId } from "../../../kernel/ids.ts";
import type { Outcome } from "../../../kernel/outcome.ts";
import type { InstantMs } from "../../../kernel/time.ts";
import type { UnixMs } from "../../../kernel/units.ts";
import type { OwnerEntry, OwnerRecord } from "./owner-record.ts";
import type { Answer, Beat, Stance } from "./twin-talk.ts";

export type ProcessName = "sip-server" | "rtpengine" | "media-worker" | "pop";

export interface KeeperSettings {
  readonly host: PopHostId;
  /** Undefined: the host has no twin, nobody else ever takes its service. */
  readonly twin: PopHostId | undefined;
  /** Of one serving set, in the order of their start. */
  readonly processes: readonly ProcessName[];
  readonly timing: KeeperTiming;
}

export interface KeeperTiming {
  readonly leaseMs: number;
  /** A lease that another host counts is taken as run out after `leaseMs` times this: clocks differ. */
  readonly patience: number;
  readonly beatEveryMs: number;
  /** Nothing heard for so long: the twin is silent. */
  readonly silentMs: number;
  /** A connection without an answer for so long is closed and made anew. */
  readonly deafMs: number;
  readonly reconnectEveryMs: number;
  /** Instead, for `hurryMs` after a connection has closed: a process that dies closes its connections before its listener. */
  readonly hurryEveryMs: number;
  readonly hurryMs: number;
  readonly renewEveryMs: number;
  /** How often the owner record is read where it is not renewed: a watch can end without a word. */
  readonly pollEveryMs: number;
  /** An effect that asks the outside is answered within this, else it counts as failed. The adapters' own bounds are shorter. */
  readonly callWithinMs: number;
  readonly addressRetryMs: number;
  readonly pingEveryMs: number;
  readonly pongWithinMs: number;
  /** The same in the first `settleMs` of a process, which has much to catch up with: to kill it would begin all of that anew. */
  readonly firstPongWithinMs: number;
  readonly settleMs: number;
  /** From the start of a process to its "serving". */
  readonly startWithinMs: number;
  /** A step that comes later than this after the one before it: the keeper itself was stopped, and judges nobody by that time. */
  readonly pauseMs: number;
  /** From "hand-over" to the last "ready-to-go". */
  readonly emptyWithinMs: number;
  /** A host asked to bring its service home waits so long for it. */
  readonly returnWithinMs: number;
  /** A serving set that is stopped on purpose is killed after this. */
  readonly stopWithinMs: number;
  /** So long a host leaves to its twin what it has given it; then it takes it back if the twin has not taken it. */
  readonly yieldMs: number;
  /** The same for what was given away because its processes died again and again. */
  readonly failingYieldMs: number;
  readonly restart: BackoffPolicy;
  /** So many deaths within the window: the service goes to the twin. */
  readonly deathsMax: number;
  readonly deathWindowMs: number;
}

export const KEEPER_TIMING: KeeperTiming = {
  leaseMs: 1_900,
  patience: 1.05,
  beatEveryMs: 100,
  silentMs: 500,
  deafMs: 1_000,
  reconnectEveryMs: 100,
  hurryEveryMs: 5,
  hurryMs: 100,
  renewEveryMs: 300,
  pollEveryMs: 500,
  callWithinMs: 1_000,
  addressRetryMs: 1_000,
  pingEveryMs: 500,
  pongWithinMs: 1_500,
  firstPongWithinMs: 5_000,
  settleMs: 10_000,
  startWithinMs: 15_000,
  pauseMs: 750,
  emptyWithinMs: 2_000,
  returnWithinMs: 15_000,
  stopWithinMs: 60_000,
  yieldMs: 3_000,
  failingYieldMs: 300_000,
  restart: { firstMs: 100, factor: 2, waitMsMax: 5_000, jitter: 0 },
  deathsMax: 6,
  deathWindowMs: 60_000,
};

/** What outlives the keeper, on disk. */
export interface KeeperMemory {
  /** The largest epoch heard of, by service. */
  readonly epochs: Readonly<Record<PopHostId, number>>;
}

// --- failures -------------------------------------------------------------------------------------------------------

export interface OwnerStoreAway {
  readonly code: "owner.store-away";
  readonly detail: string;
}

/** Somebody has written since: nothing was changed. */
export interface OwnerConflict {
  readonly code: "owner.conflict";
  readonly entry: OwnerEntry;
}

export type AddressFailure =
  | { readonly code: "address.timed-out"; readonly afterMs: number }
  | { readonly code: "address.refused"; readonly detail: string }
  /** It can never succeed as configured. */
  | { readonly code: "address.unknown"; readonly address: string };

export type FenceFailure =
  | { readonly code: "store.away"; readonly forMs: number }
  | { readonly code: "store.superseded"; readonly epoch: number; readonly by: number };

/** Why a hand-over asked for did not happen. */
export type HandOverFailure =
  | { readonly code: "hand-over.no-twin" }
  | { readonly code: "hand-over.not-serving" }
  | { readonly code: "hand-over.already-home" }
  | { readonly code: "hand-over.under-way" }
  | { readonly code: "hand-over.twin-unheard" }
  /** The twin serves it not, cannot take it now, or has just given it up itself. */
  | { readonly code: "hand-over.twin-declines" }
  | { readonly code: "hand-over.store-away" }
  /** Redis is away: the next owner would find no calls. */
  | { readonly code: "hand-over.state-away" }
  | { readonly code: "hand-over.timed-out"; readonly afterMs: number }
  | { readonly code: "hand-over.stopping" };

// --- inputs ---------------------------------------------------------------------------------------------------------

/** `atMs`: of the machine's monotonic clock (process.hrtime), when the step is made, not when the thing happened. */
export type KeeperInput = { readonly atMs: InstantMs } & KeeperEvent;

export type KeeperEvent =
  | { readonly kind: "woke" }
  // the connection we make; `link` of the connect-twin it answers
  | { readonly kind: "twin-connected"; readonly link: number }
  | { readonly kind: "twin-closed"; readonly link: number }
  /** Nobody listens there: the twin's keeper does not run. */
  | { readonly kind: "twin-refused"; readonly link: number }
  /** No proof of anything: time-out, no way there, a wrong certificate. */
  | { readonly kind: "twin-unreachable"; readonly link: number; readonly because: TwinUnreachable }
  | { readonly kind: "answer"; readonly link: number; readonly answer: Answer }
  // the connection the twin makes; `from` names it
  | { readonly kind: "beat"; readonly from: number; readonly beat: Beat }
  /** The connection that beats came by is closed. */
  | { readonly kind: "twin-hung-up"; readonly from: number }
  // owner store
  | {
      readonly kind: "owner-read";
      readonly service: PopHostId;
      readonly id: number;
      readonly outcome: Outcome<OwnerEntry, OwnerStoreAway>;
    }
  /** From the watch. */
  | { readonly kind: "owner-seen"; readonly service: PopHostId; readonly entry: OwnerEntry }
  | {
      readonly kind: "owner-written";
      readonly service: PopHostId;
      readonly id: number;
      readonly outcome: Outcome<OwnerEntry, OwnerConflict | OwnerStoreAway>;
    }
  // address, checkpoint store
  | {
      readonly kind: "address-taken";
      readonly service: PopHostId;
      readonly outcome: Outcome<void, AddressFailure>;
    }
  | {
      readonly kind: "store-fenced";
      readonly service: PopHostId;
      readonly epoch: number;
      readonly outcome: Outcome<void, FenceFailure>;
    }
  /** Whether Redis answers, told when it changes. */
  | { readonly kind: "state-store"; readonly answers: boolean }
  // processes
  | { readonly kind: "process-serving"; readonly service: PopHostId; readonly process: ProcessName }
  | { readonly kind: "process-died"; readonly service: PopHostId; readonly process: ProcessName }
  | { readonly kind: "pong"; readonly service: PopHostId; readonly process: ProcessName }
  /** All that live have said "ready-to-go". */
  | { readonly kind: "serving-emptied"; readonly service: PopHostId }
  /** Every process of the set is reaped: the answer to kill-serving and stop-serving. */
  | { readonly kind: "serving-ended"; readonly service: PopHostId }
  /** A process was told by the checkpoint store that a newer owner writes. */
  | { readonly kind: "superseded"; readonly service: PopHostId; readonly by: number }
  // operators
  | { readonly kind: "hand-over"; readonly id: string; readonly service: PopHostId }
  | { readonly kind: "return-home"; readonly id: string }
  /** Everything ends in order, the twin is told, and nobody takes over. */
  | { readonly kind: "stop" };

export type TwinUnreachable = "timed-out" | "unreachable" | "wrong-certificate" | "broken-talk";

// --- effects --------------------------------------------------------------------------------------------------------

/** Performed in this order. Those that ask something are answered by the input named, once, within a bound of their own. */
export type KeeperEffect =
  /** → twin-connected, twin-refused or twin-unreachable; after connected: one twin-closed. One connection at a time. */
  | { readonly kind: "connect-twin"; readonly link: number }
  /** No input follows. */
  | { readonly kind: "close-twin"; readonly link: number }
  | { readonly kind: "send-beat"; readonly link: number; readonly beat: Beat }
  | { readonly kind: "answer-beat"; readonly from: number; readonly answer: Answer }
  /** → owner-read */
  | { readonly kind: "read-owner"; readonly service: PopHostId; readonly id: number }
  /** → owner-written. `ifRevision` 0: only if there is no record. */
  | {
      readonly kind: "write-owner";
      readonly service: PopHostId;
      readonly id: number;
      readonly record: OwnerRecord;
      readonly ifRevision: number;
    }
  /** → address-taken */
  | { readonly kind: "take-address"; readonly service: PopHostId }
  /** Raises the epoch in Redis and swaps the relay's database → store-fenced */
  | { readonly kind: "fence-store"; readonly service: PopHostId; readonly epoch: number }
  /** Starts every process of the set → process-serving each */
  | {
      readonly kind: "start-serving";
      readonly service: PopHostId;
      readonly epoch: number;
      readonly untilMs: InstantMs;
      readonly former: FormerOwner;
      /** False: Redis is away, the calls of the former owner cannot be taken up. */
      readonly stateAtHand: boolean;
    }
  /** One process in place of one that died → process-serving */
  | {
      readonly kind: "start-process";
      readonly service: PopHostId;
      readonly process: ProcessName;
      readonly epoch: number;
      readonly untilMs: InstantMs;
      /** Monotonic. */
      readonly diedAtMs: InstantMs;
    }
  /** SIGKILL → process-died */
  | { readonly kind: "kill-process"; readonly service: PopHostId; readonly process: ProcessName }
  /** SIGKILL to all, now → serving-ended. Safe to repeat, also where nothing runs. */
  | { readonly kind: "kill-serving"; readonly service: PopHostId }
  /** SIGTERM to all, SIGKILL after their time → serving-ended */
  | { readonly kind: "stop-serving"; readonly service: PopHostId }
  /** "hand-over" to all → serving-emptied */
  | { readonly kind: "empty-serving"; readonly service: PopHostId }
  | { readonly kind: "extend-lease"; readonly service: PopHostId; readonly untilMs: InstantMs }
  /** To every process of the set that can answer → pong each */
  | { readonly kind: "ping"; readonly service: PopHostId }
  /** On disk before the effects after it. Not needed: etcd knows it as well. */
  | { readonly kind: "persist"; readonly memory: KeeperMemory; readonly isNeeded: boolean }
  /** "woke" at this moment; replaces the one asked for before. */
  | { readonly kind: "wake"; readonly atMs: InstantMs }
  /** The answer to an operator. */
  | { readonly kind: "reply"; readonly id: string; readonly outcome: Outcome<void, HandOverFailure> }
  | KeeperNote
  /** All has ended: close everything and exit. */
  | { readonly kind: "finished" };

/** When the former owner was last known to be alive; both absent at a first start. */
export interface FormerOwner {
  /** Monotonic clock of this machine. */
  readonly heardAtMs?: InstantMs;
  /** Wall clock of the former owner. */
  readonly wroteAtUnixMs?: UnixMs;
}

/** For log, metrics and status. The names are stable. */
export interface KeeperNote {
  readonly kind: "note";
  readonly level: "info" | "warn" | "error";
  readonly event: KeeperNoteEvent;
  readonly fields: Readonly<Record<string, string | number | boolean>>;
}

export type KeeperNoteEvent =
  | "twin.heard"
  | "twin.silent"
  | "twin.died"
  | "twin.left"
  | "twin.unreachable"
  | "owner-store.away"
  | "owner-store.back"
  | "takeover.began"
  | "takeover.lost-race"
  | "takeover.impossible"
  | "service.claimed"
  | "service.serving"
  | "service.standing-by"
  | "service.lapsed"
  | "service.superseded"
  | "service.stateless"
  | "service.failing"
  | "service.ended"
  | "address.taken"
  | "address.failed"
  | "process.died"
  | "process.restarting"
  | "process.hung"
  | "process.slow-start"
  | "hand-over.began"
  | "hand-over.given"
  | "hand-over.failed"
  | "keeper.paused";

/** Why a host began to serve. */
export type ClaimReason =
  /** Connection closed and a new one refused. */
  | "twin-died"
  /** Unheard, and all its leases have run out by our clock. */
  | "twin-silent"
  | "given"
  /** Our home service, and the twin says it has it not. */
  | "twin-idle"
  /** Our home service, and the record names us. */
  | "own-record"
  /** Our home service, and the twin's keeper does not run. */
  | "twin-refused"
  /** No etcd, and the twin has granted it. */
  | "twin-grants"
  | "alone";

// --- state ----------------------------------------------------------------------------------------------------------

export interface KeeperState {
  readonly startedAtMs: InstantMs;
  readonly steppedAtMs: InstantMs;
  readonly boot: string;
  /** The next id of a read, write, link or beat. */
  readonly nextId: number;
  readonly stopping: "no" | "ending" | "finished";
  readonly twin: TwinView;
  readonly store: StoreView;
  /** Redis; unknown where there is none. */
  readonly stateStore: StoreView["name"];
  readonly home: ServiceState;
  /** The twin's service; undefined without a twin. */
  readonly guest: ServiceState | undefined;
  /** An operator's wish to have the home service back. */
  readonly returning: { readonly id: string; readonly untilMs: InstantMs } | undefined;
  readonly wakeAtMs: InstantMs | undefined;
}

export interface TwinView {
  readonly link: LinkState;
  readonly boot: string | undefined;
  readonly heardAtMs: InstantMs | undefined;
  /** What was last said of it. */
  readonly name: "unknown" | "heard" | "silent" | "died" | "left";
  /** This run of ours has had a connection to it: only then a refusal proves a death. */
  readonly everConnected: boolean;
  /** When the connect that was refused was sent; undefined once anything else came of a later one. */
  readonly refusedAtMs: InstantMs | undefined;
  /** The last failure to reach it that is not a refusal, until it is reached. */
  readonly unreachable: TwinUnreachable | undefined;
  /** Its connection has closed a moment ago: the connect that proves a death is tried again at once. */
  readonly hurryUntilMs: InstantMs | undefined;
  /** The connection its beats come by. While that is open its keeper lives, whatever is refused. */
  readonly incoming: number | undefined;
  /** It cannot hold anything that it began before we listened. */
  readonly clearOfPast: boolean;
  readonly wantsHome: boolean;
}

export type LinkState =
  | { readonly name: "closed"; readonly connectAtMs: InstantMs }
  | { readonly name: "connecting"; readonly link: number; readonly sinceMs: InstantMs }
  | {
      readonly name: "connected";
      readonly link: number;
      readonly answeredAtMs: InstantMs;
      readonly beatAtMs: InstantMs;
    };

export interface StoreView {
  readonly name: "unknown" | "answering" | "away";
  readonly sinceMs: InstantMs;
}

export interface ServiceState {
  readonly service: PopHostId;
  readonly tenure: Tenure;
  /** The newest entry known, and when we saw it change; undefined: not yet read. */
  readonly seen: { readonly entry: OwnerEntry; readonly atMs: InstantMs } | undefined;
  readonly reading: { readonly id: number; readonly askedAtMs: InstantMs } | undefined;
  readonly readAtMs: InstantMs;
  /** The largest epoch heard of. Ours are above it. */
  readonly known: number;
  /** All that the twin held up to this epoch has ended. */
  readonly ended: number;
  /** Our last promise to the twin. */
  readonly granted: { readonly epoch: number; readonly untilMs: InstantMs } | undefined;
  readonly twinSays: Stance | undefined;
  /** Until then it is the twin's to take. */
  readonly yieldUntilMs: InstantMs | undefined;
  /** Why this host does not serve it; undefined while it does or is about to. */
  readonly waitsFor: WaitsFor | undefined;
}

export type WaitsFor =
  /** Not yet known whose it is. */
  | "reading"
  | "twin-serves"
  /** Given away a moment ago. */
  | "twin-to-take"
  /** The twin stopped on purpose. */
  | "twin-stopped"
  /** The twin may still hold a lease. */
  | "lease"
  /** The owner store does not answer: no takeover. */
  | "owner-store"
  /** Neither the owner store nor the twin answers. */
  | "cut-off"
  | "stopping";

export interface PendingWrite {
  readonly id: number;
  readonly sentAtMs: InstantMs;
}

/** The right to serve, and what keeps it. */
export interface Held {
  readonly epoch: number;
  readonly leaseUntilMs: InstantMs;
  /** What the processes were told last. */
  readonly toldUntilMs: InstantMs;
  readonly renewal: PendingWrite | undefined;
  readonly renewAtMs: InstantMs;
  readonly reason: ClaimReason;
  readonly beganAtMs: InstantMs;
  readonly address: AddressState;
  /** Redis was away as it began: it has not been fenced, and the relay keeps its calls nowhere. */
  readonly isStateless?: boolean;
}

export type AddressState =
  | { readonly name: "moving"; readonly sinceMs: InstantMs }
  | { readonly name: "here" }
  | { readonly name: "failed"; readonly retryAtMs: InstantMs };

export type ProcessState =
  | { readonly name: "starting"; readonly sinceMs: InstantMs }
  /** Once `settlesAtMs` is over it has to answer as quickly as ever. */
  | { readonly name: "serving"; readonly pongAtMs: InstantMs; readonly settlesAtMs?: InstantMs }
  /** SIGKILL is on its way. */
  | { readonly name: "dying"; readonly sinceMs: InstantMs }
  | { readonly name: "dead"; readonly diedAtMs: InstantMs; readonly startAtMs: InstantMs };

export interface Running {
  readonly processes: Readonly<Partial<Record<ProcessName, ProcessState>>>;
  /** Of the last window, oldest first. */
  readonly deaths: readonly { readonly process: ProcessName; readonly atMs: InstantMs }[];
  readonly pingAtMs: InstantMs;
  readonly failing: boolean;
  /** Every process has served since the set began. */
  readonly complete: boolean;
}

export type Tenure =
  /** The twin's, nobody's, or not yet known whose. */
  | { readonly name: "none" }
  /** No etcd: the twin is asked. Home service only. */
  | { readonly name: "asking"; readonly epoch: number; readonly sinceMs: InstantMs }
  | {
      readonly name: "claiming";
      readonly epoch: number;
      readonly write: PendingWrite;
      readonly reason: ClaimReason;
      readonly former: FormerOwner;
    }
  /** Ours; Redis is being told. */
  | {
      readonly name: "opening";
      readonly held: Held;
      readonly former: FormerOwner;
      readonly sinceMs: InstantMs;
    }
  | { readonly name: "serving"; readonly held: Held; readonly running: Running }
  /** Hand-over: the processes write all they have; or they stop in order. */
  | {
      readonly name: "emptying";
      readonly held: Held;
      readonly untilMs: InstantMs;
      readonly next: AfterEnd;
    }
  /** Nothing of it may run any more; it has not been seen to be gone yet. */
  | {
      readonly name: "ending";
      readonly epoch: number;
      readonly againAtMs: InstantMs;
      readonly next: AfterEnd;
      readonly sinceMs: InstantMs;
    }
  /** Hand-over: nothing runs here, and the record is on its way to the twin. */
  | {
      readonly name: "giving";
      readonly epoch: number;
      readonly write: PendingWrite | undefined;
      readonly untilMs: InstantMs;
      readonly giving: Giving;
    }
  /** Stopped on purpose; the record is told. */
  | { readonly name: "closing"; readonly epoch: number; readonly write: PendingWrite };

export interface Giving {
  readonly why: "asked" | "failing" | "stopping";
  readonly replyTo: string | undefined;
}

/** What follows when the last process is gone. */
export type AfterEnd = { readonly kind: "none" } | ({ readonly kind: "give" } & Giving) | { readonly kind: "close" };
