import type { Etcd3 } from "etcd3";
import type { Log } from "../../../kernel/log.ts";
import { fail, type Outcome, succeed } from "../../../kernel/outcome.ts";
import type { IntentConflict, IntentStore } from "../../boundary/intent-store.ts";
import type { StoreAway } from "../../boundary/store-away.ts";
import type { IntentChange } from "../../core/tenancy/apply.ts";
import {
  type ConfigObject,
  EMPTY_INTENT,
  type Intent,
  objectFromStored,
  objectKey,
  objectToStored,
  type StoredUnreadable,
} from "../../core/tenancy/intent.ts";
import { etcdAway } from "./etcd-client.ts";

// One range holds it all, so that one read sees one revision:
//   /tollgate/v1/tenants-made-at    milliseconds
//   /tollgate/v1/tenants-version    every apply compares and raises it
//   /tollgate/v1/tenants/<tenant>/<kind>/<id>
const OBJECTS = "/tollgate/v1/tenants/";
const VERSION = "/tollgate/v1/tenants-version";
const MADE_AT = "/tollgate/v1/tenants-made-at";
const ALL = { start: "/tollgate/v1/tenants-", end: "/tollgate/v1/tenants0" };

/** How often the version is looked at even if the watch says nothing: a watch can be lost without a word. */
const POLL_EVERY_MS = 2_000;

export class EtcdIntentStore implements IntentStore {
  readonly #etcd: Etcd3;
  readonly #log: Log;

  constructor(etcd: Etcd3, log: Log) {
    this.#etcd = etcd;
    this.#log = log;
  }

  async read(): Promise<Outcome<Intent, StoreAway | StoredUnreadable>> {
    try {
      const { kvs } = await this.#etcd.getAll().inRange(ALL).exec();
      let { version, madeAtUnixMs } = EMPTY_INTENT;
      const objects = new Map<string, ConfigObject>();
      for (const { key: rawKey, value } of kvs) {
        const key = rawKey.toString();
        if (key === VERSION) version = Number(value.toString());
        if (key === MADE_AT) madeAtUnixMs = Number(value.toString());
        if (!key.startsWith(OBJECTS)) continue;
        const short = key.slice(OBJECTS.length);
        const object = objectFromStored(short, parseJson(value.toString()));
        if (!object.ok) return object;
        objects.set(short, object.value);
      }
      return succeed({ version, madeAtUnixMs, objects });
    } catch (error) {
      return fail(etcdAway(error));
    }
  }

  async commit(
    judgedAgainst: number,
    next: Pick<Intent, "version" | "madeAtUnixMs">,
    change: IntentChange,
  ): Promise<Outcome<void, IntentConflict | StoreAway>> {
    const etcd = this.#etcd;
    const unchanged =
      judgedAgainst === 0
        ? etcd.if(VERSION, "Create", "==", 0)
        : etcd.if(VERSION, "Value", "==", String(judgedAgainst));
    const key = (object: Pick<ConfigObject, "tenantId" | "kind" | "id">) =>
      OBJECTS + objectKey(object.tenantId, object.kind, object.id);
    try {
      const { succeeded } = await unchanged
        .then(
          etcd.put(VERSION).value(String(next.version)),
          etcd.put(MADE_AT).value(String(next.madeAtUnixMs)),
          ...change.deletes.map((object) => etcd.delete().key(key(object))),
          ...change.puts.map((object) => etcd.put(key(object)).value(JSON.stringify(objectToStored(object)))),
        )
        .commit();
      return succeeded ? succeed(undefined) : fail({ code: "intent.conflict", judgedAgainst });
    } catch (error) {
      return fail(etcdAway(error));
    }
  }

  watch(changed: () => void): { close(): void } {
    const etcd = this.#etcd;
    let closed = false;
    let seen: string | undefined;
    const watching = etcd.watch().key(VERSION).watcher();
    // Connected again also counts: what happened meanwhile is not told.
    const look = () => {
      if (!closed) changed();
    };
    watching.on("connected", look);
    watching.on("data", look);
    watching.on("error", (error: Error) => this.#log.warn("etcd.watch-ended", { error })); // the poll goes on
    const poll = setInterval(async () => {
      const version = await etcd
        .get(VERSION)
        .string()
        .catch(() => undefined);
      if (closed || version === undefined || version === null || version === seen) return;
      seen = version;
      changed();
    }, POLL_EVERY_MS);
    return {
      close() {
        closed = true;
        clearInterval(poll);
        watching.removeAllListeners("data");
        void watching.cancel().catch(() => {});
      },
    };
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
