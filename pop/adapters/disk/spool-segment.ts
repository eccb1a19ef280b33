// One file of the spool: events as NDJSON, appended and then read from the front.

import { type FileHandle, open, readFile, rename, rm } from "node:fs/promises";
import type { CallEvent } from "../../core/call/contact-record.ts";

/** An event as it stands in a file, end of line included. */
export interface SpoolLine {
  readonly text: string;
  readonly bytes: number;
  /** Carries a contact record: never dropped. */
  readonly ended: boolean;
}

export function lineOf(event: CallEvent): SpoolLine {
  const text = `${JSON.stringify(event)}\n`;
  return { text, bytes: Buffer.byteLength(text), ended: event.name === "call.ended" };
}

/** @returns undefined for a line that a crash or the disk has damaged */
export function eventOf(line: SpoolLine): CallEvent | undefined {
  try {
    const event: unknown = JSON.parse(line.text);
    if (typeof event !== "object" || event === null || !("id" in event)) return undefined;
    // JSON has dropped what was undefined; readers compare, so put it back.
    return { record: undefined, ...event } as CallEvent;
  } catch {
    return undefined;
  }
}

/** Quotes inside values are escaped, so this text stands only where a key and its value stand. */
const ENDED = '"name":"call.ended"';

export class SpoolSegment {
  readonly number: number;
  readonly path: string;
  /** On disk for certain; what a failed write may have left behind them does not count. */
  bytes = 0;
  events = 0;
  ended = 0;
  /** Stored by the region. */
  sentBytes = 0;
  sentEvents = 0;
  /** Raised when the file was rewritten: positions from before mean nothing any more. */
  generation = 0;
  #file: FileHandle | undefined;

  private constructor(number: number, path: string) {
    this.number = number;
    this.path = path;
  }

  static async create(number: number, path: string): Promise<SpoolSegment> {
    const segment = new SpoolSegment(number, path);
    segment.#file = await open(path, "ax", 0o600);
    return segment;
  }

  /** One that an earlier process has left; a torn last line is not counted, and nothing is appended to it. */
  static async existing(number: number, path: string): Promise<SpoolSegment> {
    const segment = new SpoolSegment(number, path);
    segment.#count(await linesFrom(path, 0, Number.POSITIVE_INFINITY));
    return segment;
  }

  get writable(): boolean {
    return this.#file !== undefined;
  }

  get unsentEvents(): number {
    return this.events - this.sentEvents;
  }

  get droppable(): number {
    return this.events - this.ended;
  }

  /** On disk when it resolves. After a failure the segment is sealed, and holds what it held. */
  async append(lines: readonly SpoolLine[]): Promise<void> {
    if (this.#file === undefined) throw new Error(`${this.path} is sealed`);
    const bytes = Buffer.from(lines.map(({ text }) => text).join(""));
    try {
      await this.#file.writeFile(bytes);
      await this.#file.datasync();
    } catch (error) {
      await this.seal();
      throw error;
    }
    this.bytes += bytes.length;
    this.events += lines.length;
    for (const { ended } of lines) if (ended) this.ended++;
  }

  async seal(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.close().catch(() => {}); // all that counts was synced before
  }

  /** What the region has not stored yet. */
  unsent(): Promise<readonly SpoolLine[]> {
    return linesFrom(this.path, this.sentBytes, this.bytes);
  }

  /** Rewrites the file with the contact records that are still unsent. @returns how many events were dropped */
  async thin(): Promise<number> {
    await this.seal();
    const unsent = await this.unsent();
    const kept = unsent.filter(({ ended }) => ended);
    const aside = `${this.path}.new`;
    const file = await open(aside, "w", 0o600);
    try {
      await file.writeFile(kept.map(({ text }) => text).join(""));
      await file.datasync();
    } finally {
      await file.close();
    }
    await rename(aside, this.path);
    this.generation++;
    this.sentBytes = 0;
    this.sentEvents = 0;
    this.#count(kept);
    return unsent.length - kept.length;
  }

  async remove(): Promise<void> {
    await this.seal();
    await rm(this.path, { force: true });
  }

  #count(lines: readonly SpoolLine[]): void {
    this.events = lines.length;
    this.ended = lines.filter(({ ended }) => ended).length;
    this.bytes = lines.reduce((sum, { bytes }) => sum + bytes, 0);
  }
}

/** Whole lines between two positions. Only what lies between them is read: the rest may be a megabyte, many times a second. */
async function linesFrom(path: string, from: number, until: number): Promise<readonly SpoolLine[]> {
  const content = await bytesFrom(path, from, until).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return Buffer.alloc(0); // somebody has cleared up behind our back: nothing left to send
    throw error;
  });
  const lines: SpoolLine[] = [];
  for (let at = 0; at < content.length; ) {
    const newline = content.indexOf(10, at);
    if (newline < 0) break; // torn: its append was never answered
    const text = content.toString("utf8", at, newline + 1);
    lines.push({ text, bytes: newline + 1 - at, ended: text.includes(ENDED) });
    at = newline + 1;
  }
  return lines;
}

async function bytesFrom(path: string, from: number, until: number): Promise<Buffer> {
  if (until === Number.POSITIVE_INFINITY) return (await readFile(path)).subarray(from);
  const file = await open(path, "r");
  try {
    const bytes = Buffer.alloc(until - from);
    let filled = 0;
    while (filled < bytes.length) {
      const { bytesRead } = await file.read(bytes, filled, bytes.length - filled, from + filled);
      if (bytesRead === 0) break; // shorter than we wrote it
      filled += bytesRead;
    }
    return bytes.subarray(0, filled);
  } finally {
    await file.close();
  }
}
