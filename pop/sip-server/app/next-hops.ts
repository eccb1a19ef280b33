// Where a request may go: the targets of a URI, best first.

import { addressFamily } from "../core/next-hop/address.ts";
import { defaultPort, type Hop, type Target, targetOfAddress, usualTransport } from "../core/next-hop/hop.ts";
import type { Shell } from "./shell.ts";

export class NextHops {
  readonly #shell: Shell;

  constructor(shell: Shell) {
    this.#shell = shell;
  }

  /** Calls back once: before it returns when nobody has to be asked. No targets: the name leads nowhere. */
  find(hop: Hop, found: (targets: readonly Target[]) => void): void {
    if (hop.isAddress) {
      found([targetOfAddress(hop)]);
      return;
    }
    const transport = usualTransport(hop);
    void this.#shell.resolve(hop.host).then((address) => {
      if (address === undefined || addressFamily(address) === 0) found([]);
      else found([{ transport, address, port: hop.port ?? defaultPort(transport), domain: hop.host }]);
    });
  }
}
