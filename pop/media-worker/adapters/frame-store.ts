// Encoded audio in memory: prompts from files, tones made once. What is least recently asked for goes first.

import { open } from "node:fs/promises";
import { fail, type Outcome, succeed } from "../../../kernel/outcome.ts";
import { encodeG711, FRAME_SAMPLES, SAMPLES_PER_SECOND, ULAW_SILENCE } from "../../core/media/g711.ts";
import type { MediaFailure } from "../../core/media/media-failure.ts";
import { toneSamples } from "../../core/media/tone.ts";

import type { AudioStore } from "../boundary/audio-store.ts";
import type { Frames } from "../core/frames.ts";

/** An hour. */
export const FILE_BYTES_MAX = 3_600 * SAMPLES_PER_SECOND;

export class FrameStore implements AudioStore {
  readonly #bytesMax: number;
  readonly #files = new Map<string, Frames>();
  readonly #loading = new Map<string, Promise<Outcome<Frames, MediaFailure>>>();
  readonly #tones = new Map<number, Frames>();
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** One second, which is a whole number of cycles of any whole frequency. */
  tone(hz: number): Frames {
    const known = this.#tones.get(hz);
    if (known !== undefined) return known;
    const made = encodeG711("PCMU", toneSamples(hz, 1_000));
    this.#tones.set(hz, made);
    if (this.#tones.size > 64) this.#tones.delete(this.#tones.keys().next().value ?? hz);
    return made;
  }

  /** A cached file is not looked at again: prompts are named by their content. @fails media.prompt-unreadable */
  async file(path: string): Promise<Outcome<Frames, MediaFailure>> {
    const known = this.#files.get(path);
    if (known !== undefined) {
      this.#files.delete(path); // to the end of the line
      this.#files.set(path, known);
      return succeed(known);
    }
    const loading = this.#loading.get(path);
    if (loading !== undefined) return loading;
    const started = load(path);
    this.#loading.set(path, started);
    const loaded = await started;
    this.#loading.delete(path);
    if (loaded.ok) this.#keep(path, loaded.value);
    return loaded;
  }

  #keep(path: string, frames: Frames): void {
    if (frames.length > this.#bytesMax) return;
    this.#files.set(path, frames);
    this.#bytes += frames.length;
    for (const [oldest, { length }] of this.#files) {
      if (this.#bytes <= this.#bytesMax) return;
      this.#files.delete(oldest);
      this.#bytes -= length;
    }
  }
}

async function load(path: string): Promise<Outcome<Frames, MediaFailure>> {
  try {
    const file = await open(path, "r");
    try {
      const { size } = await file.stat();
      if (size === 0) return unreadable(path, "empty");
      if (size > FILE_BYTES_MAX) return unreadable(path, `larger than ${FILE_BYTES_MAX} bytes`);
      const frames = new Uint8Array(Math.ceil(size / FRAME_SAMPLES) * FRAME_SAMPLES).fill(ULAW_SILENCE);
      let at = 0;
      while (at < size) {
        const { bytesRead } = await file.read(frames, at, size - at, at);
        if (bytesRead === 0) break;
        at += bytesRead;
      }
      return succeed(frames);
    } finally {
      await file.close();
    }
  } catch (error) {
    return unreadable(path, error instanceof Error ? error.message : String(error));
  }
}

const unreadable = (path: string, detail: string) =>
  fail<MediaFailure>({ code: "media.prompt-unreadable", path, detail });
