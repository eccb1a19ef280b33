// Who owns a service, as it stands in etcd. Written by compare-and-swap alone.

import type { PopHostId } from "../../../kernel/ids.ts";
import type { UnixMs } from "../../../kernel/units.ts";

export interface OwnerRecord {
  readonly host: PopHostId;
  /** Grows with every owner. Even: the service's home host; odd: its twin (so no two hosts ever use one epoch, also where etcd was away). */
  readonly epoch: number;
  /**
   * serving: whoever claimed it renews it. given: the former owner, which has ended, gives it to `host`, which has not
   * taken it yet. stopped: `host` was stopped on purpose, and nobody else is to serve it.
   */
  readonly state: "serving" | "given" | "stopped";
}

/** What one read, watch event or refused write shows. */
export interface OwnerEntry {
  /** Undefined: nobody ever owned the service. */
  readonly record: OwnerRecord | undefined;
  /** Changes with every write, also one that changes nothing else; 0 without a record. */
  readonly revision: number;
  /** Wall clock of who wrote it. Until then the owner was alive. */
  readonly writtenAtUnixMs: UnixMs | undefined;
}

export type Role = "home" | "guest";

/** The smallest epoch above `above` that a host of this role may use. */
export function nextEpoch(above: number, role: Role): number {
  const parity = role === "home" ? 0 : 1;
  return (above + 1) % 2 === parity ? above + 1 : above + 2;
}
