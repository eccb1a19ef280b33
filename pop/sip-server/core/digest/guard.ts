// The server's side: whether a request proves who sends it, and what to say when it does not. RFC 3261 §22.2 – §22.4, RFC 7616, RFC 8760.

import { timingSafeEqual } from "node:crypto";
import { type Header, header, type SipRequest } from "../message/message.ts";
import { algorithmOf, type DigestHash, digestLength } from "./algorithm.ts";
import { type AuthParams, parseDigest, quoted } from "./auth-params.ts";
import { type Credentials, ha1Of } from "./credentials.ts";
import { makeNonce, type NonceCounts, type NonceRules } from "./nonce.ts";
import { responseOf } from "./response.ts";

export interface GuardRules {
  readonly realm: string;
  /** Most wanted first; each is offered in a header of its own. RFC 8760 §2.3. */
  readonly algorithms: readonly DigestHash[];
  /** 401 with WWW-Authenticate, or 407 with Proxy-Authenticate: what the application is to those it serves. */
  readonly as: "user-agent" | "proxy";
}

/** Which requests are asked for a proof, and who may give it. */
export interface GuardSettings extends GuardRules {
  /** Connection names; empty: every listener. */
  readonly listeners: readonly string[];
  readonly methods: readonly string[];
  /** Requests inside dialogs too: their tags are proof enough for most. */
  readonly inDialog: boolean;
  readonly nonceLifetimeMs: number;
  readonly noncesMax: number;
  /** The latest. */
  readonly credentials: () => Credentials;
}

export type GuardVerdict =
  | { readonly kind: "admitted"; readonly username: string }
  /** Say 401 or 407. Why is for counters. */
  | { readonly kind: "challenge"; readonly because: "absent" | "wrong" | "stale" | "unreadable" };

/** Proofs looked at in one request: each costs a few hashes. */
const PROOFS_MAX = 4;

export function examine(
  rules: GuardRules,
  nonces: NonceCounts,
  known: Credentials,
  request: SipRequest,
  unixMs: number,
): GuardVerdict {
  const key = rules.as === "proxy" ? "proxy-authorization" : "authorization";
  let because: "absent" | "wrong" | "stale" | "unreadable" = "absent";
  let looked = 0;
  for (const line of request.headers) {
    if (line.key !== key) continue;
    if (++looked > PROOFS_MAX) break;
    const params = parseDigest(line.value);
    if (params === undefined) {
      because = "unreadable";
      continue;
    }
    if (params.get("realm") !== rules.realm) continue; // it is for somebody else on the way
    const found = examineOne(rules, nonces, known, request, params, unixMs);
    if (found === "admitted") return { kind: "admitted", username: params.get("username") ?? "" };
    because = found;
  }
  return { kind: "challenge", because };
}

function examineOne(
  rules: GuardRules,
  nonces: NonceCounts,
  known: Credentials,
  request: SipRequest,
  params: AuthParams,
  unixMs: number,
): "admitted" | "wrong" | "stale" | "unreadable" {
  const algorithm = algorithmOf(params.get("algorithm"));
  const [username, nonce, uri, given] = ["username", "nonce", "uri", "response"].map((name) => params.get(name));
  if (username === undefined || nonce === undefined || uri === undefined || given === undefined) return "unreadable";
  // An algorithm that was not offered would be a bid down (RFC 7616 §5.11); without a count nothing stops a replay.
  if (algorithm === undefined || !rules.algorithms.includes(algorithm.hash)) return "wrong";
  const name = params.get("qop")?.toLowerCase();
  const nc = params.get("nc") ?? "";
  const cnonce = params.get("cnonce") ?? "";
  if ((name !== "auth" && name !== "auth-int") || !/^[0-9a-fA-F]{8}$/.test(nc) || cnonce === "") return "unreadable";
  // The same work for a name nobody has, however long a nonce it comes with: its absence must not be measurable.
  const ha1 = ha1Of(known, username, rules.realm, algorithm.hash) ?? "0".repeat(digestLength(algorithm.hash));
  const isKnown = known.has(`${username}:${rules.realm}`);
  const { method, body } = request;
  const proof = { algorithm, ha1, method, uri, nonce, qop: { name, nc, cnonce }, body } as const;
  const isRight = isSame(responseOf(proof), given.toLowerCase());
  if (!isRight || !isKnown) return "wrong";
  const verdict = nonces.take(rules.realm, nonce, Number.parseInt(nc, 16), unixMs);
  return verdict === "good" ? "admitted" : "stale"; // of another process: as old as one of ours that ran out
}

function isSame(expected: string, given: string): boolean {
  return (
    given.length === expected.length && timingSafeEqual(Buffer.from(expected, "latin1"), Buffer.from(given, "latin1"))
  );
}

/**
 * The headers of a 401 or 407: one for each algorithm, all with the same nonce.
 *
 * @param stale the proof was right but for its nonce: the peer may try again without asking a person
 */
export function challengeHeaders(
  rules: GuardRules,
  nonceRules: NonceRules,
  unixMs: number,
  chance: string,
  stale: boolean,
): Header[] {
  const nonce = makeNonce(nonceRules, rules.realm, unixMs, chance);
  const [name, key] =
    rules.as === "proxy" ? ["Proxy-Authenticate", "proxy-authenticate"] : ["WWW-Authenticate", "www-authenticate"];
  const tail = `nonce="${nonce}",${stale ? "stale=true," : ""}qop="auth",algorithm=`;
  return rules.algorithms.map((hash) => header(name, key, `Digest realm=${quoted(rules.realm)},${tail}${hash}`));
}
