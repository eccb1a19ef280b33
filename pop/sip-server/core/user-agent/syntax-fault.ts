// What the parser need not know and an application must not be given: the parts of a request that only a user agent reads.

import type { SipRequest } from "../message/message.ts";
import { parseNameAddr } from "../message/name-addr.ts";
import { hasEmptyParameter, splitList } from "../message/parameters.ts";
import { hasBadEscape, parseUri } from "../message/uri.ts";

/** A reason phrase for the 400, or undefined. For requests outside dialogs: inside, the Request-URI is our own Contact. */
export function syntaxFault(request: SipRequest): string | undefined {
  // §19.1.1: a Request-URI has no headers. An application that copies it to another leg would set them for the caller.
  if (hasBadEscape(request.uri)) return "Bad Request-URI";
  if (/^sips?:/i.test(request.uri)) {
    const uri = parseUri(request.uri);
    if (uri === undefined) return "Bad Request-URI";
    if (uri.headers !== "") return "Headers in Request-URI";
  }
  for (const { key, value } of request.headers) if (key === "contact" && !isContact(value)) return "Bad Contact";
  return undefined;
}

/** §20.10. */
function isContact(value: string): boolean {
  if (value === "*") return true;
  for (const member of splitList(value)) {
    const address = parseNameAddr(member);
    if (address === undefined || hasEmptyParameter(address.params)) return false;
  }
  return true;
}
