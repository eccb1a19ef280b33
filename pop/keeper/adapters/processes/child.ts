// One child of a keeper: cannot outlive it, is heard line by line, and its end is told once.

import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { KeeperSays, KeptSays } from "../../../../kernel/shell/kept.ts";
import { prefer } from "../../../../kernel/shell/precedence.ts";
import type { ProcessEnd } from "../../boundary/serving-processes.ts";
import type { ProcessName } from "../../core/keeper-words.ts";

export interface ChildHears {
  line(line: string): void;
  /** Of a kept process alone. */
  said?(what: KeptSays): void;
  /** Reaped. */
  ended(end: ProcessEnd): void;
}

export interface ChildPlan {
  readonly command: string;
  readonly args: readonly string[];
  /** With Node's channel: a kept process. */
  readonly kept: boolean;
  readonly process: ProcessName;
}

/** The kernel sends this to the child when its parent's thread is gone. */
const WITH_PARENT = ["--pdeathsig", "SIGKILL", "--"];
const LAST_LINES_KEPT = 24;

export class Child {
  readonly #child: ChildProcess;
  readonly #lastLines: string[] = [];

  constructor({ command, args, kept, process: name }: ChildPlan, hears: ChildHears) {
    const child = spawn("setpriv", [...WITH_PARENT, command, ...args], {
      detached: true, // a group of its own: a signal to ours is for us
      stdio: kept ? ["ignore", "pipe", "pipe", "ipc"] : ["ignore", "pipe", "pipe"],
      env: { ...process.env, NO_COLOR: "1" },
    });
    this.#child = child;
    prefer(child.pid, name);
    for (const stream of [child.stdout, child.stderr])
      if (stream !== null)
        createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY }).on("line", (line) => {
          this.#lastLines.push(line);
          if (this.#lastLines.length > LAST_LINES_KEPT) this.#lastLines.shift();
          hears.line(line);
        });
    let over = false;
    const end = (exitCode: number | null, signal: string | null) => {
      if (over) return;
      over = true;
      hears.ended({ exitCode, signal, lastLines: this.#lastLines });
    };
    // "exit", not "close": a takeover does not wait for the last line of the dead.
    child.on("exit", end);
    child.on("error", (error) => {
      this.#lastLines.push(error.message);
      if (child.pid === undefined) end(127, null);
    });
    if (kept && hears.said !== undefined) child.on("message", hears.said);
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Lost without a word when it is dying: its end says so. */
  say(what: KeeperSays): void {
    if (this.#child.connected) this.#child.send(what, () => {});
  }

  /** SIGKILL to its whole group; others to it alone. */
  signal(signal: NodeJS.Signals): void {
    const { pid } = this.#child;
    if (pid === undefined || this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    try {
      process.kill(signal === "SIGKILL" ? -pid : pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
  }
}
