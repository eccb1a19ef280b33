// How every process of ours starts and stops. Not pure, and the only such corner of the kernel.

import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import type { z } from "zod";
import { ConfiguredFileFault, parseConfig, showMistakes } from "../config.ts";
import { jsonLog, type Log, type LogLevel } from "../log.ts";
import { type Ownership, soleOwner } from "../ownership.ts";

/** sysexits.h, so that a supervisor can tell whose fault it was. */
export const EXIT = { ok: 0, failed: 1, usage: 64, unavailable: 69, config: 78 } as const;

export interface RunningProcess {
  /** Graceful: resolves when nothing of ours is left. Called once, on SIGTERM or SIGINT. */
  stop(): Promise<void>;
}

export interface ProcessPlan<Schema extends z.ZodType> {
  /** As in logs: "sip-server". */
  readonly name: string;
  readonly schema: Schema;
  start(config: z.output<Schema>, log: Log, ownership: Ownership): Promise<RunningProcess>;
}

/**
 * Reads `--config FILE` (JSON) and `--log-level`, starts, and stops on SIGTERM or SIGINT (twice: at once).
 * Exits 78 with every mistake of a bad configuration or a file it names in vain, 69 when an address is in use, 64 on a wrong flag.
 */
export async function runProcess<Schema extends z.ZodType>(plan: ProcessPlan<Schema>): Promise<void> {
  const { path, level } = flags(plan.name);
  const log = jsonLog((line) => process.stdout.write(`${line}\n`), level, Date.now, { process: plan.name });
  const config = parseConfig(plan.schema, readJson(plan.name, path));
  if (!config.ok)
    return quit(EXIT.config, `${plan.name}: ${path} is not usable:\n${showMistakes(config.failure.mistakes)}`);

  let running: RunningProcess;
  try {
    running = await plan.start(config.value, log, soleOwner);
  } catch (error) {
    return quit(exitOf(error), `${plan.name}: ${startFault(error)}`);
  }
  log.info("process.started", { pid: process.pid });

  let stopping = false;
  const stop = (signal: string) => {
    if (stopping) return process.exit(EXIT.failed); // asked twice: somebody is in a hurry
    stopping = true;
    log.info("process.stopping", { signal });
    running.stop().then(
      () => process.exit(EXIT.ok),
      (error) => quit(EXIT.failed, `${plan.name}: did not stop cleanly: ${String(error)}`),
    );
  };
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
}

function flags(name: string): { path: string; level: LogLevel } {
  try {
    const { values } = parseArgs({
      options: { config: { type: "string" }, "log-level": { type: "string", default: "info" } },
    });
    const level = values["log-level"];
    if (values.config === undefined) return quit(EXIT.usage, `${name}: --config FILE is missing`);
    if (level !== "debug" && level !== "info" && level !== "warn" && level !== "error")
      return quit(EXIT.usage, `${name}: --log-level is debug, info, warn or error, not "${level}"`);
    return { path: values.config, level };
  } catch (error) {
    return quit(EXIT.usage, `${name}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function readJson(name: string, path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    return quit(EXIT.config, `${name}: cannot read ${path}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

const isAddressInUse = (error: unknown): error is NodeJS.ErrnoException =>
  error instanceof Error && (error as NodeJS.ErrnoException).code === "EADDRINUSE";

function exitOf(error: unknown): number {
  if (error instanceof ConfiguredFileFault) return EXIT.config;
  return isAddressInUse(error) ? EXIT.unavailable : EXIT.failed;
}

function startFault(error: unknown): string {
  if (error instanceof ConfiguredFileFault) return error.message;
  if (isAddressInUse(error)) return `address in use: ${error.message}`;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

function quit(code: number, message: string): never {
  process.stderr.write(`${message}\n`);
  process.exit(code);
}
