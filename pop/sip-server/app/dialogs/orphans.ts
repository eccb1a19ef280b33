// Dialogs whose application has lost its connection: they live on for a grace time, then each gets its BYE, a few per turn.

import type { Owner, Owners } from "../applications/owners.ts";
import type { Shell } from "../shell/shell.ts";
import { OneShot, type TimerOwner, type WheelTimer } from "../shell/timer-wheel.ts";
import type { DialogEntry, DialogStore } from "./dialog-store.ts";

/** BYEs go out in turns of this length. */
const TURN_MS = 100;

export interface OrphanUser {
  /** Nobody will speak for this dialog again. */
  endOrphan(entry: DialogEntry): void;
}

export class Orphans implements TimerOwner {
  readonly #shell: Shell;
  readonly #dialogs: DialogStore;
  readonly #owners: Owners;
  readonly #user: OrphanUser;
  readonly #failed: (error: unknown) => void;
  readonly #graces = new Map<Owner, OneShot>();
  /** Their grace is over; they are given up in turns. */
  readonly #doomed: DialogEntry[] = [];
  #turn: WheelTimer | undefined;

  constructor(shell: Shell, dialogs: DialogStore, owners: Owners, user: OrphanUser, failed: (error: unknown) => void) {
    this.#shell = shell;
    this.#dialogs = dialogs;
    this.#owners = owners;
    this.#user = user;
    this.#failed = failed;
  }

  get waitingCount(): number {
    return this.#doomed.length;
  }

  /** The owner's connection is gone. */
  begin(owner: Owner, graceMs = this.#shell.limits.orphanGraceMs): void {
    this.#stop(owner);
    const grace = new OneShot(() => this.giveUp(owner));
    grace.timer = this.#shell.wheel.start(grace, "orphans", graceMs);
    this.#graces.set(owner, grace);
  }

  /** The owner is back: its dialogs are its own again, except for those that have had their BYE. */
  end(owner: Owner): void {
    this.#stop(owner);
    for (let at = this.#doomed.length - 1; at >= 0; at--)
      if (this.#doomed[at]?.owner === owner) this.#doomed.splice(at, 1);
  }

  /** The owner does not come back, or has forgotten everything. */
  giveUp(owner: Owner): void {
    this.#stop(owner);
    this.#owners.forget(owner);
    this.doom(this.#dialogs.ownedBy(owner));
  }

  /** Their application is there, and does not know them. */
  doom(entries: Iterable<DialogEntry>): void {
    for (const entry of entries) this.#doomed.push(entry);
    if (this.#doomed.length > 0 && this.#turn === undefined) this.onTimer();
  }

  onTimer(): void {
    const { counters, limits, wheel } = this.#shell;
    this.#turn = undefined;
    const atOnce = Math.max(1, Math.ceil((limits.orphanByesPerSecond * TURN_MS) / 1_000));
    for (const entry of this.#doomed.splice(0, atOnce)) {
      if (entry.dialog.phase === "terminated") continue;
      counters.add("orphaned_dialogs_ended");
      try {
        this.#user.endOrphan(entry);
      } catch (error) {
        this.#failed(error); // the others have their turn all the same
      }
    }
    if (this.#doomed.length > 0) this.#turn = wheel.start(this, "turn", TURN_MS);
  }

  #stop(owner: Owner): void {
    const grace = this.#graces.get(owner);
    if (grace?.timer !== undefined) this.#shell.wheel.stop(grace.timer);
    this.#graces.delete(owner);
  }
}
