// How every process of ours starts and stops. Not pure, and the only such corner of the kernel.

import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import type { z } from "zod";
import { ConfiguredFileFault, parseConfig, showMistakes } from "../config.ts";
import { jsonLog, type Log, type LogLevel } from "../log.ts";
import { LeasedOwnership, type Ownership, soleOwner } from "../ownership.ts";
import type { KeeperSays, KeptSays } from "./kept.ts";
import { toOwnClock } from "./monotonic.ts";

/** sysexits.h, so that a supervisor can tell whose fault it was. */
export const EXIT = {
  ok: 0,
  failed: 1,
  usage: 64,
  unavailable: 69,
  /** A kept process whose lease ran out: it fell silent, and nobody is at fault. */
  leaseLost: 75,
  /** A kept process whose keeper has gone. */
  keeperGone: 76,
  /** A newer owner writes already: this process must not serve any more. */
  superseded: 77,
  config: 78,
} as const;

export interface RunningProcess {
  /** Graceful: resolves when nothing of ours is left. Called once, on SIGTERM or SIGINT. */
  stop(): Promise<void>;
  /** Writes what a next owner needs, and does nothing more: the process is killed next. Kept processes only; called once. */
  handOver?(): Promise<void>;
}

/** What a process learns when it begins to serve. Of one that nobody keeps: nothing. */
export interface Beginning {
  /** Wall clock: when the former owner was last known to be alive. Absent at a first start. */
  readonly formerDiedAtUnixMs?: number;
  /** To be called when the store refuses our writes for good (`store.superseded`): ends the process. */
  superseded(by: number): void;
}

export interface ProcessPlan<Schema extends z.ZodType> {
  /** As in logs: "sip-server". */
  readonly name: string;
  readonly schema: Schema;
  /**
   * Set where `start` closes all it had opened before it throws EADDRINUSE: a kept process then calls it again until the
   * sockets of a dead predecessor have gone (2 s at most).
   */
  readonly startsAgain?: true;
  start(config: z.output<Schema>, log: Log, ownership: Ownership, beginning: Beginning): Promise<RunningProcess>;
}

/** The last word to the keeper must not hold up the end. */
const LAST_WORD_MS = 50;

const START_AGAIN_EVERY_MS = 10;
const START_AGAIN_MS_MAX = 2_000;

/**
 * Reads `--config FILE` (JSON) and `--log-level`, starts, and stops on SIGTERM or SIGINT (twice: at once).
 * With `--kept` instead of a file: a spare of a keeper, which hears on Node's channel what to serve (kept.ts).
 * Exits 78 with every mistake of a bad configuration or a file it names in vain, 69 when an address is in use, 64 on a wrong flag;
 * kept, 75 when its lease ran out, 76 when its keeper is gone, 77 when another owner has taken over.
 */
export async function runProcess<Schema extends z.ZodType>(plan: ProcessPlan<Schema>): Promise<void> {
  const { path, level } = flags(plan.name);
  const log = jsonLog((line) => process.stdout.write(`${line}\n`), level, Date.now, { process: plan.name });
  const ending = new Ending(plan.name, log);
  if (path === undefined) return keptProcess(plan, log, ending);
  const config = configOf(plan, readJson(plan.name, path), path);
  const running = await started(plan, () => plan.start(config, log, soleOwner, { superseded: ending.superseded }));
  log.info("process.started", { pid: process.pid });
  ending.of(running);
}

/** Signals, from the beginning; what they stop comes later. */
class Ending {
  readonly #name: string;
  readonly #log: Log;
  #running: RunningProcess | undefined;
  #stopping = false;

  constructor(name: string, log: Log) {
    this.#name = name;
    this.#log = log;
  }

  of(running: RunningProcess): void {
    this.#running = running;
    process.on("SIGTERM", this.#asked);
    process.on("SIGINT", this.#asked);
  }

  get stopping(): boolean {
    return this.#stopping;
  }

  readonly #asked = (signal: string): void => {
    if (this.#stopping) return process.exit(EXIT.failed); // asked twice: somebody is in a hurry
    this.#stopping = true;
    this.#log.info("process.stopping", { signal });
    this.#running?.stop().then(
      () => process.exit(EXIT.ok),
      (error) => quit(EXIT.failed, `${this.#name}: did not stop cleanly: ${String(error)}`),
    );
  };

  readonly superseded = (by: number): void => {
    this.#log.warn("process.superseded", { by });
    const leave = () => process.exit(EXIT.superseded);
    if (process.connected !== true) return leave();
    setTimeout(leave, LAST_WORD_MS);
    process.send?.({ kind: "superseded", by } satisfies KeptSays, undefined, undefined, leave);
  };
}

/** Says "spare", and serves once it is told what. @returns at once; the channel keeps it alive */
function keptProcess<Schema extends z.ZodType>(plan: ProcessPlan<Schema>, log: Log, ending: Ending): void {
  if (process.send === undefined) return quit(EXIT.usage, `${plan.name}: --kept is for a keeper's child: no channel`);
  let lease: LeasedOwnership | undefined;
  let running: RunningProcess | undefined;
  const say = (what: KeptSays) => process.send?.(what, undefined, undefined, () => {}); // a closed channel says so itself

  const begin = async ({ config, epoch, untilMs, formerDiedAtUnixMs }: Extract<KeeperSays, { kind: "serve" }>) => {
    const parsed = configOf(plan, config, "what the keeper says");
    const ownership = new LeasedOwnership(epoch, toOwnClock(untilMs), () => performance.now());
    lease = ownership;
    watchLease(ownership, log);
    const beginning: Beginning = {
      superseded: (by) => {
        ownership.end(); // silent from here on
        ending.superseded(by);
      },
      ...(formerDiedAtUnixMs === undefined ? {} : { formerDiedAtUnixMs }),
    };
    const start = () => plan.start(parsed, log, ownership, beginning);
    running = await started(plan, plan.startsAgain === true ? () => untilFree(start) : start);
    log.info("process.started", { pid: process.pid, epoch });
    ending.of(running);
    say({ kind: "serving" });
  };
  process.on("message", (said: KeeperSays) => {
    switch (said.kind) {
      case "serve":
        if (lease === undefined) void begin(said);
        return;
      case "lease":
        lease?.extend(toOwnClock(said.untilMs));
        return;
      case "ping":
        say({ kind: "pong", n: said.n });
        return;
      case "hand-over":
        (running?.handOver?.() ?? Promise.resolve()).then(
          () => say({ kind: "ready-to-go" }),
          (error) => log.error("process.hand-over-failed", { error }), // the keeper does not wait for ever
        );
        return;
    }
  });
  process.on("disconnect", () => {
    if (ending.stopping) return; // on its way out already
    log.warn("process.keeper-gone");
    process.exit(EXIT.keeperGone);
  });
  say({ kind: "spare" });
}

/** Whoever is stopped and continued finds its lease over: `held()` says so at once, and this ends it. */
function watchLease(lease: LeasedOwnership, log: Log): void {
  setTimeout(
    () => {
      if (lease.held()) return watchLease(lease, log);
      log.warn("process.lease-lost", { epoch: lease.epoch });
      process.exit(EXIT.leaseLost);
    },
    Math.max(1, lease.leftMs()),
  );
}

/** A dead predecessor's sockets close a moment after its death was noticed. @throws EADDRINUSE after 2 s of trying */
export async function untilFree<Opened>(start: () => Promise<Opened>): Promise<Opened> {
  const deadlineMs = performance.now() + START_AGAIN_MS_MAX;
  for (;;) {
    try {
      return await start();
    } catch (error) {
      if (!isAddressInUse(error) || performance.now() > deadlineMs) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, START_AGAIN_EVERY_MS));
  }
}

async function started<Schema extends z.ZodType>(
  plan: ProcessPlan<Schema>,
  start: () => Promise<RunningProcess>,
): Promise<RunningProcess> {
  try {
    return await start();
  } catch (error) {
    return quit(exitOf(error), `${plan.name}: ${startFault(error)}`);
  }
}

function configOf<Schema extends z.ZodType>(plan: ProcessPlan<Schema>, json: unknown, from: string): z.output<Schema> {
  const config = parseConfig(plan.schema, json);
  if (config.ok) return config.value;
  return quit(EXIT.config, `${plan.name}: ${from} is not usable:\n${showMistakes(config.failure.mistakes)}`);
}

/** No path: kept. */
function flags(name: string): { path: string | undefined; level: LogLevel } {
  try {
    const { values } = parseArgs({
      options: {
        config: { type: "string" },
        kept: { type: "boolean", default: false },
        "log-level": { type: "string", default: "info" },
      },
    });
    const level = values["log-level"];
    if (values.kept === (values.config !== undefined))
      return quit(EXIT.usage, `${name}: --config FILE is missing, or --kept`);
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
