// What a prompt should sound like: made by the product's own prompt store in a folder of the demo's own, decoded here.

import { readFileSync } from "node:fs";
import { FilePromptStore } from "../../pop/adapters/prompts/prompt-store.ts";
import { decodeG711 } from "../../pop/core/media/g711.ts";
import type { Prompt } from "../../pop/core/media/prompt.ts";

const SAMPLES_PER_MS = 8;

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

/** The first `ms` of audio that is played over and over. */
export function beginning(audio: Int16Array, ms: number): Int16Array {
  const out = new Int16Array(ms * SAMPLES_PER_MS);
  for (let at = 0; at < out.length && audio.length > 0; at += audio.length)
    out.set(audio.subarray(0, Math.min(audio.length, out.length - at)), at);
  return out;
}
