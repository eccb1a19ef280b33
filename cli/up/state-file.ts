// What `tollgate up` has running, for the other commands: DATA/REGION/up.json, written anew at every change.

import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { z } from "zod";
import { parseConfig, showMistakes } from "../../kernel/config.ts";
import { fail, type Outcome, succeed } from "../../kernel/outcome.ts";

const UpStateSchema = z.object({
  version: z.literal(1),
  pid: z.int(),
  region: z.string(),
  network: z.enum(["loopback", "netns"]),
  startedAtUnixMs: z.number(),
  /** Undefined when the control plane was left out. */
  restUrl: z.string().optional(),
  adminTokenFile: z.string(),
  hosts: z.array(
    z.object({
      hostId: z.string(),
      popId: z.string(),
      popUrl: z.string(),
      sip: z.string(),
      keeperUrl: z.string(),
      keeperTokenFile: z.string(),
    }),
  ),
  logs: z.string(),
  processes: z.array(
    z.object({
      name: z.string(),
      state: z.enum(["starting", "ready", "waiting", "stopped", "given-up", "spare"]),
      pid: z.int().optional(),
      restarts: z.int(),
    }),
  ),
});

export type UpState = z.output<typeof UpStateSchema>;

export interface NotUp {
  readonly code: "up.not-running";
  readonly stateFile: string;
  readonly why: string;
}

/** In one piece: a reader sees the old state or the new one. */
export function writeUpState(path: string, state: UpState): void {
  writeFileSync(`${path}.new`, `${JSON.stringify(state, null, 2)}\n`, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

/** @fails up.not-running when there is no such file, or it is not ours */
export function readUpState(path: string): Outcome<UpState, NotUp> {
  try {
    const parsed = parseConfig(UpStateSchema, JSON.parse(readFileSync(path, "utf8")));
    if (parsed.ok) return succeed(parsed.value);
    return fail({ code: "up.not-running", stateFile: path, why: showMistakes(parsed.failure.mistakes) });
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === "ENOENT";
    return fail({ code: "up.not-running", stateFile: path, why: missing ? "no such file" : String(error) });
  }
}
