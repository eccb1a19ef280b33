import type { CallId } from "../../../kernel/ids.ts";
import { fail, type Outcome, succeed } from "../../../kernel/outcome.ts";
import type { CallStore, StoreAway } from "../../boundary/call-store.ts";

/** A CallStore for tests and simulations; `away` and `back` are the test's to say. */
export class MemoryCallStore implements CallStore {
  /** What a twin would find. */
  readonly written: Map<CallId, string>;
  readonly #alive = new Map<CallId, string>();
  #away = false;

  /** @param written shared by those that are to be one store */
  constructor(written = new Map<CallId, string>()) {
    this.written = written;
  }

  away(): void {
    this.#away = true;
  }

  /** @param empty as if the store had lost everything */
  back(empty = false): void {
    this.#away = false;
    if (empty) this.written.clear();
    for (const call of this.written.keys()) if (!this.#alive.has(call)) this.written.delete(call);
    for (const [call, state] of this.#alive) this.written.set(call, state);
  }

  save(call: CallId, state: string): void {
    this.#alive.set(call, state);
    if (!this.#away) this.written.set(call, state);
  }

  remove(call: CallId): void {
    this.#alive.delete(call);
    if (!this.#away) this.written.delete(call);
  }

  async load(): Promise<Outcome<ReadonlyMap<CallId, string>, StoreAway>> {
    if (this.#away) return AWAY;
    for (const [call, state] of this.written) this.#alive.set(call, state);
    return succeed(new Map(this.written));
  }

  async flush(): Promise<Outcome<void, StoreAway>> {
    return this.health();
  }

  health(): Outcome<void, StoreAway> {
    return this.#away ? AWAY : succeed(undefined);
  }

  async close(): Promise<void> {}
}

const AWAY: Outcome<never, StoreAway> = fail({ code: "store.away", forMs: 0 });
