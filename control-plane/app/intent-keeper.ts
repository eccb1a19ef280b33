// The intent as this replica knows it: read, watched, changed. Away, what is known stays in use.

import { backoffMs, GENTLE_BACKOFF } from "../../kernel/backoff.ts";
import type { TenantId } from "../../kernel/ids.ts";
import type { Log } from "../../kernel/log.ts";
import { fail, type Outcome } from "../../kernel/outcome.ts";
import type { Rng } from "../../kernel/rng.ts";
import type { Clock } from "../../kernel/time.ts";
import type { IntentConflict, IntentStore } from "../boundary/intent-store.ts";
import type { StoreAway } from "../boundary/store-away.ts";
import { type Snapshot, snapshotOf } from "../core/snapshot/snapshot.ts";
import { type Applied, applyDocuments, type ConfigRefused } from "../core/tenancy/apply.ts";
import { EMPTY_INTENT, type Intent, type StoredUnreadable } from "../core/tenancy/intent.ts";

const CONFLICTS_MAX = 5;

export type ApplyFailure = ConfigRefused | IntentConflict | StoreAway | StoredUnreadable;

export class IntentKeeper {
  readonly #store: IntentStore;
  readonly #clock: Clock;
  readonly #rng: Rng;
  readonly #log: Log;
  readonly #listeners: ((intent: Intent) => void)[] = [];
  #intent: Intent = EMPTY_INTENT;
  #snapshot: Snapshot | undefined;
  #loaded = false;
  #fault: string | undefined = "not read yet";
  #reading = false;
  #readAgain = false;
  #stopped = false;
  #retry: NodeJS.Timeout | undefined;
  #watch: { close(): void } | undefined;

  constructor(parts: { store: IntentStore; clock: Clock; rng: Rng; log: Log }) {
    this.#store = parts.store;
    this.#clock = parts.clock;
    this.#rng = parts.rng;
    this.#log = parts.log;
  }

  /** Returns at once; the intent arrives when the store answers. */
  start(): void {
    this.#watch = this.#store.watch(() => void this.#refresh());
    void this.#refresh();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#retry);
    this.#watch?.close();
  }

  /** What is in use: the newest that could be read and proved itself. */
  get intent(): Intent {
    return this.#intent;
  }

  /** Undefined until the intent was read, or while nothing was ever applied. */
  get snapshot(): Snapshot | undefined {
    return this.#snapshot;
  }

  get loaded(): boolean {
    return this.#loaded;
  }

  /** Why the newest intent is not in use; undefined: it is. */
  get fault(): string | undefined {
    return this.#fault;
  }

  onChange(listener: (intent: Intent) => void): void {
    this.#listeners.push(listener);
  }

  /** @fails config.refused, intent.conflict after several tries, store.away, intent.unreadable */
  async apply(
    tenantId: TenantId,
    documents: readonly unknown[],
    how: { readonly dryRun: boolean },
  ): Promise<Outcome<Applied, ApplyFailure>> {
    for (let attempt = 0; ; attempt++) {
      const current = await this.#store.read();
      if (!current.ok) return current;
      const applied = applyDocuments(current.value, tenantId, documents, this.#clock.unixMs());
      if (!applied.ok || how.dryRun) return applied;
      const { intent, stored } = applied.value;
      if (intent.version === current.value.version) {
        this.#take(current.value); // nothing changed, yet who applied reads what is there
        return applied;
      }
      const proved = snapshotOf(intent);
      if (!proved.ok) throw new Error(`an apply would break the snapshot: ${proved.failure.mistakes.join("; ")}`);
      const committed = await this.#store.commit(current.value.version, intent, stored);
      if (committed.ok) {
        this.#take(intent);
        return applied;
      }
      if (committed.failure.code === "store.away" || attempt >= CONFLICTS_MAX) return fail(committed.failure);
      await new Promise((resolve) => setTimeout(resolve, 20 * this.#rng.next() * (attempt + 1)));
    }
  }

  async #refresh(): Promise<void> {
    if (this.#stopped) return;
    if (this.#reading) {
      this.#readAgain = true;
      return;
    }
    this.#reading = true;
    for (let attempt = 0; !this.#stopped; ) {
      this.#readAgain = false;
      const read = await this.#store.read();
      if (read.ok) {
        this.#take(read.value);
        if (this.#readAgain) continue;
        break;
      }
      this.#fail(read.failure.code, read.failure);
      const waitMs = backoffMs(GENTLE_BACKOFF, attempt++, this.#rng);
      await new Promise<void>((resolve) => {
        this.#retry = setTimeout(resolve, waitMs);
        if (this.#stopped) resolve();
      });
    }
    this.#reading = false;
  }

  #take(intent: Intent): void {
    if (this.#loaded && intent.version === this.#intent.version) {
      this.#recovered();
      return;
    }
    // A store that forgot (restored from an old copy, or empty) must not take calls away from anybody.
    if (intent.version < this.#intent.version)
      return this.#fail("intent.went-back", { from: this.#intent.version, to: intent.version });
    const proved = snapshotOf(intent);
    if (!proved.ok) return this.#fail(proved.failure.code, proved.failure);
    this.#intent = intent;
    this.#snapshot = intent.version === 0 ? undefined : proved.value;
    this.#loaded = true;
    this.#recovered();
    this.#log.info("intent.taken", { version: intent.version, objects: intent.objects.size });
    for (const listener of this.#listeners) listener(intent);
  }

  #recovered(): void {
    if (this.#fault !== undefined && this.#loaded) this.#log.info("intent.readable", { version: this.#intent.version });
    this.#fault = undefined;
  }

  #fail(code: string, fields: object): void {
    if (this.#fault !== code)
      this.#log.warn("intent.not-newest", { ...fields, failure: code, using: this.#intent.version });
    this.#fault = code;
  }
}
