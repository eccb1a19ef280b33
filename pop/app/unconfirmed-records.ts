// Contact records that the region may not have yet: each stays in the checkpoint store, as what is left of its call, until
// the region has stored it. Whoever owns the service next sends it again, under the same name.

import type { CallId } from "../../kernel/ids.ts";
import type { Log } from "../../kernel/log.ts";
import type { CheckpointStore } from "../checkpoint/boundary/checkpoint-store.ts";
import type { CallEvent } from "../core/call/contact-record.ts";
import { CHECKPOINT_FORM, type EndedCheckpoint } from "./call-checkpoint.ts";

/** While the region is away. The oldest give way: they are on this host's disk still, and come when the region is back. */
export const UNCONFIRMED_RECORDS_MAX = 20_000;

export class UnconfirmedRecords {
  readonly #store: CheckpointStore;
  readonly #log: Log;
  readonly #max: number;
  /** Event ids, the oldest first. */
  readonly #kept = new Map<CallId, string>();
  #full = false;

  constructor(store: CheckpointStore, log: Log, max = UNCONFIRMED_RECORDS_MAX) {
    this.#store = store;
    this.#log = log;
    this.#max = max;
  }

  get size(): number {
    return this.#kept.size;
  }

  has(call: CallId): boolean {
    return this.#kept.has(call);
  }

  /** Takes the place of the call's own checkpoint. */
  keep(event: CallEvent): void {
    this.#kept.set(event.callId, event.id);
    this.#store.save(event.callId, () =>
      JSON.stringify({ v: CHECKPOINT_FORM, ended: event } satisfies EndedCheckpoint),
    );
    const full = this.#kept.size > this.#max;
    if (full && !this.#full) this.#log.error("records.unconfirmed-full", { recordsMax: this.#max });
    this.#full = full;
    if (!full) return;
    const [oldest] = this.#kept.keys();
    if (oldest !== undefined) this.#forget(oldest);
  }

  /** The region has stored it, or will never take it. */
  confirmed({ callId, id }: CallEvent): void {
    if (this.#kept.get(callId) === id) this.#forget(callId);
  }

  #forget(call: CallId): void {
    this.#kept.delete(call);
    this.#store.remove(call);
  }
}
