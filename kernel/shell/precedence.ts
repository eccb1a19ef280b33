// Who comes first when the cores of a host are busy. A relay that waits for a core is audio that is late, and a keeper that waits is
// a takeover that is late; so is, on the local target, the Redis and the etcd that both wait for. A POP host has little else to do; on a machine
// that has, all of these come before that.

import { writeFileSync } from "node:fs";
import { setPriority } from "node:os";

/** Niceness; the lower, the sooner. */
const PRECEDENCE: Readonly<Record<string, number>> = {
  keeper: -16,
  rtpengine: -16,
  redis: -12,
  etcd: -12,
  "media-worker": -12,
  pop: -8,
  "sip-server": -5,
};

/**
 * At once after a spawn, before there are threads. Without the right to (CAP_SYS_NICE) all are alike.
 *
 * A process of a session of its own competes as that session where the kernel groups by sessions (sched(7), autogroup): its
 * niceness alone would change nothing.
 */
export function prefer(pid: number | undefined, program: string): void {
  const niceness = PRECEDENCE[program];
  if (pid === undefined || niceness === undefined) return;
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
