import { closeSync, existsSync, openSync, renameSync, writeSync } from "node:fs";

/**
 * What one process wrote, whole and raw. Bounded: moved aside to FILE.1 (and that one lost) at every start, and whenever
 * it has grown to its bound.
 */
export class LogFile {
  readonly path: string;
  readonly #bytesMax: number;
  #bytes = 0;
  #fd: number;

  constructor(path: string, bytesMax: number = 32 * 1_024 * 1_024) {
    this.path = path;
    this.#bytesMax = bytesMax;
    this.#fd = this.#open();
  }

  write(line: string): void {
    const bytes = Buffer.from(`${line}\n`);
    if (this.#bytes + bytes.length > this.#bytesMax) {
      closeSync(this.#fd);
      this.#fd = this.#open();
    }
    this.#bytes += bytes.length;
    writeSync(this.#fd, bytes);
  }

  close(): void {
    closeSync(this.#fd);
  }

  #open(): number {
    if (existsSync(this.path)) renameSync(this.path, `${this.path}.1`);
    this.#bytes = 0;
    return openSync(this.path, "w", 0o600);
  }
}
