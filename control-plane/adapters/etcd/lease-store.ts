import { type Etcd3, type Lease as EtcdLease, EtcdLeaseInvalidError } from "etcd3";
import { fail, type Outcome, succeed } from "../../../kernel/outcome.ts";
import type { Lease, LeaseHeld, LeaseStore } from "../../boundary/lease-store.ts";
import type { StoreAway } from "../../boundary/store-away.ts";
import { etcdAway } from "./etcd-client.ts";

// /tollgate/v1/leases/<name>   {"replicaId","epoch"}, gone with the etcd lease it hangs on
// /tollgate/v1/epochs/<name>   the last epoch given; stays
const leaseKey = (name: string) => `/tollgate/v1/leases/${name}`;
const epochKey = (name: string) => `/tollgate/v1/epochs/${name}`;
const RACES_MAX = 3;

/**
 * Leases are kept alive by renew(), one request at a time with a deadline, not by etcd3's own keep-alive: that gives a
 * lease up by its own clock after twice the time to live, also when etcd as a whole is away and nobody can have it.
 */
export class EtcdLeaseStore implements LeaseStore {
  readonly #etcd: Etcd3;
  readonly #ttlSeconds: number;
  readonly #renewTimeoutMs: number;

  constructor(etcd: Etcd3, settings: { readonly ttlSeconds: number; readonly renewTimeoutMs: number }) {
    this.#etcd = etcd;
    this.#ttlSeconds = settings.ttlSeconds;
    this.#renewTimeoutMs = settings.renewTimeoutMs;
  }

  async acquire(name: string, replicaId: string, above: number): Promise<Outcome<Lease, LeaseHeld | StoreAway>> {
    let grant: EtcdLease | undefined;
    try {
      for (let race = 0; race < RACES_MAX; race++) {
        const [held, given] = await Promise.all([this.#read(leaseKey(name)), this.#read(epochKey(name))]);
        const holder = held.text === undefined ? undefined : readHolder(held.text);
        if (holder && holder.replicaId !== replicaId) {
          await grant?.revoke().catch(() => {});
          return fail({ code: "lease.held", name, by: holder.replicaId });
        }
        const epoch = Math.max(Number(given.text ?? 0), above) + 1;
        grant ??= this.#etcd.lease(this.#ttlSeconds, { autoKeepAlive: false });
        const leaseId = await grant.grant();
        const { succeeded } = await this.#etcd
          .if(leaseKey(name), "Mod", "==", held.modRevision)
          .and(epochKey(name), "Mod", "==", given.modRevision)
          .then(
            this.#etcd.put(leaseKey(name)).value(JSON.stringify({ replicaId, epoch })).lease(leaseId),
            this.#etcd.put(epochKey(name)).value(String(epoch)),
          )
          .commit();
        if (succeeded) return succeed(this.#lease(name, epoch, grant));
      }
      await grant?.revoke().catch(() => {});
      return fail({ code: "lease.held", name, by: "a race" });
    } catch (error) {
      grant?.release();
      return fail(etcdAway(error));
    }
  }

  #lease(name: string, epoch: number, grant: EtcdLease): Lease {
    const ours = async () => readHolder((await this.#read(leaseKey(name))).text ?? "")?.epoch === epoch;
    const renew = async (): Promise<"kept" | "lost"> => {
      await grant.keepaliveOnce({ deadline: Date.now() + this.#renewTimeoutMs });
      return (await ours()) ? "kept" : "lost";
    };
    let lost = false;
    return {
      name,
      epoch,
      renew: async () => {
        if (lost) return "lost";
        try {
          const renewed = await Promise.race([renew(), timeout(this.#renewTimeoutMs)]);
          lost = renewed === "lost";
          return renewed;
        } catch (error) {
          lost = error instanceof EtcdLeaseInvalidError;
          return lost ? "lost" : "away";
        }
      },
      release: async () => {
        if (lost) return grant.release();
        lost = true;
        await Promise.race([grant.revoke(), timeout(this.#renewTimeoutMs)]).catch(() => {});
      },
    };
  }

  async #read(key: string): Promise<{ text: string | undefined; modRevision: string }> {
    const { kvs } = await this.#etcd.get(key).exec();
    return { text: kvs[0]?.value.toString(), modRevision: kvs[0]?.mod_revision ?? "0" };
  }
}

function readHolder(text: string): { replicaId: string; epoch: number } | undefined {
  try {
    const { replicaId, epoch } = JSON.parse(text) as { replicaId?: unknown; epoch?: unknown };
    return typeof replicaId === "string" && typeof epoch === "number" ? { replicaId, epoch } : undefined;
  } catch {
    return undefined;
  }
}

const timeout = (afterMs: number): Promise<never> =>
  new Promise((_, reject) => {
    setTimeout(() => reject(new Error(`no answer within ${afterMs} ms`)), afterMs).unref();
  });
