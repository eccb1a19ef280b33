// Events on their way to the region, from the disk of a host: another process of the host finds there what the last one
// has not got rid of.

import type { SimProcess } from "../../kernel/sim/process.ts";
import type { EventSink, SpoolState } from "../../pop/boundary/event-sink.ts";
import type { CallEvent } from "../../pop/core/call/contact-record.ts";
import type { SimRegion } from "./region.ts";

const AGAIN_MS = 1_000;

/** What is written on a disk, by the id of the event. */
export type SpoolDisk = Map<string, CallEvent>;

export class SimEventSpool implements EventSink {
  readonly #pop: SimProcess;
  readonly #region: SimRegion;
  readonly #disk: SpoolDisk;
  #isSending = false;
  readonly #settledListeners: ((events: readonly CallEvent[]) => void)[] = [];

  constructor(pop: SimProcess, region: SimRegion, disk: SpoolDisk) {
    this.#pop = pop;
    this.#region = region;
    this.#disk = disk;
    pop.after(1, () => this.#send());
  }

  async append(events: readonly CallEvent[]): Promise<void> {
    for (const event of events) this.#disk.set(event.id, event);
    this.#send();
  }

  onSettled(listener: (events: readonly CallEvent[]) => void): void {
    this.#settledListeners.push(listener);
  }

  state(): SpoolState {
    return { events: this.#disk.size, bytes: 0, dropped: 0 };
  }

  async close(): Promise<void> {}

  #send(): void {
    if (this.#isSending || this.#disk.size === 0) return;
    this.#isSending = true;
    const batch = [...this.#disk.values()];
    let isOver = false;
    const over = () => {
      isOver = true;
      this.#isSending = false;
      this.#send();
    };
    const giveUp = this.#pop.after(AGAIN_MS, () => isOver || over());
    this.#region.publish(this.#pop, batch, () => {
      if (isOver) return;
      giveUp.cancel();
      for (const { id } of batch) this.#disk.delete(id);
      for (const listener of this.#settledListeners) listener(batch);
      over();
    });
  }
}
