// Many seeds on all cores, each run twice; the first failure ends it all, or the n-th.

import { Worker } from "node:worker_threads";
import type { Verdict } from "./run.ts";

export interface ManyOptions {
  readonly from: number;
  readonly seeds: number;
  readonly minutes: number;
  readonly workers: number;
  /** So many seeds may fail before it ends. */
  readonly failures: number;
}

const PROGRESS_MS = 5_000;

/** @returns the exit code: 0 when nothing was broken */
export async function runMany({ from, seeds, minutes, workers, failures }: ManyOptions): Promise<number> {
  const startedMs = performance.now();
  let next = from;
  let calls = 0;
  let takeovers = 0;
  let reAnchored = 0;
  let excused = 0;
  let simulatedMs = 0;
  let done = 0;
  let failed = 0;
  const fails = (failure: string | undefined) => {
    if (failure === undefined) return;
    failed += 1;
    console.log(failure);
  };
  const line = () => {
    const seconds = (performance.now() - startedMs) / 1_000;
    return `${done} of ${seeds} seeds, each twice: ${(done / seconds).toFixed(1)} a second, ${calls} calls, ${takeovers} takeovers, ${reAnchored} re-anchored, ${excused} dialogs excused, ${Math.round(simulatedMs / 3_600_000)} simulated hours`;
  };
  const progress = setInterval(() => console.log(line()), PROGRESS_MS);
  await Promise.all(
    Array.from({ length: Math.min(workers, seeds) }, () => {
      const worker = new Worker(new URL("./worker.ts", import.meta.url));
      const give = () => {
        if (failed >= failures || next >= from + seeds) worker.postMessage(undefined);
        else worker.postMessage({ seed: next++, minutes });
      };
      worker.on("message", (verdict: Verdict) => {
        done++;
        calls += verdict.facts.calls;
        takeovers += verdict.facts.takeovers;
        reAnchored += verdict.facts.reAnchored;
        excused += verdict.facts.excused;
        simulatedMs += 2 * verdict.facts.simulatedMs;
        fails(verdict.failure);
        give();
      });
      return new Promise<void>((resolve) => {
        worker.on("error", (error) => {
          fails(`a worker died: ${error instanceof Error ? error.stack : String(error)}`);
        });
        worker.on("exit", () => resolve());
        give();
      });
    }),
  );
  clearInterval(progress);
  console.log(line());
  console.log(`${failed} broken invariant${failed === 1 ? "" : "s"}`);
  return failed === 0 ? 0 : 1;
}
