// Which parts of the code have run: V8's own block coverage, asked for inside this process.

import { Session } from "node:inspector";

interface Range {
  readonly startOffset: number;
  readonly endOffset: number;
  readonly count: number;
}
interface Script {
  readonly url: string;
  readonly functions: readonly { readonly ranges: readonly Range[] }[];
}

export class Coverage {
  readonly #session = new Session();
  readonly #seen = new Set<string>();

  constructor() {
    this.#session.connect();
    this.#session.post("Profiler.enable");
    this.#session.post("Profiler.startPreciseCoverage", { callCount: false, detailed: true });
  }

  /** Blocks of the server seen so far. */
  get blocks(): number {
    return this.#seen.size;
  }

  /** How many blocks have run since the last call that never had before. @param keep whether they count as seen from now on */
  fresh(keep: boolean): number {
    let fresh = 0;
    this.#session.post("Profiler.takePreciseCoverage", (error, taken) => {
      if (error !== null) return;
      for (const { url, functions } of taken.result as readonly Script[]) {
        if (!url.includes("/pop/sip-server/") || url.includes("/fuzz/") || url.includes("/test/")) continue;
        for (const { ranges } of functions)
          for (const { startOffset, endOffset, count } of ranges) {
            if (count === 0) continue;
            const block = `${url}:${startOffset}-${endOffset}`;
            if (this.#seen.has(block)) continue;
            fresh++;
            if (keep) this.#seen.add(block);
          }
      }
    });
    return fresh;
  }

  close(): void {
    this.#session.post("Profiler.stopPreciseCoverage");
    this.#session.disconnect();
  }
}
