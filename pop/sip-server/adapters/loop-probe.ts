// How late the event loop is: a timer that should ring every few milliseconds, and Node's own account of idle time.

import { performance } from "node:perf_hooks";

export interface LoopProbe {
  stop(): void;
}

const TICK_MS = 25;

export function openLoopProbe(
  everyMs: number,
  told: (seen: { readonly intervalMs: number; readonly delayMs: number; readonly utilization: number }) => void,
): LoopProbe {
  let lastTickMs = performance.now();
  let lastToldMs = lastTickMs;
  let delayMs = 0;
  let seen = performance.eventLoopUtilization();
  const timer = setInterval(() => {
    const nowMs = performance.now();
    delayMs = Math.max(delayMs, nowMs - lastTickMs - TICK_MS);
    lastTickMs = nowMs;
    if (nowMs - lastToldMs < everyMs) return;
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, seen);
    seen = now;
    const intervalMs = nowMs - lastToldMs;
    lastToldMs = nowMs;
    const longestMs = delayMs;
    delayMs = 0;
    told({ intervalMs, delayMs: longestMs, utilization });
  }, TICK_MS);
  timer.unref();
  return { stop: () => clearInterval(timer) };
}
