// Where a response goes: RFC 3261 §18.2.2, RFC 3581 §4.

import { addressFamily } from "../address.ts";
import { defaultPort, type Flow } from "../flow.ts";
import type { SipRequest } from "../message/message.ts";
import { parameter } from "../message/parameters.ts";
import { bareHost } from "../message/uri.ts";

/**
 * The Via has been stamped with where the request came from.
 *
 * @param trusts whether a source may have its responses sent to a third party by `maddr`: to anybody's word for it, which
 * is what §18.2.2 asks, a stranger would have us speak to every port of every neighbour of ours
 */
export function responseFlow({ via }: SipRequest, from: Flow, trusts: (address: string) => boolean): Flow {
  // The connection of the request; if it has gone, a new one to where it came from, at the port the Via names.
  if (from.transport !== "udp") return { ...from, port: via.port ?? defaultPort(from.transport) };
  const { params } = via;
  if (params.includes("maddr")) {
    const group = bareHost(parameter(params, "maddr") ?? "");
    const family = addressFamily(group);
    // A name would have to be looked up for every response: nobody has been seen to send one.
    if (family !== 0 && family === addressFamily(from.address)) {
      const to = { ...from, address: group, port: via.port ?? 5060 };
      if (isMulticast(group)) return { ...to, ttl: ttlOf(params) };
      if (group === from.address || trusts(from.address)) return to;
    }
  }
  return parameter(params, "rport") !== undefined ? from : { ...from, port: via.port ?? 5060 };
}

const isMulticast = (address: string): boolean =>
  address.includes(":") ? /^ff/i.test(address) : /^2(?:2[4-9]|3\d)\./.test(address);

/** 1 unless the Via says otherwise: such a response stays on its own network. */
function ttlOf(params: string): number {
  const ttl = parameter(params, "ttl");
  return ttl !== undefined && /^\d{1,3}$/.test(ttl) && Number(ttl) < 256 ? Math.max(1, Number(ttl)) : 1;
}
