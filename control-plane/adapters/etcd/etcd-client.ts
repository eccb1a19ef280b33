// etcd3 with its waits bounded and its fault handling ours.
//
// Left at its defaults, etcd3 1.1.2 keeps a host out for 5 s after three failures (circuit breaker), grpc-js doubles
// its reconnection wait up to two minutes, and a call without deadline waits for ever on a host that hangs.

import { Etcd3, type IOptions } from "etcd3";
import type { StoreAway } from "../../boundary/store-away.ts";

export interface EtcdPlace {
  /** "127.10.1.1:2379" */
  readonly endpoints: readonly string[];
  readonly callTimeoutMs: number;
}

type FaultPolicy = NonNullable<NonNullable<IOptions["faultHandling"]>["global"]>;

/** Neither retries nor breaks: the callers know how long to try, and poll. */
const callThrough = {
  execute: async (run: (context: { signal: AbortSignal }) => unknown) =>
    await run({ signal: new AbortController().signal }),
  onSuccess: () => ({ dispose() {} }),
  onFailure: () => ({ dispose() {} }),
} as unknown as FaultPolicy;

export function openEtcd({ endpoints, callTimeoutMs }: EtcdPlace): Etcd3 {
  return new Etcd3({
    hosts: endpoints.map((endpoint) => (endpoint.includes("://") ? endpoint : `http://${endpoint}`)),
    defaultCallOptions: ({ isStream }) => (isStream ? {} : { deadline: Date.now() + callTimeoutMs }),
    faultHandling: { global: callThrough, host: () => callThrough },
    grpcOptions: {
      "grpc.initial_reconnect_backoff_ms": 100,
      "grpc.min_reconnect_backoff_ms": 100,
      "grpc.max_reconnect_backoff_ms": 1_000,
      "grpc.keepalive_time_ms": 10_000,
      "grpc.keepalive_timeout_ms": 3_000,
      "grpc.max_receive_message_length": -1,
    },
  });
}

export const etcdAway = (error: unknown): StoreAway => ({
  code: "store.away",
  store: "etcd",
  detail: error instanceof Error ? error.message : String(error),
});

/** Whether a read is answered now. */
export const etcdAnswers = (etcd: Etcd3): Promise<boolean> =>
  etcd
    .get("/tollgate/v1/tenants-version")
    .exec()
    .then(
      () => true,
      () => false,
    );
