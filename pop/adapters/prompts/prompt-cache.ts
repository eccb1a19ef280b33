// Encoded prompts on disk: raw 8 kHz mu-law, named by what they were made of, so a name never changes its content.

import { mkdir, open, readdir, rename, rm, stat, utimes } from "node:fs/promises";
import { join, resolve } from "node:path";

/** No more than this much is kept, least recently used first out. */
export const CACHE_BYTES_MAX = 1 << 30;

export interface CachedPrompt {
  readonly path: string;
  readonly bytes: number;
}

export class PromptCache {
  readonly #folder: string;
  readonly #bytesMax: number;
  /** Known to be there. */
  readonly #touched = new Set<string>();
  #bytes: number | undefined;
  #temporary = 0;

  constructor(folder: string, bytesMax = CACHE_BYTES_MAX) {
    this.#folder = resolve(folder); // the media worker has a working directory of its own
    this.#bytesMax = bytesMax;
  }

  async find(name: string): Promise<CachedPrompt | undefined> {
    const path = this.#pathOf(name);
    try {
      const { size } = await stat(path);
      if (size === 0) return undefined;
      if (!this.#touched.has(name)) {
        const now = new Date();
        await utimes(path, now, now).catch(() => {}); // only the order of leaving suffers
        this.#touched.add(name);
      }
      return { path, bytes: size };
    } catch {
      return undefined;
    }
  }

  /** Whole or not at all, also after a crash. @throws when the folder cannot be written */
  async keep(name: string, audio: Uint8Array): Promise<CachedPrompt> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    const path = this.#pathOf(name);
    const temporary = join(this.#folder, `.${name}.${process.pid}.${this.#temporary++}.tmp`);
    try {
      const file = await open(temporary, "wx", 0o600);
      try {
        await file.writeFile(audio);
      } finally {
        await file.close();
      }
      await rename(temporary, path);
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
    await this.#makeRoom(audio.length);
    return { path, bytes: audio.length };
  }

  #pathOf(name: string): string {
    return join(this.#folder, `${name}.ulaw`);
  }

  async #makeRoom(added: number): Promise<void> {
    if (this.#bytes !== undefined) this.#bytes += added;
    if (this.#bytes !== undefined && this.#bytes <= this.#bytesMax) return;
    const files: { readonly name: string; readonly bytes: number; readonly usedMs: number }[] = [];
    for (const name of await readdir(this.#folder)) {
      const found = await stat(join(this.#folder, name)).catch(() => undefined);
      if (found?.isFile() && name.endsWith(".ulaw")) files.push({ name, bytes: found.size, usedMs: found.mtimeMs });
    }
    let bytes = files.reduce((sum, file) => sum + file.bytes, 0);
    for (const file of files.sort((a, b) => a.usedMs - b.usedMs)) {
      if (bytes <= this.#bytesMax) break;
      await rm(join(this.#folder, file.name), { force: true });
      this.#touched.delete(file.name.slice(0, -".ulaw".length));
      bytes -= file.bytes;
    }
    this.#bytes = bytes;
  }
}
