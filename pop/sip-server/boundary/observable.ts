import type { TraceLine } from "../core/trace/wire-trace.ts";

/** What operators may look at. */
export interface Observable {
  readonly facts: Readonly<Record<Fact, number>>;
  /** Counts by label: `method="INVITE"`; "" for a counter without labels. */
  readonly counters: { of(name: string): Iterable<readonly [labels: string, count: number]> };
  readonly trace: { of(callId: string): readonly TraceLine[] | undefined };
}

export type Fact =
  | "transactions"
  | "dialogs"
  | "timers"
  | "pendingRequests"
  | "clientCalls"
  | "applications"
  | "tracedCalls";
