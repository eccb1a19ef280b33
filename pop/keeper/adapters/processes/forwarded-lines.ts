// What the processes of a host write goes on to whoever reads the keeper, each line under its process' name. A reader
// that has stopped reading must not stop the keeper: it is what everybody's lease hangs on.

import type { WriteStream } from "node:tty";

const BYTES_WAITING_MAX = 4 * 1_048_576;

type Output = Pick<WriteStream, "write" | "writableLength"> & {
  readonly _handle?: { setBlocking?(on: boolean): void };
};

export class ForwardedLines {
  readonly #output: Output;
  #dropped = 0;

  /** @param output a pipe as standard output is written to synchronously by Node: that is undone */
  constructor(output: Output) {
    this.#output = output;
    output._handle?.setBlocking?.(false);
  }

  /** Beyond 4 MiB that nobody has read, lines are dropped, and counted in the next that gets through. */
  readonly forward = (process: string, line: string): void => {
    if (this.#output.writableLength > BYTES_WAITING_MAX) {
      this.#dropped++;
      return;
    }
    if (this.#dropped > 0) {
      this.#output.write(`[${process}] (${this.#dropped} lines of this host were dropped: nobody read them)\n`);
      this.#dropped = 0;
    }
    this.#output.write(`[${process}] ${line}\n`);
  };
}
