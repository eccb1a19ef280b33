// Hosts as network namespaces of one machine, joined by one that is their network: the fabric. Each service address is
// on every host's loopback, and the fabric's route says to which host it leads. To replace that route is here what
// re-associating an address is in a cloud.

import { execFile } from "node:child_process";
import { isIPv4 } from "node:net";
import type { PopHostId } from "../../../../kernel/ids.ts";
import { fail, type Outcome, succeed } from "../../../../kernel/outcome.ts";
import type { AddressMover } from "../../boundary/address-mover.ts";
import type { AddressFailure } from "../../core/keeper-words.ts";

export const FABRIC_MS_MAX = 500;

export interface FabricPlace {
  /** "/run/netns/tollgate-eu" or "/proc/<pid>/ns/net". */
  readonly fabric: string;
  /** The fabric's interface to this host. */
  readonly device: string;
  /** This host's address on that link; left out where the link needs none. */
  readonly via?: string;
  /** IPv4, by service. */
  readonly addresses: ReadonlyMap<PopHostId, string>;
  /** For tests: in place of nsenter. */
  readonly nsenter?: string;
}

export class FabricAddressMover implements AddressMover {
  readonly #place: FabricPlace;

  constructor(place: FabricPlace) {
    this.#place = place;
  }

  async take(service: PopHostId): Promise<Outcome<void, AddressFailure>> {
    const { fabric, device, via, addresses, nsenter = "nsenter" } = this.#place;
    const address = addresses.get(service);
    if (address === undefined || !isIPv4(address))
      return fail({ code: "address.unknown", address: address ?? service });
    const to = [...(via === undefined ? [] : ["via", via]), "dev", device];
    const args = [`--net=${fabric}`, "ip", "route", "replace", `${address}/32`, ...to];
    return new Promise((resolve) => {
      const options = { timeout: FABRIC_MS_MAX, killSignal: "SIGKILL" as const };
      const child = execFile(nsenter, args, options, (error, _out, complaint) => {
        if (error === null) return resolve(succeed(undefined));
        if (error.killed === true || child.signalCode === "SIGKILL")
          return resolve(fail({ code: "address.timed-out", afterMs: FABRIC_MS_MAX }));
        resolve(fail({ code: "address.refused", detail: (complaint.trim() || error.message).slice(0, 200) }));
      });
    });
  }
}
