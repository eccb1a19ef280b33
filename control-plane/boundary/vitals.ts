/** What is worth watching from outside, read when asked. */
export interface Vitals {
  readonly intentVersion: number;
  readonly etcdReady: boolean;
  readonly redisReady: boolean;
  readonly popHosts: readonly {
    readonly hostId: string;
    readonly linked: boolean;
    readonly appliedVersion: number;
    readonly refusing: boolean;
  }[];
  readonly shards: number;
  readonly shardsOwned: number;
  readonly shardsInMemoryOnly: number;
  readonly contactsByState: Readonly<Record<string, number>>;
  readonly agentsByState: Readonly<Record<string, number>>;
  readonly decisionsDropped: number;
}
