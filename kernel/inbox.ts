import { fail, type Outcome, succeed } from "./outcome.ts";

export interface InboxFull {
  readonly code: "inbox.full";
  readonly limit: number;
}

/**
 * First in, first out, with a bound: the waiting room of a state machine.
 * A full inbox refuses; the caller decides what that means for the input at hand.
 */
export class Inbox<Input> {
  readonly limit: number;
  #items: Input[] = [];
  #head = 0;

  constructor(limit: number) {
    this.limit = limit;
  }

  get size(): number {
    return this.#items.length - this.#head;
  }

  /** @fails inbox.full */
  put(input: Input): Outcome<void, InboxFull> {
    if (this.size >= this.limit) return fail({ code: "inbox.full", limit: this.limit });
    this.#items.push(input);
    return succeed(undefined);
  }

  take(): Input | undefined {
    if (this.#head === this.#items.length) return undefined;
    const input = this.#items[this.#head++];
    // Cut the used part off now and then, so that taking stays O(1) and memory is given back.
    if (this.#head === this.#items.length || this.#head > 1_024) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return input;
  }
}
