// One supervisor per region and data folder. The lock names its owner by pid and birth, so that a lock left behind by
// a dead one, or by a pid that was given to somebody else since, does not count.

import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { fail, type Outcome, succeed } from "../../kernel/outcome.ts";

export interface AlreadyRunning {
  readonly code: "up.already-running";
  readonly pid: number;
  readonly lockFile: string;
}

/** @fails up.already-running */
export function takeLock(lockFile: string): Outcome<{ release(): void }, AlreadyRunning> {
  const own = `${process.pid} ${bornAt(process.pid)}\n`;
  for (let attempt = 0; ; attempt++) {
    try {
      writeFileSync(lockFile, own, { flag: "wx", mode: 0o600 });
      return succeed({ release: () => rmSync(lockFile, { force: true }) });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST" || attempt > 2) throw error;
    }
    const [pid = 0, born = ""] = readOr(lockFile, "")
      .trim()
      .split(" ")
      .map((word, at) => (at === 0 ? Number(word) : word)) as [number, string];
    if (isAlive(pid) && bornAt(pid) === born) return fail({ code: "up.already-running", pid, lockFile });
    rmSync(lockFile, { force: true });
  }
}

export function isAlive(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** Clock ticks since boot at which the process began: field 22 of /proc/PID/stat, counted after the name in brackets. */
export function bornAt(pid: number): string {
  const stat = readOr(`/proc/${pid}/stat`, "");
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "?";
}

function readOr(path: string, otherwise: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return otherwise;
  }
}
