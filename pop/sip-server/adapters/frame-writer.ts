// Frames on their way to one application. Half of what a busy server does is to write to this socket and to wake the
// application up: so all frames of a turn leave in one segment, and one nobody waits for leaves with the next that is urgent.

import type { Socket } from "node:net";
import type { Urgency } from "../boundary/application-link.ts";
import { frame } from "../core/drachtio/frame.ts";

export class FrameWriter {
  readonly #socket: Socket;
  readonly #unhurriedMs: number;
  #unsent = "";
  #isDue = false;
  #timer: NodeJS.Timeout | undefined;

  /** @param unhurriedMs the longest that a frame waits for another one to go with */
  constructor(socket: Socket, unhurriedMs: number) {
    this.#socket = socket;
    this.#unhurriedMs = unhurriedMs;
    socket.once("close", () => clearTimeout(this.#timer));
  }

  /** What has not reached the kernel. */
  get backlogBytes(): number {
    return this.#socket.writableLength + this.#unsent.length;
  }

  send(payload: string, urgency: Urgency = "now"): void {
    const isFirst = this.#unsent === "";
    this.#unsent += frame(payload);
    if (this.#isDue) return;
    if (urgency === "now") {
      this.#isDue = true;
      setImmediate(this.#flush);
    } else if (isFirst) {
      // One timer for the life of the connection; one that finds nothing to do costs less than stopping it each time.
      if (this.#timer === undefined) this.#timer = setTimeout(this.#flush, this.#unhurriedMs);
      else this.#timer.refresh();
    }
  }

  flush(): void {
    this.#isDue = false;
    if (this.#unsent === "") return;
    if (this.#socket.writable) this.#socket.write(this.#unsent, "latin1");
    this.#unsent = "";
  }

  readonly #flush = (): void => this.flush();
}
