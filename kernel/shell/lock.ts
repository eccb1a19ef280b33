// One supervisor per region and data folder. The lock names its owner by pid and birth, so that a lock left behind by
// a dead one, or by a pid that was given to somebody else since, does not count.

import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { fail, type Outcome, succeed } from "../outcome.ts";

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

/** Running: a process that is dead and not yet buried by its parent does not count. */
export function isAlive(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0) return false;
  const state = fieldsOf(pid)[0];
  return state !== undefined && state !== "Z" && state !== "X";
}

/** Clock ticks since boot at which the process began: field 22 of /proc/PID/stat, counted after the name in brackets. */
export const bornAt = (pid: number): string => fieldsOf(pid)[19] ?? "?";

/** From field 3, the state, on; empty when there is no such process. proc(5) */
function fieldsOf(pid: number): string[] {
  const stat = readOr(`/proc/${pid}/stat`, "");
  return stat === "" ? [] : stat.slice(stat.lastIndexOf(")") + 2).split(" ");
}

function readOr(path: string, otherwise: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return otherwise;
  }
}
