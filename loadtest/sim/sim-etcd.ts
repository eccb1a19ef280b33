// The region's etcd as the keepers see it: one record per service, written by compare-and-swap. May be slow or away; a
// write that is under way when it goes away may have been taken or not.

import type { PopHostId } from "../../kernel/ids.ts";
import { fail, type Outcome, succeed } from "../../kernel/outcome.ts";
import type { SimProcess } from "../../kernel/sim/process.ts";
import type { SimWorld } from "../../kernel/sim/world.ts";
import type { OwnerConflict, OwnerStoreAway } from "../../pop/keeper/core/keeper-words.ts";
import type { OwnerEntry, OwnerRecord } from "../../pop/keeper/core/owner-record.ts";
import type { Paths } from "./paths.ts";

const GIVE_UP_MS = 400;
const NOTHING: OwnerEntry = { record: undefined, revision: 0, writtenAtUnixMs: undefined };

interface Watch {
  readonly by: SimProcess;
  changed(service: PopHostId, entry: OwnerEntry): void;
}

export class SimEtcd {
  readonly #world: SimWorld;
  readonly #paths: Paths;
  readonly #entries = new Map<PopHostId, OwnerEntry>();
  #watches: Watch[] = [];
  #revision = 0;
  isAway = false;
  answerMs = 3;
  /** Looks at every write that was taken. */
  onWritten: (service: PopHostId, record: OwnerRecord) => void = () => {};

  constructor(world: SimWorld, paths: Paths) {
    this.#world = world;
    this.#paths = paths;
  }

  entryOf(service: PopHostId): OwnerEntry {
    return this.#entries.get(service) ?? NOTHING;
  }

  read(by: SimProcess, service: PopHostId, told: (outcome: Outcome<OwnerEntry, OwnerStoreAway>) => void): void {
    this.#ask(by, () => succeed(this.entryOf(service)), told);
  }

  write(
    by: SimProcess,
    service: PopHostId,
    record: OwnerRecord,
    ifRevision: number,
    told: (outcome: Outcome<OwnerEntry, OwnerConflict | OwnerStoreAway>) => void,
  ): void {
    const writtenAtUnixMs = by.machine.unixMs();
    this.#ask<OwnerEntry, OwnerConflict>(
      by,
      () => {
        const before = this.entryOf(service);
        if (before.revision !== ifRevision) return fail({ code: "owner.conflict", entry: before });
        this.#revision += 1;
        const entry: OwnerEntry = { record, revision: this.#revision, writtenAtUnixMs };
        this.#entries.set(service, entry);
        this.onWritten(service, record);
        for (const watch of this.#watches) this.#tell(watch, service, entry);
        return succeed(entry);
      },
      told,
    );
  }

  watch(by: SimProcess, changed: Watch["changed"]): void {
    const watch = { by, changed };
    this.#watches.push(watch);
    by.whenDead(() => {
      this.#watches = this.#watches.filter((other) => other !== watch);
    });
  }

  /** Some are missed. */
  #tell({ by, changed }: Watch, service: PopHostId, entry: OwnerEntry): void {
    if (this.#world.rng.next() < 0.02) return;
    this.#world.after(this.#oneWayMs(), () => {
      if (this.#reaches(by)) by.take(() => changed(service, entry));
    });
  }

  #ask<T, F>(by: SimProcess, run: () => Outcome<T, F>, told: (outcome: Outcome<T, F | OwnerStoreAway>) => void): void {
    let isSettled = false;
    const settle = (outcome: Outcome<T, F | OwnerStoreAway>) => {
      if (isSettled) return;
      isSettled = true;
      patience.cancel();
      told(outcome);
    };
    const patience = by.after(GIVE_UP_MS, () => settle(fail({ code: "owner.store-away", detail: "no answer" })));
    this.#world.after(this.#oneWayMs(), () => {
      if (this.isAway || !this.#reaches(by)) return;
      const outcome = run();
      this.#world.after(this.#oneWayMs(), () => {
        if (!this.isAway && this.#reaches(by)) by.take(() => settle(outcome));
      });
    });
  }

  #oneWayMs(): number {
    return (this.answerMs / 2) * (0.5 + this.#world.rng.next());
  }

  #reaches(by: SimProcess): boolean {
    const at = by.machine.name;
    return this.#paths.isOpen(at, "etcd") && this.#paths.isOpen("etcd", at);
  }
}
