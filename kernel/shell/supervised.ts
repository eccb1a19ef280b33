// One process under supervision: started so that it cannot outlive us, watched, started again when it dies, and
// stopped for certain. What it writes goes line by line to its log file and to whoever listens.

import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { systemRng } from "../rng.ts";
import { LogFile } from "./log-file.ts";
import { prefer } from "./precedence.ts";
import { type Probe, probe } from "./probe.ts";
import { afterDeath } from "./restart-policy.ts";

/** What there is to know to start one process, and to tell that it is ready. */
export interface SupervisedPlan {
  /** As in logs and commands: "redis", "fra-01-a/keeper". */
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Written before it starts, readable by us alone. */
  readonly files: readonly { readonly path: string; readonly text: string }[];
  readonly links: readonly { readonly path: string; readonly target: string }[];
  readonly folders: readonly string[];
  readonly ready: Probe;
  readonly readyWithinMs: number;
  /** SIGTERM, then this long, then SIGKILL. */
  readonly stopWithinMs: number;
  /** Of a line that is another's and only passes through: whose. It is not filed here. */
  readonly passes?: (line: string) => { readonly from: string; readonly line: string } | undefined;
}

export type ProcessState = "starting" | "ready" | "waiting" | "stopped" | "given-up";

export interface Death {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** The last lines it wrote: where the reason is. */
  readonly lastLines: readonly string[];
}

export interface Observer {
  line(process: string, line: string): void;
  passed?(from: string, line: string): void;
  changed(process: Supervised, event: string, fields: Readonly<Record<string, unknown>>): void;
}

const PROBE_EVERY_MS = 40;
const LAST_LINES_KEPT = 24;

/** The kernel sends this to the child when its parent thread is gone: kill -9 of the supervisor leaves no orphan. */
const WITH_PARENT = ["--pdeathsig", "SIGKILL", "--"];

export class Supervised {
  readonly plan: SupervisedPlan;
  readonly logPath: string;
  readonly #observer: Observer;
  readonly #log: LogFile;
  #child: ChildProcess | undefined;
  #state: ProcessState = "stopped";
  #restarts = 0;
  #deathsAtMs: number[] = [];
  #lastLines: string[] = [];
  #restartTimer: NodeJS.Timeout | undefined;
  #gone: Promise<Death> = Promise.resolve({ code: 0, signal: null, lastLines: [] });
  /** Set while its end is wanted: then it is not a death, and nobody restarts it. */
  #wanted = false;
  #stayDown = false;

  constructor(plan: SupervisedPlan, logsFolder: string, observer: Observer) {
    this.plan = plan;
    this.logPath = `${logsFolder}/${plan.name.replace("/", "-")}.log`;
    this.#observer = observer;
    this.#log = new LogFile(this.logPath);
  }

  get name(): string {
    return this.plan.name;
  }
  get state(): ProcessState {
    return this.#state;
  }
  get pid(): number | undefined {
    return this.#child?.pid;
  }
  get restarts(): number {
    return this.#restarts;
  }

  /** Starts it and waits until it is ready. Undefined when it is; else how it ended, or that it never became ready. */
  async start(): Promise<Death | "not-ready" | undefined> {
    this.#wanted = true;
    this.#stayDown = false;
    this.#deathsAtMs = [];
    this.#spawn({ first: true });
    const ended = await this.#untilReady();
    if (ended !== undefined) {
      this.#wanted = false;
      await this.#end("SIGKILL", 0);
    }
    return ended;
  }

  /** Sends a signal as a fault: unless told to stay down it is started again like after any other death. */
  async kill(signal: NodeJS.Signals, { stayDown = false } = {}): Promise<void> {
    const gone = this.#gone;
    if (this.#child?.pid === undefined) return;
    this.#stayDown = stayDown;
    this.#signal(signal);
    if (signal === "SIGSTOP" || signal === "SIGCONT") return;
    await gone;
  }

  /** SIGTERM, the plan's grace, SIGKILL. Resolves when it is gone, and its whole process group with it. */
  async stop(): Promise<void> {
    this.#wanted = false;
    clearTimeout(this.#restartTimer);
    await this.#end("SIGTERM", this.plan.stopWithinMs);
    this.#set("stopped", "process.stopped");
  }

  /** At once, for those in a hurry. */
  killNow(): void {
    this.#wanted = false;
    clearTimeout(this.#restartTimer);
    this.#signal("SIGKILL");
  }

  close(): void {
    this.#log.close();
  }

  #spawn({ first }: { first: boolean }): void {
    const { plan } = this;
    for (const folder of plan.folders) mkdirSync(folder, { recursive: true, mode: 0o700 });
    for (const { path, text } of plan.files) {
      mkdirSync(path.slice(0, path.lastIndexOf("/")), { recursive: true, mode: 0o700 });
      if (first) writeFileSync(path, text, { mode: 0o600 });
    }
    for (const { path, target } of plan.links) {
      mkdirSync(path.slice(0, path.lastIndexOf("/")), { recursive: true, mode: 0o700 });
      rmSync(path, { force: true });
      symlinkSync(target, path);
    }
    if (plan.ready.kind === "unix-socket") rmSync(plan.ready.path, { force: true });
    this.#lastLines = [];
    this.#set("starting", "process.starting");

    const child = spawn("setpriv", [...WITH_PARENT, plan.command, ...plan.args], {
      // A group of its own: Ctrl-C at the terminal is for us, who stop everything in order.
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, NO_COLOR: "1", ...plan.env },
    });
    this.#child = child;
    prefer(child.pid, plan.name);
    this.#gone = new Promise((resolve) => {
      let failed: string | undefined;
      child.on("error", (error) => {
        failed = error.message;
        if (child.pid === undefined) resolve(this.#died(child, 127, null, failed));
      });
      // "close", not "exit": by then everything it wrote has been read.
      child.on("close", (code, signal) => resolve(this.#died(child, code, signal, failed)));
    });
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY }).on("line", (line) => this.#heard(line));
    }
  }

  #heard(line: string): void {
    const passed = this.plan.passes?.(line);
    if (passed !== undefined) return this.#observer.passed?.(passed.from, passed.line);
    this.#log.write(line);
    this.#lastLines.push(line);
    if (this.#lastLines.length > LAST_LINES_KEPT) this.#lastLines.shift();
    this.#observer.line(this.name, line);
  }

  #died(child: ChildProcess, code: number | null, signal: NodeJS.Signals | null, failed: string | undefined): Death {
    if (failed !== undefined) this.#heard(failed);
    if (this.#child === child) this.#child = undefined;
    const death = { code, signal, lastLines: [...this.#lastLines] };
    if (!this.#wanted || this.#state === "starting") return death;

    const nowMs = performance.now();
    this.#deathsAtMs.push(nowMs);
    if (this.#stayDown) {
      this.#set("stopped", "process.killed", { code, signal });
      return death;
    }
    const decision = afterDeath(this.#deathsAtMs, nowMs, systemRng);
    if (decision.kind === "give-up") {
      this.#set("given-up", "process.given-up", { code, signal, deaths: decision.deaths, log: this.logPath });
      return death;
    }
    this.#set("waiting", "process.died", { code, signal, restartAfterMs: Math.round(decision.afterMs) });
    this.#restartTimer = setTimeout(() => void this.#restart(), decision.afterMs);
    return death;
  }

  async #restart(): Promise<void> {
    this.#restarts++;
    this.#spawn({ first: false });
    const ended = await this.#untilReady();
    if (ended === undefined || !this.#wanted) return;
    // It did not come up: that is a death like any other.
    await this.#end("SIGKILL", 0);
    if (this.#stayDown) return this.#set("stopped", "process.killed");
    const nowMs = performance.now();
    this.#deathsAtMs.push(nowMs);
    const decision = afterDeath(this.#deathsAtMs, nowMs, systemRng);
    const how = ended === "not-ready" ? { ready: false } : { code: ended.code, signal: ended.signal };
    if (decision.kind === "give-up") {
      this.#set("given-up", "process.given-up", { ...how, deaths: decision.deaths, log: this.logPath });
      return;
    }
    this.#set("waiting", "process.died", { ...how, restartAfterMs: Math.round(decision.afterMs) });
    this.#restartTimer = setTimeout(() => void this.#restart(), decision.afterMs);
  }

  async #untilReady(): Promise<Death | "not-ready" | undefined> {
    const untilMs = performance.now() + this.plan.readyWithinMs;
    let ended: Death | undefined;
    void this.#gone.then((death) => {
      ended = death;
    });
    while (performance.now() < untilMs) {
      const ready = await probe(this.plan.ready);
      if (ended !== undefined) return ended;
      if (ready) {
        this.#set("ready", "process.ready");
        return undefined;
      }
      await new Promise((resolve) => setTimeout(resolve, PROBE_EVERY_MS));
    }
    return ended ?? "not-ready";
  }

  async #end(signal: NodeJS.Signals, graceMs: number): Promise<void> {
    const gone = this.#gone;
    if (this.#child === undefined) return;
    this.#signal(signal);
    const timer = setTimeout(() => {
      this.#observer.changed(this, "process.did-not-stop", { withinMs: graceMs });
      this.#signal("SIGKILL");
    }, graceMs);
    await gone;
    clearTimeout(timer);
  }

  /** To the group, so that what the process has started goes too; a stop signal first to the process alone. */
  #signal(signal: NodeJS.Signals): void {
    const pid = this.#child?.pid;
    if (pid === undefined) return;
    try {
      if (signal === "SIGKILL") process.kill(-pid, signal);
      else process.kill(pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
  }

  #set(state: ProcessState, event: string, fields: Readonly<Record<string, unknown>> = {}): void {
    this.#state = state;
    this.#observer.changed(this, event, { ...(this.pid === undefined ? {} : { pid: this.pid }), ...fields });
  }
}
