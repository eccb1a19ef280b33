// What a prompt should sound like: made by the product's own prompt store in a folder of the demo's own, decoded here.

import { readFileSync } from "node:fs";
import { FilePromptStore } from "../../pop/adapters/prompts/prompt-store.ts";
import { decodeG711 } from "../../pop/core/media/g711.ts";
import type { Prompt } from "../../pop/core/media/prompt.ts";

export class ReferenceAudio {
  readonly #store: FilePromptStore;

  constructor(folders: { readonly folder: string; readonly cacheFolder: string }) {
    this.#store = new FilePromptStore(folders);
  }

  /** 8 kHz linear. @throws Error when the prompt cannot be had */
  async of(prompt: Prompt): Promise<Int16Array> {
    const resolved = await this.#store.resolve(prompt);
    if (!resolved.ok) throw new Error(`prompt ${JSON.stringify(prompt)}: ${JSON.stringify(resolved.failure)}`);
    if (resolved.value.kind !== "file") throw new Error(`prompt ${JSON.stringify(prompt)} is no file`);
    return decodeG711("PCMU", new Uint8Array(readFileSync(resolved.value.path)));
  }
}

/** The same audio as a player that repeats it sends it: a piece heard across the seam is found too. */
export function looped(audio: Int16Array, samplesMin: number): Int16Array {
  const times = Math.ceil(samplesMin / Math.max(1, audio.length)) + 1;
  const out = new Int16Array(audio.length * times);
  for (let at = 0; at < times; at++) out.set(audio, at * audio.length);
  return out;
}
