import type { PopHostId } from "../../../kernel/ids.ts";

/**
 * The newest owner of each host's service that this replica has heard of. After a takeover the host's twin speaks with the
 * host's own name: only the epoch tells it from the one that was taken over and does not know yet.
 * A replica that was just started knows none, and believes the first; whoever has lost its lease falls silent by itself.
 */
export class HostEpochs {
  readonly #newest = new Map<PopHostId, number>();

  /** Notes it. @returns the newer one that was heard before, or undefined: this one speaks for the service */
  heard(hostId: PopHostId, epoch: number): number | undefined {
    const known = this.#newest.get(hostId) ?? 0;
    if (epoch < known) return known;
    this.#newest.set(hostId, epoch);
    return undefined;
  }
}
