import { fail, type Outcome, succeed } from "../../../kernel/outcome.ts";
import type { IntentConflict, IntentStore } from "../../boundary/intent-store.ts";
import type { StoreAway } from "../../boundary/store-away.ts";
import type { IntentChange } from "../../core/tenancy/apply.ts";
import { EMPTY_INTENT, type Intent, objectKey } from "../../core/tenancy/intent.ts";

/** Intent in memory, for tests and `dev`. `away` takes it away and brings it back. */
export class MemoryIntentStore implements IntentStore {
  away = false;
  #intent: Intent = EMPTY_INTENT;
  readonly #watchers = new Set<() => void>();

  async read(): Promise<Outcome<Intent, StoreAway>> {
    return this.away ? fail(AWAY) : succeed(this.#intent);
  }

  async commit(
    judgedAgainst: number,
    next: Pick<Intent, "version" | "madeAtUnixMs">,
    change: IntentChange,
  ): Promise<Outcome<void, IntentConflict | StoreAway>> {
    if (this.away) return fail(AWAY);
    if (this.#intent.version !== judgedAgainst) return fail({ code: "intent.conflict", judgedAgainst });
    const objects = new Map(this.#intent.objects);
    for (const { tenantId, kind, id } of change.deletes) objects.delete(objectKey(tenantId, kind, id));
    for (const object of change.puts) objects.set(objectKey(object.tenantId, object.kind, object.id), object);
    this.#intent = { version: next.version, madeAtUnixMs: next.madeAtUnixMs, objects };
    for (const changed of this.#watchers) queueMicrotask(changed);
    return succeed(undefined);
  }

  watch(changed: () => void): { close(): void } {
    this.#watchers.add(changed);
    return { close: () => void this.#watchers.delete(changed) };
  }
}

const AWAY: StoreAway = { code: "store.away", store: "memory", detail: "taken away" };
