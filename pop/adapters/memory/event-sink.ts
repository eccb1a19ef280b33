import type { EventPublisher, EventSink, SpoolState } from "../../boundary/event-sink.ts";
import type { CallEvent } from "../../core/call/contact-record.ts";

export interface MemoryEventSinkOptions {
  /** Without one, events stay in `waiting`. */
  readonly publisher?: EventPublisher;
  readonly eventsMax?: number;
  readonly retryAfterMs?: number;
}

const EVENTS_PER_BATCH_MAX = 200;

/** An EventSink for tests and simulations: as the spool on disk, but forgotten with the process. */
export class MemoryEventSink implements EventSink {
  /** Every event ever appended, in order. */
  readonly appended: CallEvent[] = [];
  /** What nobody has taken yet. A refused one is taken. */
  waiting: CallEvent[] = [];
  readonly #publisher: EventPublisher | undefined;
  readonly #eventsMax: number;
  readonly #retryAfterMs: number;
  readonly #listeners: ((events: readonly CallEvent[]) => void)[] = [];
  #dropped = 0;
  #sending = false;
  #retry: NodeJS.Timeout | undefined;
  #closed = false;

  constructor({ publisher, eventsMax = 100_000, retryAfterMs = 5 }: MemoryEventSinkOptions = {}) {
    this.#publisher = publisher;
    this.#eventsMax = eventsMax;
    this.#retryAfterMs = retryAfterMs;
  }

  async append(events: readonly CallEvent[]): Promise<void> {
    this.appended.push(...events);
    this.waiting.push(...events);
    let excess = this.waiting.length - this.#eventsMax;
    this.waiting = this.waiting.filter(({ name }) => {
      if (excess <= 0 || name === "call.ended") return true;
      excess--;
      this.#dropped++;
      return false;
    });
    void this.#send();
  }

  onSettled(listener: (events: readonly CallEvent[]) => void): void {
    this.#listeners.push(listener);
  }

  state(): SpoolState {
    const bytes = this.waiting.reduce((sum, event) => sum + JSON.stringify(event).length, 0);
    return { events: this.waiting.length, bytes, dropped: this.#dropped };
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#retry);
  }

  async #send(): Promise<void> {
    if (this.#sending || this.#publisher === undefined) return;
    this.#sending = true;
    let batchMax = EVENTS_PER_BATCH_MAX;
    while (this.waiting.length > 0 && !this.#closed) {
      const batch = this.waiting.slice(0, batchMax);
      const stored = await this.#publisher.publish(batch);
      if (!stored.ok && stored.failure.code === "events.refused" && batch.length > 1) {
        batchMax = Math.ceil(batch.length / 2);
      } else if (stored.ok || stored.failure.code === "events.refused") {
        const taken = new Set(batch);
        this.waiting = this.waiting.filter((event) => !taken.has(event));
        for (const listener of this.#listeners) listener(batch);
        batchMax = EVENTS_PER_BATCH_MAX;
      } else {
        this.#retry = setTimeout(() => void this.#send(), this.#retryAfterMs);
        break;
      }
    }
    this.#sending = false;
  }
}
