import { fail, type Outcome, succeed } from "../../../kernel/outcome.ts";
import type { SnapshotStore, SnapshotStoreFailure } from "../../boundary/snapshot-store.ts";
import type { Snapshot } from "../../core/routing/snapshot.ts";

/** A SnapshotStore for tests and simulations. */
export class MemorySnapshotStore implements SnapshotStore {
  #kept: Snapshot | undefined;
  #failure: SnapshotStoreFailure | undefined;

  constructor(kept?: Snapshot) {
    this.#kept = kept;
  }

  /** The next `load` or `save` fails so. */
  failNext(failure: SnapshotStoreFailure): void {
    this.#failure = failure;
  }

  load(): Outcome<Snapshot, SnapshotStoreFailure> {
    const failure = this.#taken();
    if (failure !== undefined) return fail(failure);
    return this.#kept === undefined ? fail({ code: "snapshot-store.empty" }) : succeed(this.#kept);
  }

  save(snapshot: Snapshot): Outcome<void, SnapshotStoreFailure> {
    const failure = this.#taken();
    if (failure !== undefined) return fail(failure);
    this.#kept = snapshot;
    return succeed(undefined);
  }

  #taken(): SnapshotStoreFailure | undefined {
    const failure = this.#failure;
    this.#failure = undefined;
    return failure;
  }
}
