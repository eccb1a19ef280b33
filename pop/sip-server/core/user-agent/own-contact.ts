// The Contact that an application writes, as a peer may see it: in brackets, and leading to us. RFC 3261 §8.1.1.8, §20.10.

import { addressFamily } from "../address.ts";
import { isWebSocket, type ListenPoint } from "../flow.ts";
import { parseNameAddr, showNameAddr } from "../message/name-addr.ts";
import { hasEmptyParameter, splitList, withoutParameter } from "../message/parameters.ts";
import { bareHost, hasBadEscape, parseUri, type SipUri, showUri, uriParameter } from "../message/uri.ts";

/**
 * What the Contact is for.
 * - `target`: where requests inside a dialog come to: one SIP or SIPS URI (§8.1.1.8), in a response.
 * - `own-target`: the same in a request. Nobody but us can be reached there: a numeric address of somebody else becomes ours.
 * - `list`: registrations and redirects name others.
 */
export type ContactUse = "target" | "own-target" | "list";

/** undefined when it cannot be read, or cannot serve its use. */
export function contactOf(value: string, point: ListenPoint, use: ContactUse): string | undefined {
  if (use !== "list") return memberOf(value, point, use);
  if (value === "*") return value;
  let shown = "";
  for (const member of splitList(value)) {
    const contact = memberOf(member, point, use);
    if (contact === undefined) return undefined;
    shown += shown === "" ? contact : `, ${contact}`;
  }
  return shown === "" ? undefined : shown;
}

function memberOf(value: string, point: ListenPoint, use: ContactUse): string | undefined {
  const address = parseNameAddr(value);
  // A comma that is neither quoted nor in brackets: a second member.
  if (address === undefined || hasEmptyParameter(address.params) || splitList(value).length > 1) return undefined;
  if (hasBadEscape(address.uri)) return undefined;
  const uri = parseUri(address.uri);
  if (uri === undefined)
    return use === "list" && OTHER_SCHEME.test(address.uri) && !/^sips?:/i.test(address.uri)
      ? showNameAddr(address)
      : undefined;
  if (isLocalhost(uri.host)) return showNameAddr({ ...address, uri: showUri(atPoint(uri, point)) });
  if (use !== "own-target" || !isForeign(uri.host, point)) return showNameAddr(address);
  const params = withoutParameter(uri.params, "transport"); // it belonged with the address
  return showNameAddr({ ...address, uri: showUri(atPoint({ ...uri, params }, point)) });
}

const OTHER_SCHEME = /^[A-Za-z][A-Za-z0-9+.-]*:[^\s<>"]+$/;

const isLocalhost = (host: string): boolean => host.length === 9 && host.toLowerCase() === "localhost";

function isForeign(host: string, { address, host: own }: ListenPoint): boolean {
  const bare = bareHost(host);
  return addressFamily(bare) !== 0 && bare !== address && host !== own;
}

/** Host and port become ours; the transport is named unless it is UDP, or the application has named one. */
function atPoint(uri: SipUri, { host, port, transport }: ListenPoint): SipUri {
  if (transport === "udp" || uriParameter(uri, "transport") !== undefined) return { ...uri, host, port };
  return { ...uri, host, port, params: `${uri.params};transport=${isWebSocket(transport) ? "ws" : transport}` };
}
