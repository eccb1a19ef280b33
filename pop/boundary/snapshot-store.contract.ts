import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { asId } from "../../kernel/ids.ts";
import { succeed } from "../../kernel/outcome.ts";
import type { Snapshot } from "../core/routing/snapshot.ts";
import type { SnapshotStore } from "./snapshot-store.ts";

/** One of everything, with and without what may be undefined. */
export const SNAPSHOT: Snapshot = {
  version: 7,
  madeAtUnixMs: 1_790_000_000_000,
  tenants: [
    {
      id: asId<"tenant">("acme"),
      name: "Acme",
      defaultTreatment: [{ kind: "text", text: "Sorry.", language: "en" }],
      callsConcurrentMax: 0,
    },
  ],
  trunks: [
    {
      id: asId<"trunk">("carrier"),
      tenantId: asId<"tenant">("acme"),
      sourceCidrs: ["127.20.0.0/24"],
      callsPerSecondMax: 50,
      callsConcurrentMax: 500,
      outboundUri: undefined,
    },
  ],
  numbers: [
    { number: "+49891234", tenantId: asId<"tenant">("acme"), entryPointId: asId<"entry-point">("support-line") },
  ],
  entryPoints: [
    {
      id: asId<"entry-point">("support-line"),
      tenantId: asId<"tenant">("acme"),
      name: "Support",
      flowId: asId<"flow">("support"),
      flowVersion: 3,
    },
  ],
  flows: [
    {
      id: asId<"flow">("support"),
      tenantId: asId<"tenant">("acme"),
      version: 3,
      start: "menu",
      activities: {
        menu: {
          kind: "menu",
          prompts: [{ kind: "file", name: "acme/welcome" }],
          choices: { "1": "wait", "*": "bye" },
          timeoutMs: 5_000,
          attemptsMax: 3,
          noMatchPrompts: [{ kind: "text", text: "Again, please." }],
          onNoInput: "bye",
          onNoMatch: undefined,
          onFailure: undefined,
        },
        wait: {
          kind: "queue",
          queueId: asId<"queue">("support"),
          music: undefined,
          messages: [{ kind: "text", text: "Please hold." }],
          messageIntervalMs: 20_000,
          waitMsMax: 0,
          onWaitExceeded: undefined,
          priority: 1,
          next: undefined,
          onFailure: "bye",
        },
        bye: { kind: "disconnect", onFailure: undefined },
      },
      variables: { language: "en" },
    },
  ],
  queues: [
    {
      id: asId<"queue">("support"),
      tenantId: asId<"tenant">("acme"),
      name: "Support",
      music: { kind: "file", name: "music/default" },
    },
  ],
  agentSourceCidrs: ["127.30.0.0/24"],
};

/** What every SnapshotStore must do; each adapter's test file calls this. */
export function snapshotStoreContract(name: string, open: () => SnapshotStore): void {
  describe(`${name} is a SnapshotStore`, () => {
    test("with nothing saved it says that it is empty", () => {
      assert.deepEqual(open().load(), { ok: false, failure: { code: "snapshot-store.empty" } });
    });
    test("what was saved comes back equal, undefined fields too", () => {
      const store = open();
      assert.deepEqual(store.save(SNAPSHOT), succeed(undefined));
      assert.deepEqual(store.load(), succeed(SNAPSHOT));
    });
    test("the last one saved is the one", () => {
      const store = open();
      store.save(SNAPSHOT);
      store.save({ ...SNAPSHOT, version: 8, flows: [] });
      assert.deepEqual(store.load(), succeed({ ...SNAPSHOT, version: 8, flows: [] }));
    });
  });
}
