// Where a response goes when the connection its request came by is gone: RFC 3261 §18.2.2, RFC 3263 §5.

import { addressFamily } from "../address.ts";
import { defaultPort, type TransportName } from "../flow.ts";
import { parameter } from "../message/parameters.ts";
import { bareHost } from "../message/uri.ts";
import type { Via } from "../message/via.ts";
import { type Hop, nameOf } from "./hop.ts";

/** The sent-by of the topmost Via: its host, over the transport it names; without a port, SRV decides if it is a name. */
export function hopOfSentBy(via: Via, transport: TransportName): Hop {
  const secure = transport === "tls" || transport === "wss";
  const host = bareHost(parameter(via.params, "maddr") || via.host);
  const isAddress = addressFamily(host) !== 0;
  const port = via.port ?? (isAddress ? defaultPort(transport) : undefined);
  return { secure, transport, host: isAddress ? host : nameOf(host), port, isAddress };
}
