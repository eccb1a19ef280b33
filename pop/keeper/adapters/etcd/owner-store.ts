// The owner records in etcd: /tollgate/v1/services/<service>/owner = {"host","epoch","state","atUnixMs"}.
//
// No etcd lease hangs on them: Debian's etcd 3.4 grants none under 2 s and lets it expire up to a second late, and a
// survivor must wait by its own clock anyway (docs/adr/0013). So a record stays, and who counts is the survivor.

import { Etcd3, type IKeyValue, type IOptions, type Watcher } from "etcd3";
import type { PopHostId } from "../../../../kernel/ids.ts";
import { fail, type Outcome, succeed } from "../../../../kernel/outcome.ts";
import type { OwnerStore } from "../../boundary/owner-store.ts";
import type { OwnerConflict, OwnerStoreAway } from "../../core/keeper-words.ts";
import type { OwnerEntry, OwnerRecord } from "../../core/owner-record.ts";

export const OWNER_CALL_MS_MAX = 400;
/** Reads in a row that knew more than the watch: it has ended without a word, and is made anew. */
const BEHIND_MAX = 3;
const REWATCH_AFTER_MS = 500;

type FaultPolicy = NonNullable<NonNullable<IOptions["faultHandling"]>["global"]>;

/** Neither retries nor breaks the circuit (etcd3's own keeps a host out for 5 s): the keeper asks again all the time. */
const callThrough = {
  execute: async (run: (context: { signal: AbortSignal }) => unknown) =>
    await run({ signal: new AbortController().signal }),
  onSuccess: () => ({ dispose() {} }),
  onFailure: () => ({ dispose() {} }),
} as unknown as FaultPolicy;

const keyOf = (service: PopHostId): string => `/tollgate/v1/services/${service}/owner`;
const STATES: readonly OwnerRecord["state"][] = ["serving", "given", "stopped"];

interface Watched {
  readonly service: PopHostId;
  readonly changed: (entry: OwnerEntry) => void;
  watcher: Watcher | undefined;
  revision: number;
  behind: number;
  closed: boolean;
}

export class EtcdOwnerStore implements OwnerStore {
  readonly #etcd: Etcd3;
  readonly #watched = new Set<Watched>();
  #closed = false;

  /** @param endpoints "127.10.1.1:2379" */
  constructor({ endpoints }: { readonly endpoints: readonly string[] }) {
    this.#etcd = new Etcd3({
      hosts: endpoints.map((endpoint) => (endpoint.includes("://") ? endpoint : `http://${endpoint}`)),
      defaultCallOptions: ({ isStream }) => (isStream ? {} : { deadline: Date.now() + OWNER_CALL_MS_MAX }),
      faultHandling: { global: callThrough, host: () => callThrough },
      grpcOptions: {
        "grpc.initial_reconnect_backoff_ms": 100,
        "grpc.min_reconnect_backoff_ms": 100,
        "grpc.max_reconnect_backoff_ms": 500,
        "grpc.keepalive_time_ms": 2_000,
        "grpc.keepalive_timeout_ms": 1_000,
        "grpc.keepalive_permit_without_calls": 1,
      },
    });
  }

  read(service: PopHostId): Promise<Outcome<OwnerEntry, OwnerStoreAway>> {
    return bounded(async () => {
      const { kvs } = await this.#etcd.get(keyOf(service)).exec();
      const entry = entryOf(kvs[0]);
      if (entry.ok) this.#compare(service, entry.value);
      return entry;
    });
  }

  write(
    service: PopHostId,
    record: OwnerRecord,
    ifRevision: number,
  ): Promise<Outcome<OwnerEntry, OwnerConflict | OwnerStoreAway>> {
    const key = keyOf(service);
    const atUnixMs = Date.now();
    return bounded<OwnerEntry, OwnerConflict | OwnerStoreAway>(async () => {
      const { succeeded, header, responses } = await this.#etcd
        .if(key, "Mod", "==", ifRevision)
        .then(this.#etcd.put(key).value(JSON.stringify({ ...record, atUnixMs })))
        .else(this.#etcd.get(key))
        .commit();
      if (succeeded) return succeed({ record, revision: Number(header.revision), writtenAtUnixMs: atUnixMs });
      const stands = entryOf(responses[0]?.response_range?.kvs[0]);
      return stands.ok ? fail({ code: "owner.conflict", entry: stands.value }) : stands;
    });
  }

  watch(service: PopHostId, changed: (entry: OwnerEntry) => void): { close(): void } {
    const watched: Watched = { service, changed, watcher: undefined, revision: 0, behind: 0, closed: false };
    this.#watched.add(watched);
    this.#begin(watched);
    return {
      close: () => {
        watched.closed = true;
        this.#watched.delete(watched);
        this.#end(watched);
      },
    };
  }

  #begin(watched: Watched): void {
    if (watched.closed || this.#closed) return;
    const watcher = this.#etcd.watch().key(keyOf(watched.service)).watcher();
    watched.watcher = watcher;
    watched.behind = 0;
    const tell = (entry: OwnerEntry) => {
      if (watched.closed || watched.watcher !== watcher || entry.revision <= watched.revision) return;
      watched.revision = entry.revision;
      watched.behind = 0;
      watched.changed(entry);
    };
    watcher.on("put", (kv) => {
      const entry = entryOf(kv);
      if (entry.ok) tell(entry.value);
    });
    // What happened while it was not connected is not told
    watcher.on("connected", () => {
      void this.read(watched.service).then((entry) => {
        if (entry.ok) tell(entry.value);
      });
    });
    watcher.on("error", () => {
      if (watched.watcher === watcher) this.#again(watched);
    });
  }

  #again(watched: Watched): void {
    this.#end(watched);
    setTimeout(() => this.#begin(watched), REWATCH_AFTER_MS).unref();
  }

  #end(watched: Watched): void {
    const { watcher } = watched;
    watched.watcher = undefined;
    if (watcher === undefined) return;
    watcher.removeAllListeners();
    watcher.on("error", () => {}); // of its cancellation
    void watcher.cancel().catch(() => {});
  }

  #compare(service: PopHostId, { revision }: OwnerEntry): void {
    for (const watched of this.#watched) {
      if (watched.service !== service || watched.watcher === undefined || revision <= watched.revision) continue;
      watched.behind++;
      if (watched.behind >= BEHIND_MAX) this.#again(watched);
    }
  }

  close(): void {
    this.#closed = true;
    for (const watched of this.#watched) {
      watched.closed = true;
      this.#end(watched);
    }
    this.#watched.clear();
    this.#etcd.close();
  }
}

/** A record that cannot be read is nobody's to judge: as if the store were away, so that nobody takes anything. */
function entryOf(kv: IKeyValue | undefined): Outcome<OwnerEntry, OwnerStoreAway> {
  if (kv === undefined) return succeed({ record: undefined, revision: 0, writtenAtUnixMs: undefined });
  try {
    const { host, epoch, state, atUnixMs } = JSON.parse(kv.value.toString()) as Record<string, unknown>;
    const known = STATES.find((each) => each === state);
    if (typeof host !== "string" || !Number.isSafeInteger(epoch) || known === undefined) return unreadable(kv);
    return succeed({
      record: { host: host as PopHostId, epoch: epoch as number, state: known },
      revision: Number(kv.mod_revision),
      writtenAtUnixMs: typeof atUnixMs === "number" ? atUnixMs : undefined,
    });
  } catch {
    return unreadable(kv);
  }
}

const unreadable = (kv: IKeyValue): Outcome<never, OwnerStoreAway> =>
  fail({ code: "owner.store-away", detail: `${kv.key.toString()} holds no owner record` });

/** grpc-js keeps its deadlines late when the event loop is busy, and etcd3 does things before its call. */
function bounded<Value, Failure>(
  run: () => Promise<Outcome<Value, Failure>>,
): Promise<Outcome<Value, Failure | OwnerStoreAway>> {
  return new Promise((resolve) => {
    const away = (detail: string) => resolve(fail({ code: "owner.store-away", detail }));
    const timer = setTimeout(() => away(`no answer within ${OWNER_CALL_MS_MAX} ms`), OWNER_CALL_MS_MAX);
    run()
      .then(resolve, (error) => away(error instanceof Error ? error.message : String(error)))
      .finally(() => clearTimeout(timer));
  });
}
