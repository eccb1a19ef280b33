// SIPp beside the mix: calls that stand, bridged and without audio, and new ones at a rate. What became of them is read from the capture.

import { join } from "node:path";
import { holderOf } from "../../cli/up/ports.ts";
import { eventually } from "../demo/operator.ts";
import { type RunningSipp, startSipp } from "../sipp/run-sipp.ts";
import type { RunningSystem } from "./systems/system-under-test.ts";

const SCENARIOS = join(import.meta.dirname, "..", "capacity", "scenarios");
const CALLER = join(SCENARIOS, "caller-holds-then-hangs-up.xml");
const FAR_END = join(SCENARIOS, "carrier-answers-and-is-released.xml");
const SOCKET_BUFFER_BYTES = 4_194_304;
const RAMP_CALLS_PER_SECOND = 40;
const FAR_PORT = 5060;
const HELD_PORT = 5070;
const NEW_PORT = 5080;
const TAIL_MS = 40_000;

export class BulkLoad {
  readonly host: string;
  readonly #system: RunningSystem;
  readonly #folder: string;
  readonly #running: RunningSipp[] = [];
  #held: { readonly running: RunningSipp; readonly calls: number } | undefined;

  constructor(system: RunningSystem, host: string, folder: string) {
    this.#system = system;
    this.host = host;
    this.#folder = folder;
  }

  /** Resolves when so many stand. @throws Error when they do not */
  async hold(calls: number, holdMs: number): Promise<void> {
    if (calls === 0) return;
    const rampMs = (calls / RAMP_CALLS_PER_SECOND) * 1_000;
    this.#start(
      "far-end",
      { scenario: FAR_END, localPort: FAR_PORT, calls, callsPerSecond: 1, withinMs: rampMs + holdMs + TAIL_MS },
      "nobody",
    );
    await eventually("SIPp listens", 5_000, async () =>
      holderOf({ transport: "udp", host: this.host, port: FAR_PORT, what: "" }),
    );
    const { loadNumbers } = this.#system;
    if (loadNumbers === undefined) throw new Error("the system has no numbers for a bulk load");
    const running = this.#start(
      "held",
      {
        scenario: CALLER,
        localPort: HELD_PORT,
        calls,
        callsPerSecond: RAMP_CALLS_PER_SECOND,
        holdMs: holdMs + rampMs,
        withinMs: rampMs + holdMs + TAIL_MS,
      },
      loadNumbers.bridged,
    );
    this.#held = { running, calls };
    await new Promise((resolve) => setTimeout(resolve, rampMs + 1_500));
  }

  /** New calls from now on: answered, a short prompt, released by whoever is first. */
  begin(callsPerSecond: number, lastsMs: number): void {
    const { loadNumbers } = this.#system;
    if (callsPerSecond === 0 || loadNumbers === undefined) return;
    const calls = Math.round((callsPerSecond * lastsMs) / 1_000);
    this.#start(
      "new",
      { scenario: CALLER, localPort: NEW_PORT, calls, callsPerSecond, holdMs: 200, withinMs: lastsMs + TAIL_MS },
      loadNumbers.answered,
    );
  }

  /** Those that stood, ended by their callers: each BYE with its 200. Waits for them, `withinMs` at most. */
  async held(withinMs: number): Promise<{ readonly calls: number; readonly endedWell: number } | undefined> {
    const held = this.#held;
    if (held === undefined) return undefined;
    const timer = setTimeout(() => held.running.stop(), withinMs);
    const { successful } = await held.running.result;
    clearTimeout(timer);
    return { calls: held.calls, endedWell: successful };
  }

  stop(): void {
    for (const one of this.#running) one.stop();
  }

  #start(
    name: string,
    run: {
      scenario: string;
      localPort: number;
      calls: number;
      callsPerSecond: number;
      holdMs?: number;
      withinMs: number;
    },
    calledNumber: string,
  ): RunningSipp {
    const { service } = this.#system;
    const running = startSipp({
      ...run,
      target: `${service.host}:${service.sipPort}`,
      localHost: this.host,
      calledNumber,
      folder: join(this.#folder, name),
      socketBufferBytes: SOCKET_BUFFER_BYTES,
    });
    this.#running.push(running);
    return running;
  }
}
