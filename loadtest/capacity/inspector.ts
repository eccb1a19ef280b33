// Node's own inspector, opened in a running process by SIGUSR1: to collect its garbage before its memory is read, and to
// sample where its CPU time goes. The process runs as always until then. The door stays open once it is: closing it from
// within (node:inspector's close) while our connection ends has been seen to kill the process.

import type { CpuProfile } from "./self-times.ts";

/** The inspector's port is chosen by the kernel; the process says it on stderr. Given to those whose door will be opened. */
export const INSPECTABLE = "--inspect-port=0";
const LISTENING = /^Debugger listening on (ws:\S+)/;
const ANSWER_MS_MAX = 10_000;

/** Hears, in what the processes write, where their inspectors listen. */
export class InspectorDoors {
  readonly #waiting = new Map<string, (url: string) => void>();
  readonly #urls = new Map<string, string>();

  hear(process: string, line: string): void {
    const url = LISTENING.exec(line)?.[1];
    if (url === undefined) return;
    this.#urls.set(process, url);
    this.#waiting.get(process)?.(url);
  }

  /** @throws Error when it does not open in time */
  async open(name: string, pid: number): Promise<Inspected> {
    const known = this.#urls.get(name);
    if (known !== undefined) return Inspected.connect(known);
    const url = await new Promise<string>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${name}: its inspector did not open`)), ANSWER_MS_MAX);
      this.#waiting.set(name, (heard) => {
        clearTimeout(timer);
        resolve(heard);
      });
      process.kill(pid, "SIGUSR1");
    });
    this.#waiting.delete(name);
    return Inspected.connect(url);
  }
}

export class Inspected {
  readonly #socket: WebSocket;
  readonly #answers = new Map<number, (result: unknown) => void>();
  #asked = 0;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.addEventListener("message", ({ data }) => {
      const { id, result } = JSON.parse(String(data)) as { id?: number; result?: unknown };
      if (id === undefined) return;
      this.#answers.get(id)?.(result);
      this.#answers.delete(id);
    });
  }

  static connect(url: string): Promise<Inspected> {
    const socket = new WebSocket(url);
    return new Promise((resolve, reject) => {
      socket.addEventListener("open", () => resolve(new Inspected(socket)), { once: true });
      socket.addEventListener("error", () => reject(new Error(`${url} does not answer`)), { once: true });
    });
  }

  collectGarbage(): Promise<unknown> {
    return this.#ask("HeapProfiler.collectGarbage");
  }

  /** What is alive: on the heap, and outside of it on its behalf. Right after a collection. */
  async liveBytes(): Promise<number> {
    const { heapUsed, external } = (await this.#evaluate("process.memoryUsage()")) as NodeJS.MemoryUsage;
    return heapUsed + external;
  }

  async startSampling(): Promise<void> {
    await this.#ask("Profiler.enable");
    await this.#ask("Profiler.start");
  }

  async stopSampling(): Promise<CpuProfile> {
    const { profile } = (await this.#ask("Profiler.stop")) as { profile: CpuProfile };
    return profile;
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#socket.addEventListener("close", () => resolve(), { once: true });
      this.#socket.close();
    });
  }

  async #evaluate(expression: string): Promise<unknown> {
    const { result } = (await this.#ask("Runtime.evaluate", { expression, returnByValue: true })) as {
      result: { value?: unknown };
    };
    return result.value;
  }

  #ask(method: string, params: object = {}): Promise<unknown> {
    const id = ++this.#asked;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${method}: no answer`)), ANSWER_MS_MAX);
      this.#answers.set(id, (result) => {
        clearTimeout(timer);
        resolve(result);
      });
      this.#socket.send(JSON.stringify({ id, method, params }));
    });
  }
}
