import type { CallId } from "../../kernel/ids.ts";
import type { Outcome } from "../../kernel/outcome.ts";
import type { Snapshot, SnapshotMistake } from "../core/routing/snapshot.ts";

export interface SnapshotRefused {
  readonly code: "snapshot.refused";
  readonly mistakes: readonly SnapshotMistake[];
}

export type RegionCommand =
  | { readonly kind: "hang-up"; readonly callId: CallId }
  | { readonly kind: "drain"; readonly on: boolean };

/** What the link needs of the POP. */
export interface RegionLinkHost {
  /** Version of the snapshot in use, 0 for none. */
  appliedVersion(): number;
  /** Proves and applies, or refuses and keeps what it has. */
  apply(snapshot: Snapshot): Outcome<void, SnapshotRefused>;
  /** @returns why it cannot be done, or undefined once it is under way */
  command(command: RegionCommand): string | undefined;
  /** All calls of this host: what the region believes to be here and is not in it has been lost. */
  heldCalls(): readonly CallId[];
  presence(): { readonly calls: number; readonly draining: boolean };
}

/** Our end of the stream to the region. Reconnects by itself, for ever, with back-off; the POP serves calls meanwhile. */
export interface RegionLink {
  start(host: RegionLinkHost): void;
  linked(): boolean;
  close(): Promise<void>;
}
