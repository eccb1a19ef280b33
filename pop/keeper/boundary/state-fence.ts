import type { PopHostId } from "../../../kernel/ids.ts";
import type { Outcome } from "../../../kernel/outcome.ts";
import type { FenceFailure } from "../core/keeper-words.ts";

/** What the new owner may use. */
export interface Fenced {
  /** The database of the store in which the service's relay keeps its calls from now on. An older owner's writes go elsewhere. */
  readonly relayDatabase: number;
}

/** Shuts older owners of a service out of the store in which its state is kept. */
export interface StateFence {
  /**
   * From its answer on, writes under smaller epochs are refused. Safe to repeat: an epoch that was raised already changes nothing.
   * Answers within 700 ms.
   * @fails store.away: nobody knows whether it was done; store.superseded when a newer owner was here
   */
  raise(service: PopHostId, epoch: number): Promise<Outcome<Fenced, FenceFailure>>;
  /** Whether the store answers at all: at the first look, and whenever it changes. */
  watch(changed: (answers: boolean) => void): void;
  close(): void;
}
