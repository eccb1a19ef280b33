import type { Outcome } from "../../kernel/outcome.ts";
import type { Snapshot } from "../core/routing/snapshot.ts";

export type SnapshotStoreFailure =
  | { readonly code: "snapshot-store.empty" }
  /** The file is there and not usable: says why. The POP then waits for its region. */
  | { readonly code: "snapshot-store.unreadable"; readonly detail: string }
  | { readonly code: "snapshot-store.unwritable"; readonly detail: string };

/** The last good snapshot, on disk: with it a POP starts while its region is away. */
export interface SnapshotStore {
  load(): Outcome<Snapshot, SnapshotStoreFailure>;
  /** Atomic: a crash leaves the old one or the new one. */
  save(snapshot: Snapshot): Outcome<void, SnapshotStoreFailure>;
}
