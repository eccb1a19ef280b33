import type { Buckets } from "../../../kernel/latency.ts";
import type { ListenPoint, TransportName } from "../core/flow.ts";
import type { BanView } from "../core/guard/source-guard.ts";
import type { TraceLine } from "../core/trace/wire-trace.ts";

/** What operators may look at. */
export interface Observable {
  readonly facts: Readonly<Record<Fact, number>>;
  /** Counts by label: `method="INVITE"`; "" for a counter without labels. */
  readonly counters: { of(name: string): Iterable<readonly [labels: string, count: number]> };
  readonly messages: { entries(): Iterable<MessageCount> };
  /** "invite-server proceeding" and how many. */
  transactionStates(): ReadonlyMap<string, number>;
  /** From a request's delivery to the application's first answer. */
  readonly answering: Buckets;
  /** Connections now; undefined where there are none to count (UDP). */
  listeners(): Iterable<{ readonly point: ListenPoint; readonly connections: number | undefined }>;
  readonly bans: BanAdmin;
  /** New requests per second that overload lets in; undefined: all of them. */
  readonly newPerSecondMax: number | undefined;
  readonly trace: { of(callId: string): readonly TraceLine[] | undefined };
}

/** Whom the listeners do not hear. */
export interface BanAdmin {
  ban(address: string, forMs: number): void;
  /** False: it was not banned. */
  unban(address: string): boolean;
  list(): readonly BanView[];
}

/** Of one direction, transport, method and status; status 0 is a request. */
export interface MessageCount {
  readonly direction: "in" | "out";
  readonly transport: TransportName;
  /** Of a response: the CSeq's. */
  readonly method: string;
  readonly status: number;
  readonly count: number;
}

export type Fact =
  | "transactions"
  | "dialogs"
  | "timers"
  | "pendingRequests"
  | "clientCalls"
  | "proxiedRequests"
  | "applications"
  | "tracedCalls"
  | "unrestoredCalls"
  | "namesRemembered"
  | "nameQuestions"
  | "targetsInQuarantine";
