import { Inbox } from "../../../kernel/inbox.ts";

/** Messages waiting for the wire: bounded, first in, first out, read by one stream. */
export class Outgoing<Message> implements AsyncIterable<Message> {
  readonly #backlog: Inbox<Message>;
  #wake: (() => void) | undefined;
  #ended = false;

  constructor(messagesMax: number) {
    this.#backlog = new Inbox(messagesMax);
  }

  /** @returns false if it is full: the other side does not read */
  put(message: Message): boolean {
    if (this.#ended) return true; // nobody will read it, and nobody has to
    const taken = this.#backlog.put(message).ok;
    this.#wake?.();
    return taken;
  }

  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Message, void, undefined> {
    for (;;) {
      const message = this.#backlog.take();
      if (message !== undefined) yield message;
      else if (this.#ended) return;
      else
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
    }
  }
}
