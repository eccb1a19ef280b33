// Who serves a service, home and twin's alike: one machine per host.

import type { Step } from "../../../kernel/step.ts";
import type { InstantMs } from "../../../kernel/time.ts";
import type { KeeperEffect, KeeperInput, KeeperMemory, KeeperSettings, KeeperState } from "./keeper-words.ts";

export type * from "./keeper-words.ts";

/** What a keeper begins with, once it listens for its twin. `boot`: of this run, never used before. */
export interface KeeperStart {
  readonly atMs: InstantMs;
  readonly boot: string;
  readonly memory: KeeperMemory;
}

/** Feed it "woke" at once: that asks for the first effects. */
export function initialKeeper(settings: KeeperSettings, { atMs, boot, memory }: KeeperStart): KeeperState {
  const service = (id: KeeperState["home"]["service"]): KeeperState["home"] => ({
    service: id,
    tenure: { name: "none" },
    seen: undefined,
    reading: undefined,
    readAtMs: atMs,
    known: memory.epochs[id] ?? 0,
    ended: 0,
    granted: undefined,
    twinSays: undefined,
    yieldUntilMs: undefined,
    impossible: undefined,
  });
  return {
    startedAtMs: atMs,
    steppedAtMs: atMs,
    boot,
    nextId: 1,
    stopping: "no",
    twin: {
      link: { name: "closed", connectAtMs: atMs },
      boot: undefined,
      heardAtMs: undefined,
      name: "unknown",
      everConnected: false,
      refusedAtMs: undefined,
      clearOfPast: false,
      wantsHome: false,
    },
    store: { name: "unknown", sinceMs: atMs },
    home: service(settings.host),
    guest: settings.twin === undefined ? undefined : service(settings.twin),
    returning: undefined,
    wakeAtMs: undefined,
  };
}

export function stepKeeper(
  _settings: KeeperSettings,
  state: KeeperState,
  input: KeeperInput,
): Step<KeeperState, KeeperEffect> {
  return { state: { ...state, steppedAtMs: input.atMs }, effects: [] };
}
