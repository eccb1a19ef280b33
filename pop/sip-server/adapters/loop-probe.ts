// How late the event loop is: a timer that should ring every few milliseconds, and how much of a core its thread has used.

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
  let seen = process.threadCpuUsage();
  const timer = setInterval(() => {
    const nowMs = performance.now();
    delayMs = Math.max(delayMs, nowMs - lastTickMs - TICK_MS);
    lastTickMs = nowMs;
    if (nowMs - lastToldMs < everyMs) return;
    const intervalMs = nowMs - lastToldMs;
    lastToldMs = nowMs;
    // Not the loop's own account of idle time: that takes waiting for a core that others have for work.
    const now = process.threadCpuUsage();
    const usedMs = (now.user + now.system - seen.user - seen.system) / 1_000;
    seen = now;
    const utilization = Math.min(1, usedMs / intervalMs);
    const longestMs = delayMs;
    delayMs = 0;
    told({ intervalMs, delayMs: longestMs, utilization });
  }, TICK_MS);
  timer.unref();
  return { stop: () => clearInterval(timer) };
}
