// Configuration is parsed once, whole and strictly: every mistake is listed, with where it is.

import type { z } from "zod";
import { fail, type Outcome, succeed } from "./outcome.ts";

export interface ConfigMistake {
  /** Where: "rtpPorts.first"; empty for the whole. */
  readonly path: string;
  readonly message: string;
}

export interface ConfigInvalid {
  readonly code: "config.invalid";
  readonly mistakes: readonly ConfigMistake[];
}

/** @fails config.invalid with every mistake, never only the first */
export function parseConfig<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
): Outcome<z.output<Schema>, ConfigInvalid> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return succeed(parsed.data);
  const mistakes = parsed.error.issues.map(({ path, message }) => ({ path: path.join("."), message }));
  return fail({ code: "config.invalid", mistakes });
}

/**
 * A file that the configuration names is of no use. Thrown while a process starts, where only its end can follow:
 * shell/process.ts makes it exit code 78.
 */
export class ConfiguredFileFault extends Error {}

export const showMistakes = (mistakes: readonly ConfigMistake[]): string =>
  mistakes.map(({ path, message }) => `  ${path === "" ? "(whole)" : path}: ${message}`).join("\n");
