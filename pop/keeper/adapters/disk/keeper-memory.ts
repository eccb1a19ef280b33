// What outlives a keeper: one small file, replaced in one piece.

import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from "node:fs";
import type { KeeperMemory } from "../../core/keeper-words.ts";

const EMPTY: KeeperMemory = { epochs: {} };

/** Empty when there is none, or it is not one of ours: epochs are in etcd as well. */
export function readMemory(file: string): KeeperMemory {
  try {
    const read: unknown = JSON.parse(readFileSync(file, "utf8"));
    const epochs = typeof read === "object" && read !== null && "epochs" in read ? read.epochs : undefined;
    if (typeof epochs !== "object" || epochs === null) return EMPTY;
    const sound = Object.entries(epochs).filter(([, epoch]) => Number.isSafeInteger(epoch) && epoch >= 0);
    return { epochs: Object.fromEntries(sound) };
  } catch {
    return EMPTY;
  }
}

/** On disk when it returns. @throws when the disk does not take it */
export function writeMemory(file: string, memory: KeeperMemory): void {
  const fd = openSync(`${file}.new`, "w", 0o600);
  try {
    writeSync(fd, `${JSON.stringify(memory)}\n`);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(`${file}.new`, file);
}
