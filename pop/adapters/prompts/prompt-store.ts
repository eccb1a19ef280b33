// PromptStore: WAV files from a folder and texts through espeak-ng, both made into 8 kHz mu-law once and kept.

import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { fail, type Outcome, succeed } from "../../../kernel/outcome.ts";
import type { PromptFailure, PromptStore, ResolvedPrompt } from "../../boundary/prompt-store.ts";
import { encodeG711, SAMPLES_PER_SECOND } from "../../core/media/g711.ts";
import { holdMusic } from "../../core/media/hold-music.ts";
import type { Prompt } from "../../core/media/prompt.ts";
import { resampled, resampledLength } from "../../core/media/resample.ts";
import { type PcmAudio, readWav } from "../../core/media/wav.ts";
import { type CachedPrompt, PromptCache } from "./prompt-cache.ts";
import { SPEECH_WORDS_PER_MINUTE, Speech, speakable, voiceOf } from "./speech.ts";

export interface PromptStoreOptions {
  /** The tenant's WAV files, in folders as it likes. */
  readonly folder: string;
  readonly cacheFolder: string;
  /** Of texts that name no language. Default "en". */
  readonly language?: string;
  readonly speech?: Speech;
  readonly cacheBytesMax?: number;
}

/** Music for who brings none: replaced by a file of that name. */
export const BUILT_IN_MUSIC = "music/default";
export const FILE_BYTES_MAX = 32 << 20;
export const PROMPT_SECONDS_MAX = 600;

/** Part of every cache name: raise it when what is made of the same input changes. */
const ENCODING = "1";
/** Half a second: some milliseconds of work between two looks at the rest of the world. */
const PART_SAMPLES = 4_000;

/** One to five path segments of letters, digits, ".", "_" and "-", none of them beginning with a dot. */
const NAME = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}(\/[A-Za-z0-9_][A-Za-z0-9._-]{0,99}){0,4}$/;

export class FilePromptStore implements PromptStore {
  readonly #folder: string;
  readonly #cache: PromptCache;
  readonly #speech: Speech;
  readonly #language: string;
  /** Being made now: the same prompt for two callers is made once. */
  readonly #making = new Map<string, Promise<Outcome<CachedPrompt, PromptFailure>>>();
  /** Files read before, as they were then. */
  readonly #files = new Map<string, { readonly sizeAndTime: string; readonly cacheName: string }>();

  constructor(options: PromptStoreOptions) {
    this.#folder = options.folder;
    this.#cache = new PromptCache(options.cacheFolder, options.cacheBytesMax);
    this.#speech = options.speech ?? new Speech();
    this.#language = options.language ?? "en";
  }

  async resolve(prompt: Prompt): Promise<Outcome<ResolvedPrompt, PromptFailure>> {
    const made = prompt.kind === "file" ? await this.#file(prompt.name) : await this.#text(prompt);
    if (!made.ok) return made;
    const { path, bytes } = made.value;
    return succeed({ kind: "file", path, durationMs: (1_000 * bytes) / SAMPLES_PER_SECOND });
  }

  async #text(prompt: Prompt & { kind: "text" }): Promise<Outcome<CachedPrompt, PromptFailure>> {
    const text = speakable(prompt.text);
    if (!text.ok) return text;
    const language = prompt.language ?? this.#language;
    const voice = voiceOf(language);
    if (voice === undefined) return fail({ code: "prompt.speech-failed", detail: `"${language}" is no language tag` });
    const name = `speech-${hashOf(ENCODING, voice, String(SPEECH_WORDS_PER_MINUTE), text.value)}`;
    return this.#once(name, () => this.#say(text.value, voice), "text");
  }

  /** "de-de", or where there is only that, "de". */
  async #say(text: string, voice: string): Promise<Outcome<PcmAudio, PromptFailure>> {
    const said = await this.#speech.say(text, voice);
    const [primary] = voice.split("-");
    if (said.ok || said.failure.code !== "prompt.speech-failed" || primary === undefined || primary === voice)
      return said;
    return this.#speech.say(text, primary);
  }

  async #file(name: string): Promise<Outcome<CachedPrompt, PromptFailure>> {
    const plain = name.endsWith(".wav") ? name.slice(0, -".wav".length) : name;
    if (!NAME.test(plain)) return fail({ code: "prompt.not-found", name });
    const read = await this.#read(plain, name);
    if (read === "missing") {
      if (plain !== BUILT_IN_MUSIC) return fail({ code: "prompt.not-found", name });
      const music = async () => succeed({ samples: holdMusic(), sampleHz: SAMPLES_PER_SECOND });
      return this.#once(`built-in-music-${ENCODING}`, music, name);
    }
    if (!read.ok) return read;
    const { cacheName, bytes } = read.value;
    return this.#once(cacheName, async () => parsed(bytes ?? (await this.#again(plain)), name), name);
  }

  /** A file that has not changed since it was last read is not read again: `bytes` is absent then. */
  async #read(
    plain: string,
    name: string,
  ): Promise<"missing" | Outcome<{ readonly cacheName: string; readonly bytes?: Uint8Array }, PromptFailure>> {
    try {
      const file = await open(this.#pathOf(plain), "r");
      try {
        const { size, mtimeMs } = await file.stat();
        if (size > FILE_BYTES_MAX)
          return fail({ code: "prompt.unreadable", name, detail: `larger than ${FILE_BYTES_MAX} bytes` });
        const sizeAndTime = `${size}/${mtimeMs}`;
        const known = this.#files.get(plain);
        if (known?.sizeAndTime === sizeAndTime) return succeed({ cacheName: known.cacheName });
        const bytes = await file.readFile();
        const cacheName = `file-${hashOf(ENCODING, bytes)}`;
        this.#files.set(plain, { sizeAndTime, cacheName });
        return succeed({ cacheName, bytes });
      } finally {
        await file.close();
      }
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "ENOENT" || code === "ENOTDIR") return "missing";
      return fail({ code: "prompt.unreadable", name, detail: String(code ?? error) });
    }
  }

  /** Its encoded form has left the cache meanwhile. */
  async #again(plain: string): Promise<Uint8Array> {
    const file = await open(this.#pathOf(plain), "r");
    try {
      return await file.readFile();
    } finally {
      await file.close();
    }
  }

  #pathOf(plain: string): string {
    return join(this.#folder, `${plain}.wav`);
  }

  #once(
    cacheName: string,
    source: () => Promise<Outcome<PcmAudio, PromptFailure>>,
    name: string,
  ): Promise<Outcome<CachedPrompt, PromptFailure>> {
    const making = this.#making.get(cacheName);
    if (making !== undefined) return making;
    const made = this.#make(cacheName, source, name).finally(() => this.#making.delete(cacheName));
    this.#making.set(cacheName, made);
    return made;
  }

  async #make(
    cacheName: string,
    source: () => Promise<Outcome<PcmAudio, PromptFailure>>,
    name: string,
  ): Promise<Outcome<CachedPrompt, PromptFailure>> {
    const cached = await this.#cache.find(cacheName);
    if (cached !== undefined) return succeed(cached);
    try {
      const audio = await source();
      if (!audio.ok) return audio;
      const { samples, sampleHz } = audio.value;
      if (samples.length > PROMPT_SECONDS_MAX * sampleHz)
        return fail({ code: "prompt.too-long", name, secondsMax: PROMPT_SECONDS_MAX });
      return succeed(await this.#cache.keep(cacheName, await encoded(audio.value)));
    } catch (error) {
      return fail({ code: "prompt.store-away", detail: error instanceof Error ? error.message : String(error) });
    }
  }
}

function parsed(bytes: Uint8Array, name: string): Outcome<PcmAudio, PromptFailure> {
  const wav = readWav(bytes);
  return wav.ok ? wav : fail({ code: "prompt.unreadable", name, detail: wav.failure.detail });
}

async function encoded({ samples, sampleHz }: PcmAudio): Promise<Uint8Array> {
  const result = new Uint8Array(resampledLength(samples.length, sampleHz, SAMPLES_PER_SECOND));
  let at = 0;
  for (const part of resampled(samples, sampleHz, SAMPLES_PER_SECOND, PART_SAMPLES)) {
    result.set(encodeG711("PCMU", part), at);
    at += part.length;
    await nextTurn(); // calls go on meanwhile
  }
  return result;
}

function hashOf(...parts: readonly (string | Uint8Array)[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part).update("\0");
  return hash.digest("hex").slice(0, 40);
}
