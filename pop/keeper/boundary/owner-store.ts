import type { PopHostId } from "../../../kernel/ids.ts";
import type { Outcome } from "../../../kernel/outcome.ts";
import type { OwnerConflict, OwnerStoreAway } from "../core/keeper-words.ts";
import type { OwnerEntry, OwnerRecord } from "../core/owner-record.ts";

/** Who owns which service, agreed on by all hosts. Every call is answered within 400 ms. */
export interface OwnerStore {
  /** As of now, never a stale copy. @fails owner.store-away */
  read(service: PopHostId): Promise<Outcome<OwnerEntry, OwnerStoreAway>>;

  /**
   * Writes if nobody has since `ifRevision` (0: if there is no record).
   * @returns the entry as written, with its new revision
   * @fails owner.conflict with what stands there; nothing was written
   * @fails owner.store-away: it may have been written or not, or may yet be
   */
  write(
    service: PopHostId,
    record: OwnerRecord,
    ifRevision: number,
  ): Promise<Outcome<OwnerEntry, OwnerConflict | OwnerStoreAway>>;

  /** Tells of writes soon after they happen, its own included, in order; some may be missed, so read now and then as well. */
  watch(service: PopHostId, changed: (entry: OwnerEntry) => void): { close(): void };

  close(): void;
}
