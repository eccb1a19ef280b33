import type { CallEvent } from "../core/call/contact-record.ts";

export interface SpoolState {
  readonly events: number;
  readonly bytes: number;
  /** Dropped at the bound since the start; never a "call.ended", which carries the contact record. */
  readonly dropped: number;
}

/** Events on their way to the region: on disk before `append` resolves, sent at least once, in order, ids idempotent. */
export interface EventSink {
  append(events: readonly CallEvent[]): Promise<void>;
  state(): SpoolState;
  close(): Promise<void>;
}
