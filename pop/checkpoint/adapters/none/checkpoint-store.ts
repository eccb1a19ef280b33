import { fail, type Outcome, succeed } from "../../../../kernel/outcome.ts";
import type { CheckpointStore, StoreAway } from "../../boundary/checkpoint-store.ts";

/** Of a process that was told of no store: nothing is written down, nobody waits, and calls end with the process. */
export class NoCheckpointStore implements CheckpointStore {
  save(): void {}

  remove(): void {}

  committed(_field: string, then: () => void): void {
    then();
  }

  async load(): Promise<Outcome<ReadonlyMap<string, string>, never>> {
    return succeed(new Map());
  }

  async flush(): Promise<Outcome<void, never>> {
    return succeed(undefined);
  }

  /** What it means for a takeover is the same as of one that is away. */
  health(): Outcome<void, StoreAway> {
    return fail({ code: "store.away", forMs: 0 });
  }

  async close(): Promise<void> {}
}
