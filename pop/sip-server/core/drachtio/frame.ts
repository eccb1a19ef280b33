// Frames of the drachtio protocol: `<bytes>#payload`. Pure: bytes in, payloads out, whatever way they were split.

import { fail, type Outcome, succeed } from "../../../../kernel/outcome.ts";

export interface FrameFault {
  readonly code: "frame.unusable";
  readonly fault: "length" | "too-large";
}

/** Puts frames together again. Bounded: never holds more than one frame of `frameBytesMax` and its prefix. */
export class FrameReader {
  readonly frameBytesMax: number;
  /** Chunks are kept apart until a frame is complete, so that a large frame costs one copy, not one per chunk. */
  #chunks: string[] = [];
  #waitingBytes = 0;
  /** Bytes needed before another look pays; 0 while the length is not known. */
  #neededBytes = 0;
  #fault: FrameFault["fault"] | undefined;
  #beginning = "";

  constructor(frameBytesMax: number) {
    this.frameBytesMax = frameBytesMax;
  }

  /** Nothing more will come out: close, after the frames that were whole. */
  get fault(): FrameFault["fault"] | undefined {
    return this.#fault;
  }

  /** What has come of the payload that was too large: it may name the command. */
  get beginning(): string {
    return this.#beginning;
  }

  /** @fails frame.unusable: a peer that has lost the thread; close. What was whole before it has come out first. */
  take(chunk: string): Outcome<readonly string[], FrameFault> {
    if (this.#fault !== undefined) return unusable(this.#fault);
    this.#chunks.push(chunk);
    this.#waitingBytes += chunk.length;
    if (this.#waitingBytes < this.#neededBytes) return succeed(NONE);
    const text = this.#chunks.length === 1 ? chunk : this.#chunks.join("");
    const payloads: string[] = [];
    let at = 0;
    this.#neededBytes = 0;
    while (at < text.length) {
      const hash = text.indexOf("#", at);
      if (hash === -1 && text.length - at <= LENGTH_DIGITS_MAX) break;
      const digits = hash === -1 ? "" : text.slice(at, hash);
      const bytes = /^\d{1,8}$/.test(digits) ? Number(digits) : Number.NaN;
      if (!(bytes <= this.frameBytesMax)) {
        this.#fault = Number.isNaN(bytes) ? "length" : "too-large";
        if (this.#fault === "too-large") this.#beginning = text.slice(hash + 1, hash + 1 + BEGINNING_MAX);
        this.#chunks = [];
        this.#waitingBytes = 0;
        return payloads.length === 0 ? unusable(this.#fault) : succeed(payloads);
      }
      const end = hash + 1 + bytes;
      if (end > text.length) {
        this.#neededBytes = end - at;
        break;
      }
      payloads.push(text.slice(hash + 1, end));
      at = end;
    }
    const rest = at === 0 ? text : text.slice(at);
    this.#chunks = rest === "" ? [] : [rest];
    this.#waitingBytes = rest.length;
    return succeed(payloads);
  }
}

const unusable = (fault: FrameFault["fault"]): Outcome<readonly string[], FrameFault> =>
  fail({ code: "frame.unusable", fault });

/** @param payload bytes as latin-1 */
export const frame = (payload: string): string => `${payload.length}#${payload}`;

const LENGTH_DIGITS_MAX = 8;
const BEGINNING_MAX = 80;
const NONE: readonly string[] = [];
