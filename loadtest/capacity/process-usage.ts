// What the kernel says of processes and of the machine: CPU time and memory out of /proc. The parsing is pure.

import { readFileSync } from "node:fs";

/** Kernel ticks are 10 ms on every Linux that Debian ships. */
const TICK_MS = 10;
const PAGE_BYTES = 4_096;

export interface ProcessUsage {
  /** utime and stime of all threads; children are not in it. proc(5) */
  readonly cpuMs: number;
  readonly rssBytes: number;
}

/** A line of /proc/PID/stat. The command in parentheses may have blanks and parentheses itself. */
export function parseProcessStat(line: string): ProcessUsage | undefined {
  const end = line.lastIndexOf(")");
  if (end < 0) return undefined;
  const fields = line.slice(end + 2).split(" "); // from field 3, state
  const [utime, stime, pages] = [fields[11], fields[12], fields[21]].map(Number);
  if (utime === undefined || stime === undefined || pages === undefined) return undefined;
  if (![utime, stime, pages].every(Number.isInteger)) return undefined;
  return { cpuMs: (utime + stime) * TICK_MS, rssBytes: pages * PAGE_BYTES };
}

export interface MachineUsage {
  /** Of all cores together, with what interrupts took. */
  readonly busyMs: number;
  readonly idleMs: number;
  /** What the hypervisor gave to others while we were ready to run. */
  readonly stolenMs: number;
}

/** The first line of /proc/stat: "cpu user nice system idle iowait irq softirq steal …" */
export function parseMachineStat(text: string): MachineUsage | undefined {
  const fields = /^cpu +(.+)$/m.exec(text)?.[1]?.split(" ").map(Number);
  if (fields === undefined || fields.length < 8 || fields.some(Number.isNaN)) return undefined;
  const [user = 0, nice = 0, system = 0, idle = 0, waiting = 0, irq = 0, softirq = 0, steal = 0] = fields;
  return {
    busyMs: (user + nice + system + irq + softirq) * TICK_MS,
    idleMs: (idle + waiting) * TICK_MS,
    stolenMs: steal * TICK_MS,
  };
}

/** One look at everything that is watched. */
export interface Look {
  readonly atMs: number;
  readonly machine: MachineUsage;
  readonly processes: ReadonlyMap<string, ProcessUsage>;
}

/** @throws Error when one of them is gone: a run whose process died measures nothing */
export function look(pids: ReadonlyMap<string, number>): Look {
  const machine = parseMachineStat(readFileSync("/proc/stat", "latin1"));
  if (machine === undefined) throw new Error("cannot read /proc/stat");
  const processes = new Map<string, ProcessUsage>();
  for (const [name, pid] of pids) {
    const usage = usageOf(pid);
    if (usage === undefined) throw new Error(`${name} (process ${pid}) is gone`);
    processes.set(name, usage);
  }
  return { atMs: performance.now(), machine, processes };
}

/** Undefined when it is gone. */
export function usageOf(pid: number): ProcessUsage | undefined {
  try {
    return parseProcessStat(readFileSync(`/proc/${pid}/stat`, "latin1"));
  } catch {
    return undefined;
  }
}

/** What was used between two looks. */
export interface Used {
  readonly wallMs: number;
  readonly cpuMs: ReadonlyMap<string, number>;
  /** Shares of all cores together. */
  readonly busyShare: number;
  readonly stolenShare: number;
  /** Busy, and none of the processes that are watched: the kernel's interrupts, and whoever else is on the machine. */
  readonly restShare: number;
}

export function usedBetween(from: Look, to: Look): Used {
  const cpuMs = new Map<string, number>();
  for (const [name, { cpuMs: after }] of to.processes)
    cpuMs.set(name, Math.max(0, after - (from.processes.get(name)?.cpuMs ?? 0)));
  const busyMs = to.machine.busyMs - from.machine.busyMs;
  const stolenMs = to.machine.stolenMs - from.machine.stolenMs;
  const allMs = Math.max(1, busyMs + stolenMs + to.machine.idleMs - from.machine.idleMs);
  const watchedMs = [...cpuMs.values()].reduce((sum, ms) => sum + ms, 0);
  return {
    wallMs: to.atMs - from.atMs,
    cpuMs,
    busyShare: busyMs / allMs,
    stolenShare: stolenMs / allMs,
    restShare: Math.max(0, busyMs - watchedMs) / allMs,
  };
}
