import type { Channel } from "nice-grpc";
import { Outgoing } from "./outgoing.ts";
import type { RegionChannel } from "./region-channel.ts";

export type Connect<Up, Down> = (channel: Channel, up: AsyncIterable<Up>, signal: AbortSignal) => AsyncIterable<Down>;

export interface StreamEvents<Down> {
  opened(): void;
  received(message: Down): void;
  /** Once, unless it was dropped by us. */
  lost(detail: string): void;
}

/** One attempt at a stream in both directions. Tells nothing more once it is dropped. */
export class RegionStream<Up, Down> {
  readonly #up: Outgoing<Up>;
  readonly #events: StreamEvents<Down>;
  readonly #abort = new AbortController();
  readonly #done: Promise<void>;
  #over = false;

  constructor(channel: RegionChannel, connect: Connect<Up, Down>, messagesMax: number, events: StreamEvents<Down>) {
    this.#up = new Outgoing(messagesMax);
    this.#events = events;
    this.#done = this.#run(channel, connect);
  }

  send(message: Up): void {
    if (!this.#up.put(message)) this.#lose("the region does not read what we send");
  }

  /** Resolves when nothing of it is left. */
  drop(): Promise<void> {
    this.#over = true;
    this.#up.end();
    this.#abort.abort();
    return this.#done;
  }

  async #run(channel: RegionChannel, connect: Connect<Up, Down>): Promise<void> {
    try {
      const reached = await Promise.race([channel.reach(), this.#dropped()]);
      if (this.#over || reached === undefined) return;
      if (!reached.ok) return this.#lose(reached.failure.detail);
      const down = connect(reached.value, this.#up, this.#abort.signal);
      this.#events.opened();
      for await (const message of down) {
        if (this.#over) return;
        this.#events.received(message);
      }
      this.#lose("the region ended the stream");
    } catch (error) {
      this.#lose(error instanceof Error ? error.message : String(error));
    } finally {
      this.#up.end();
    }
  }

  #dropped(): Promise<undefined> {
    return new Promise((resolve) => {
      this.#abort.signal.addEventListener("abort", () => resolve(undefined), { once: true });
    });
  }

  #lose(detail: string): void {
    if (this.#over) return;
    this.#over = true;
    this.#events.lost(detail);
  }
}
