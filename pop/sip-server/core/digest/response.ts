// What a user agent proves: RFC 7616 §3.4.1 – §3.4.3, RFC 3261 §22.4. Strings are bytes as latin-1.

import { type DigestAlgorithm, type DigestHash, hashOf } from "./algorithm.ts";

export interface Proof {
  readonly algorithm: DigestAlgorithm;
  /** H(username:realm:password) of the algorithm's hash: all a server need keep. */
  readonly ha1: string;
  readonly method: string;
  /** As in the `uri` parameter. */
  readonly uri: string;
  readonly nonce: string;
  /** undefined: as RFC 2069 had it, without cnonce and nc. */
  readonly qop: { readonly name: "auth" | "auth-int"; readonly nc: string; readonly cnonce: string } | undefined;
  /** Of the message; matters for auth-int alone. */
  readonly body: string;
}

export const passwordHash = (hash: DigestHash, username: string, realm: string, password: string): string =>
  hashOf(hash, `${username}:${realm}:${password}`);

/** The `response` parameter. */
export function responseOf(proof: Proof): string {
  const { algorithm, ha1, method, uri, nonce, qop, body } = proof;
  const { hash } = algorithm;
  const a1 = algorithm.session ? hashOf(hash, `${ha1}:${nonce}:${qop?.cnonce ?? ""}`) : ha1;
  const a2 = hashOf(hash, qop?.name === "auth-int" ? `${method}:${uri}:${hashOf(hash, body)}` : `${method}:${uri}`);
  if (qop === undefined) return hashOf(hash, `${a1}:${nonce}:${a2}`);
  return hashOf(hash, `${a1}:${nonce}:${qop.nc}:${qop.cnonce}:${qop.name}:${a2}`);
}
