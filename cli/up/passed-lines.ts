// A keeper passes on what its processes write: "[fra-01-a/pop] LINE". Each has a file of its own, as if it were ours.

import { join } from "node:path";
import { LogFile } from "../../kernel/shell/log-file.ts";

const PASSED = /^\[([\w.@/-]+)\] (.*)$/s;

export function passedLine(line: string): { readonly from: string; readonly line: string } | undefined {
  const found = line.startsWith("[") ? PASSED.exec(line) : null;
  const [, from, rest] = found ?? [];
  return from === undefined || rest === undefined || !from.includes("/") ? undefined : { from, line: rest };
}

/** As many files as there are processes. */
export class PassedLogs {
  readonly #folder: string;
  readonly #files = new Map<string, LogFile>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  pathOf(process: string): string {
    return join(this.#folder, `${process.replaceAll("/", "-")}.log`);
  }

  write(process: string, line: string): void {
    let file = this.#files.get(process);
    if (file === undefined) {
      file = new LogFile(this.pathOf(process));
      this.#files.set(process, file);
    }
    file.write(line);
  }

  close(): void {
    for (const file of this.#files.values()) file.close();
  }
}
