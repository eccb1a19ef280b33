import type { Outcome } from "../../kernel/outcome.ts";
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
  /** Told of events that are over for us: the region has stored them, or will never take them. Of an earlier process's too. */
  onSettled(listener: (events: readonly CallEvent[]) => void): void;
  state(): SpoolState;
  close(): Promise<void>;
}

export type PublishFailure =
  /** Nobody took them: try again later. */
  | { readonly code: "events.away"; readonly detail: string }
  /** The region will not take this batch, however often it is sent: at least one of it makes no sense there. */
  | { readonly code: "events.refused"; readonly detail: string };

/** The way to the region's event intake; a sink is given one, and tries again by itself. */
export interface EventPublisher {
  /** Succeeds once the region has stored them all. May be repeated: ids are idempotent. */
  publish(events: readonly CallEvent[]): Promise<Outcome<void, PublishFailure>>;
}
