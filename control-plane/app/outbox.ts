import { Inbox } from "../../kernel/inbox.ts";

/**
 * What waits to be sent on one stream, in order, with a bound. A reader that does not keep up loses the stream,
 * not single messages: on its next hello it is told everything anew.
 */
export class Outbox<Item> implements AsyncIterable<Item> {
  readonly #items: Inbox<Item>;
  #wake: () => void = () => {};
  #closed = false;

  constructor(limit: number) {
    this.#items = new Inbox<Item>(limit);
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** False when full or closed. */
  put(item: Item): boolean {
    if (this.#closed || !this.#items.put(item).ok) return false;
    this.#wake();
    return true;
  }

  /** Ends the stream; what was put before is dropped. Safe to repeat. */
  close(): void {
    this.#closed = true;
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Item> {
    while (!this.#closed) {
      const item = this.#items.take();
      if (item !== undefined) {
        yield item;
        continue;
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        if (this.#closed) resolve();
      });
    }
  }
}
