// What a host's keeper and the processes it keeps say to each other, over Node's own channel between parent and child.
// A kept process starts as a spare (everything loaded, nothing opened), and serves when it is told what.

/** From the keeper. Moments are of the machine's monotonic clock in ms (`process.hrtime`), which both can read. */
export type KeeperSays =
  /** Only a spare hears it, once. */
  | {
      readonly kind: "serve";
      /** As the process would read it from its configuration file. */
      readonly config: unknown;
      readonly epoch: number;
      readonly untilMs: number;
      /** Wall clock; when the former owner was last known to be alive. Absent at a first start. */
      readonly formerDiedAtUnixMs?: number;
    }
  | { readonly kind: "lease"; readonly untilMs: number }
  | { readonly kind: "ping"; readonly n: number }
  /** Write what a next owner needs, say "ready-to-go", and do nothing more: the next owner is about to start. */
  | { readonly kind: "hand-over" };

/** From the process. Its end, clean or not, says itself. */
export type KeptSays =
  /** Loaded, and waiting for "serve". */
  | { readonly kind: "spare" }
  | { readonly kind: "serving" }
  /** Only a turning event loop says so. */
  | { readonly kind: "pong"; readonly n: number }
  | { readonly kind: "ready-to-go" }
  /** The store refuses its writes: a newer owner writes. Said on the way out. */
  | { readonly kind: "superseded"; readonly by: number };
