// The drill's side of its party processes: starts them, asks them, and bounds how long an answer may take.

import { type ChildProcess, fork } from "node:child_process";
import { join } from "node:path";
import type { Answered, PartyAnswers, PartyRequest } from "./party-protocol.ts";

interface Waiting {
  readonly resolve: (value: never) => void;
  readonly reject: (error: Error) => void;
}

const PROGRAM = join(import.meta.dirname, "party-process.ts");

export class Party {
  readonly lane: number;
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, Waiting>();
  #asked = 0;
  #said = "";

  constructor(lane: number) {
    this.lane = lane;
    this.#child = fork(PROGRAM, [], {
      stdio: ["ignore", "ignore", "pipe", "ipc"],
      // A session of its own, as the region's processes have: Linux divides a busy machine by sessions, and who measures must not starve.
      detached: true,
    });
    this.#child.stderr?.on("data", (bytes: Buffer) => {
      this.#said = (this.#said + bytes.toString("utf8")).slice(-2_000);
    });
    this.#child.on("message", (answered: Answered) => {
      const waiting = this.#waiting.get(answered.id);
      this.#waiting.delete(answered.id);
      if (answered.ok) waiting?.resolve(answered.value as never);
      else waiting?.reject(new Error(`party ${lane}: ${answered.message}`));
    });
    this.#child.on("exit", (code, signal) => {
      for (const { reject } of this.#waiting.values())
        reject(new Error(`party ${lane} ended (${signal ?? code}): ${this.#said.trim().slice(-400)}`));
      this.#waiting.clear();
    });
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** @throws Error when it does not answer in time, has ended, or could not do it */
  ask<Kind extends PartyRequest["kind"]>(
    request: Extract<PartyRequest, { kind: Kind }>,
    withinMs: number,
  ): Promise<PartyAnswers[Kind]> {
    const id = ++this.#asked;
    return new Promise((resolve, reject) => {
      if (!this.#child.connected) return reject(new Error(`party ${this.lane} has ended: ${this.#said.trim()}`));
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        reject(new Error(`party ${this.lane} did not ${request.kind} within ${withinMs} ms`));
      }, withinMs);
      this.#waiting.set(id, {
        resolve: (value) => {
          clearTimeout(timer);
          resolve(value);
        },
        reject: (error) => {
          clearTimeout(timer);
          reject(error);
        },
      });
      this.#child.send({ id, request });
    });
  }

  end(): void {
    if (this.#child.connected) this.#child.disconnect();
    this.#child.kill("SIGKILL");
  }
}
