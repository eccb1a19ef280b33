import type { CallId } from "../../kernel/ids.ts";
import type { ContactEventStore } from "../boundary/contact-event-store.ts";
import type { Decision } from "../core/queue/shard-messages.ts";

interface Entry {
  readonly contactId: CallId;
  readonly decision: Decision;
}

const FLUSH_AFTER_MS = 50;
const RETRY_AFTER_MS = 1_000;
const BATCH_MAX = 500;

/** Queue decisions on their way to the event store: in batches, in order; the oldest go when the store is away too long. */
export class DecisionJournal {
  readonly #store: ContactEventStore;
  readonly #entriesMax: number;
  #entries: Entry[] = [];
  #timer: NodeJS.Timeout | undefined;
  #flushing: Promise<void> | undefined;
  /** Entries that had to go, since the start. */
  dropped = 0;

  constructor(store: ContactEventStore, entriesMax: number) {
    this.#store = store;
    this.#entriesMax = entriesMax;
  }

  add(contactId: CallId, decision: Decision): void {
    this.#entries.push({ contactId, decision });
    if (this.#entries.length > this.#entriesMax) {
      this.#entries.shift();
      this.dropped++;
    }
    this.#flushAfter(FLUSH_AFTER_MS);
  }

  /** Not yet stored. */
  pendingOf(contactId: CallId): readonly Decision[] {
    return this.#entries.filter((entry) => entry.contactId === contactId).map(({ decision }) => decision);
  }

  async stop(): Promise<void> {
    clearTimeout(this.#timer);
    await this.#flushing;
    await this.#flush();
    clearTimeout(this.#timer);
  }

  #flushAfter(waitMs: number): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#flushing ??= this.#flush().finally(() => {
        this.#flushing = undefined;
      });
    }, waitMs);
  }

  async #flush(): Promise<void> {
    while (this.#entries.length > 0) {
      const batch = this.#entries.slice(0, BATCH_MAX);
      const stored = await this.#store.journal(batch);
      if (!stored.ok) return this.#flushAfter(RETRY_AFTER_MS);
      const done = new Set(batch);
      this.#entries = this.#entries.filter((entry) => !done.has(entry));
    }
  }
}
