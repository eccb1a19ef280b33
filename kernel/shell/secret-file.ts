// A secret lives in a file of its own, so that it is in no configuration and in no list of processes.

import { readFileSync } from "node:fs";
import { ConfiguredFileFault } from "../config.ts";

/**
 * @param setting where the configuration names the file: "admin.secretFile"
 * @returns its content, trimmed
 * @throws ConfiguredFileFault when it cannot be read, or is empty: an empty secret is none
 */
export function readSecretFile(setting: string, path: string): string {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new ConfiguredFileFault(`${setting}: cannot read ${path}: ${why}`);
  }
  const secret = text.trim();
  if (secret === "") throw new ConfiguredFileFault(`${setting}: ${path} is empty`);
  return secret;
}
