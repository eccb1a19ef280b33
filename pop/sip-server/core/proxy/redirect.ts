// Following a 3xx ourselves: RFC 3261 §16.7 step 4, §8.1.3.4.

import { header, type SipResponse } from "../message/message.ts";
import { parseNameAddr } from "../message/name-addr.ts";
import { parameter, splitList } from "../message/parameters.ts";
import { asRequestUri, parseUri, showUri } from "../message/uri.ts";
import type { Target } from "./target.ts";

/** The contacts we can ask, best first; and the response without them, undefined when none is left. */
export function contactsToFollow(response: SipResponse): {
  readonly targets: readonly Target[];
  readonly rest: SipResponse | undefined;
} {
  const followed: { readonly target: Target; readonly q: number }[] = [];
  const rest: string[] = [];
  for (const { key, value } of response.headers) {
    if (key !== "contact") continue;
    for (const contact of splitList(value)) {
      const address = parseNameAddr(contact);
      const uri = address === undefined ? undefined : parseUri(address.uri);
      if (address === undefined || uri === undefined) rest.push(contact);
      else followed.push({ target: { uri: showUri(asRequestUri(uri)), isRequestUri: true }, q: qOf(address.params) });
    }
  }
  followed.sort((a, b) => b.q - a.q); // stable: what is listed first wins a tie
  const targets = followed.map(({ target }) => target);
  if (rest.length === 0) return { targets, rest: undefined };
  const others = response.headers.filter(({ key }) => key !== "contact");
  const contacts = rest.map((value) => header("Contact", "contact", value));
  return { targets, rest: { ...response, headers: [...others, ...contacts] } };
}

function qOf(params: string): number {
  const q = Number(parameter(params, "q") ?? "1");
  return q >= 0 && q <= 1 ? q : 1;
}
