// Who comes first when the cores of a host are busy. A relay that waits for a core is audio that is late, and a keeper that waits is
// a takeover that is late. A POP host has little else to do; on a machine that has, all four come before that.

import { writeFileSync } from "node:fs";
import { setPriority } from "node:os";

/** Niceness; the lower, the sooner. */
export const PRECEDENCE = { keeper: -10, rtpengine: -10, "media-worker": -5, pop: -5, "sip-server": -5 } as const;

/**
 * At once after a spawn, before there are threads. Without the right to (CAP_SYS_NICE) all are alike.
 *
 * A process of a session of its own competes as that session where the kernel groups by sessions (sched(7), autogroup): its
 * niceness alone would change nothing.
 */
export function prefer(pid: number | undefined, of: keyof typeof PRECEDENCE): void {
  if (pid === undefined) return;
  const niceness = PRECEDENCE[of];
  const allowed = [
    () => setPriority(pid, niceness),
    () => writeFileSync(`/proc/${pid}/autogroup`, String(niceness), { flag: "r+" }),
  ];
  for (const one of allowed)
    try {
      one();
    } catch {
      // not allowed, not this kernel, or gone already
    }
}
