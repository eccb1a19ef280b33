/** The store cannot be reached, or does not answer in time. What it holds is unknown, not gone. */
export interface StoreAway {
  readonly code: "store.away";
  readonly store: "etcd" | "redis" | "memory";
  readonly detail: string;
}
