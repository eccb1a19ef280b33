// Inputs worth keeping, one file each: what fuzzing begins with, and what the short run repeats.

import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";

const FOLDER = new URL("corpus/", import.meta.url);

export function corpusOf(target: string): string[] {
  try {
    const folder = new URL(`${target}/`, FOLDER);
    return readdirSync(folder)
      .sort()
      .map((name) => readFileSync(new URL(name, folder)).toString("latin1"));
  } catch {
    return []; // nothing kept yet
  }
}

export function keep(target: string, input: string): void {
  const folder = new URL(`${target}/`, FOLDER);
  mkdirSync(folder, { recursive: true });
  const name = createHash("sha256").update(input, "latin1").digest("hex").slice(0, 12);
  writeFileSync(new URL(name, folder), Buffer.from(input, "latin1"));
}

/** RFC 4475's messages: the best seeds there are. */
export function tortureMessages(): string[] {
  const folder = new URL("../test/rfc4475/", import.meta.url);
  return readdirSync(folder)
    .sort()
    .map((name) => readFileSync(new URL(name, folder)).toString("latin1"));
}
