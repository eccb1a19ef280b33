import type { PopHostId } from "../../../../kernel/ids.ts";
import { fail, type Outcome, succeed } from "../../../../kernel/outcome.ts";
import type { OwnerStore } from "../../boundary/owner-store.ts";
import type { OwnerConflict, OwnerStoreAway } from "../../core/keeper-words.ts";
import type { OwnerEntry, OwnerRecord } from "../../core/owner-record.ts";

/** What several hosts' stores share. */
export class OwnerRecords {
  readonly entries = new Map<PopHostId, OwnerEntry>();
  readonly watchers = new Set<{ readonly service: PopHostId; changed(entry: OwnerEntry): void }>();
  away = false;
  revision = 0;
}

const NOBODY: OwnerEntry = { record: undefined, revision: 0, writtenAtUnixMs: undefined };
const AWAY: OwnerStoreAway = { code: "owner.store-away", detail: "in memory, told to be away" };

export class MemoryOwnerStore implements OwnerStore {
  readonly #records: OwnerRecords;
  readonly #unixMs: () => number;

  constructor(records = new OwnerRecords(), unixMs: () => number = Date.now) {
    this.#records = records;
    this.#unixMs = unixMs;
  }

  async read(service: PopHostId): Promise<Outcome<OwnerEntry, OwnerStoreAway>> {
    if (this.#records.away) return fail(AWAY);
    return succeed(this.#records.entries.get(service) ?? NOBODY);
  }

  async write(
    service: PopHostId,
    record: OwnerRecord,
    ifRevision: number,
  ): Promise<Outcome<OwnerEntry, OwnerConflict | OwnerStoreAway>> {
    if (this.#records.away) return fail(AWAY);
    const now = this.#records.entries.get(service) ?? NOBODY;
    if (now.revision !== ifRevision) return fail({ code: "owner.conflict", entry: now });
    const entry = { record, revision: ++this.#records.revision, writtenAtUnixMs: this.#unixMs() };
    this.#records.entries.set(service, entry);
    for (const watcher of [...this.#records.watchers]) if (watcher.service === service) watcher.changed(entry);
    return succeed(entry);
  }

  watch(service: PopHostId, changed: (entry: OwnerEntry) => void): { close(): void } {
    const watcher = { service, changed };
    this.#records.watchers.add(watcher);
    return { close: () => this.#records.watchers.delete(watcher) };
  }

  close(): void {}
}
