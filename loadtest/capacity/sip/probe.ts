// Loaded into our server (`node --import`): answers, over the IPC channel, how its event loop and its memory are.
// The load test's alone; the server knows nothing of it. A look every 20 ms is all it costs.

import { Session } from "node:inspector";
import { monitorEventLoopDelay } from "node:perf_hooks";

const RESOLUTION_MS = 20;

export interface Probed {
  /** Since the last time it was asked; the resolution of the look is taken off. */
  readonly loopDelay: { readonly p50Ms: number; readonly p99Ms: number; readonly maxMs: number };
  readonly memory: { readonly rss: number; readonly heapUsed: number; readonly external: number };
}

export type ProbeQuestion =
  | { readonly ask: "state"; readonly collect: boolean }
  | { readonly ask: "sample"; readonly on: boolean };

const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
delay.enable();
let session: Session | undefined;

const msOf = (nanoseconds: number): number => Math.max(0, nanoseconds / 1e6 - RESOLUTION_MS);

function state(collect: boolean): Probed {
  // Twice: what finalisers let go of in the first round goes in the second.
  if (collect && globalThis.gc !== undefined) for (let round = 0; round < 2; round++) globalThis.gc();
  const { rss, heapUsed, external } = process.memoryUsage();
  const loopDelay = {
    p50Ms: msOf(delay.percentile(50)),
    p99Ms: msOf(delay.percentile(99)),
    maxMs: msOf(delay.max),
  };
  delay.reset();
  return { loopDelay, memory: { rss, heapUsed, external } };
}

function sample(on: boolean): void {
  if (on) {
    session = new Session();
    session.connect();
    session.post("Profiler.enable");
    session.post("Profiler.setSamplingInterval", { interval: 500 });
    session.post("Profiler.start", () => process.send?.({ sampling: true }));
  } else
    session?.post("Profiler.stop", (error, result) => {
      session?.disconnect();
      process.send?.(error === null ? { profile: result.profile } : { failed: error.message });
    });
}

process.on("message", (question: ProbeQuestion) => {
  if (question.ask === "state") process.send?.(state(question.collect));
  else sample(question.on);
});
process.channel?.unref();
process.on("disconnect", () => process.exit(0)); // whoever measured us has gone
