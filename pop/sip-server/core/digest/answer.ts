// The client's side: which challenges of a 401 or 407 we can meet, and the same request again with the proof. RFC 3261 §22.2, §22.3, RFC 8760 §2.4.

import { type Header, header, headerValue, type SipRequest, type SipResponse } from "../message/message.ts";
import { parameter, splitList } from "../message/parameters.ts";
import { showVia } from "../message/via.ts";
import { algorithmOf, type DigestAlgorithm, showAlgorithm } from "./algorithm.ts";
import { type AuthParams, parseDigest, quoted } from "./auth-params.ts";
import { passwordHash, responseOf } from "./response.ts";

export interface KnownPassword {
  /** undefined: any realm. */
  readonly realm: string | undefined;
  /** Host of the Request-URI or address it was sent to; undefined: any. */
  readonly host: string | undefined;
  readonly username: string;
  readonly password: string;
}

/** What was tried for this request already. Plain data. */
export interface Attempts {
  readonly nonces: readonly string[];
}
export const UNTRIED: Attempts = { nonces: [] };
/** Two proxies and a user agent, each with one stale nonce. */
export const ATTEMPTS_MAX = 6;
const CHALLENGES_MAX = 16;

export interface Retry {
  readonly request: SipRequest;
  readonly attempts: Attempts;
}

interface Challenge {
  readonly realm: string;
  readonly nonce: string;
  readonly opaque: string | undefined;
  readonly algorithm: DigestAlgorithm;
  readonly qop: "auth" | "auth-int" | undefined;
  readonly stale: boolean;
  readonly proxy: boolean;
}

/**
 * The request again with proofs for every realm we have a password for; undefined when there is none, or when all
 * that can be said has been said: then the challenge is the answer.
 *
 * @param sentTo the address the request went to
 * @param fresh a CSeq above every other of ours in the dialog, and chance that was never used before
 */
export function withProof(
  request: SipRequest,
  response: SipResponse,
  passwords: readonly KnownPassword[],
  attempts: Attempts,
  sentTo: string,
  fresh: { readonly cseq: number; readonly branch: string; readonly cnonce: string },
): Retry | undefined {
  if (response.status !== 401 && response.status !== 407) return undefined;
  const proofs: Header[] = [];
  const realms = new Set<string>();
  const nonces = [...attempts.nonces];
  for (const challenge of challengesOf(response)) {
    const where = `${challenge.proxy ? "p" : "u"}:${challenge.realm}`;
    if (realms.has(where)) continue; // the first one we can compute: the server lists what it prefers first
    const password = passwordFor(passwords, challenge.realm, request.uri, sentTo);
    if (password === undefined) continue;
    realms.add(where);
    const mark = `${where}:${challenge.nonce}`;
    // The same nonce refused, or a new one although nothing was stale: the password is wrong.
    const before = nonces.some((tried) => tried.startsWith(`${where}:`));
    if (nonces.includes(mark) || (before && !challenge.stale)) return undefined;
    nonces.push(mark);
    proofs.push(proofFor(request, challenge, password, fresh.cnonce));
  }
  if (proofs.length === 0 || nonces.length > ATTEMPTS_MAX) return undefined;
  return { request: sentAgain(request, proofs, fresh.cseq, fresh.branch), attempts: { nonces } };
}

function* challengesOf(response: SipResponse): Iterable<Challenge> {
  let looked = 0;
  for (const { key, value } of response.headers) {
    if (key !== "www-authenticate" && key !== "proxy-authenticate") continue;
    // Commas separate parameters as well as challenges: a new one begins where a scheme stands before a name.
    for (const text of splitChallenges(value)) {
      if (++looked > CHALLENGES_MAX) return;
      const params = parseDigest(text);
      const challenge = params === undefined ? undefined : challengeOf(params, key === "proxy-authenticate");
      if (challenge !== undefined) yield challenge;
    }
  }
}

function splitChallenges(value: string): string[] {
  const challenges: string[] = [];
  for (const member of splitList(value)) {
    const last = challenges.length - 1;
    if (last < 0 || /^[A-Za-z0-9\-.!%*_+`'~]+[ \t]+[A-Za-z0-9*-]+[ \t]*=/.test(member)) challenges.push(member);
    else challenges[last] = `${challenges[last]},${member}`;
  }
  return challenges;
}

function challengeOf(params: AuthParams, proxy: boolean): Challenge | undefined {
  const realm = params.get("realm");
  const nonce = params.get("nonce");
  const algorithm = algorithmOf(params.get("algorithm"));
  if (realm === undefined || nonce === undefined || nonce === "" || algorithm === undefined) return undefined;
  const offered = params.get("qop")?.toLowerCase().split(",");
  const names = offered?.map((name) => name.trim());
  const qop = names?.includes("auth") ? "auth" : names?.includes("auth-int") ? "auth-int" : undefined;
  if (names !== undefined && qop === undefined) return undefined;
  const stale = params.get("stale")?.toLowerCase() === "true";
  return { realm, nonce, opaque: params.get("opaque"), algorithm, qop, stale, proxy };
}

function passwordFor(passwords: readonly KnownPassword[], realm: string, uri: string, sentTo: string) {
  const host = /^sips?:(?:[^@]*@)?(\[[^\]]*\]|[^:;?]*)/i.exec(uri)?.[1]?.toLowerCase() ?? "";
  const isWanted = (wanted: string) => {
    const lower = wanted.toLowerCase();
    return lower === host || lower === sentTo.toLowerCase() || `[${lower}]` === host;
  };
  return passwords.find(
    (known) =>
      (known.realm === undefined || known.realm === realm) && (known.host === undefined || isWanted(known.host)),
  );
}

function proofFor(request: SipRequest, challenge: Challenge, known: KnownPassword, cnonce: string): Header {
  const { realm, nonce, opaque, algorithm, proxy } = challenge;
  const { method, uri, body } = request;
  const username = latin1(known.username);
  const ha1 = passwordHash(algorithm.hash, username, realm, latin1(known.password));
  const qop = challenge.qop === undefined ? undefined : { name: challenge.qop, nc: "00000001", cnonce };
  const response = responseOf({ algorithm, ha1, method, uri, nonce, qop, body });
  let value = `Digest username=${quoted(username)},realm=${quoted(realm)},nonce=${quoted(nonce)},uri=${quoted(uri)}`;
  value += `,response="${response}",algorithm=${showAlgorithm(algorithm)}`;
  if (qop !== undefined) value += `,cnonce="${qop.cnonce}",qop=${qop.name},nc=${qop.nc}`;
  else if (algorithm.session) value += `,cnonce=""`;
  if (opaque !== undefined) value += `,opaque=${quoted(opaque)}`;
  return proxy
    ? header("Proxy-Authorization", "proxy-authorization", value)
    : header("Authorization", "authorization", value);
}

/** Configuration is Unicode, messages are bytes. */
const latin1 = (text: string): string => Buffer.from(text, "utf8").toString("latin1");

/** Call-ID, From and To stay, CSeq goes on, the branch is new. RFC 3261 §8.1.3.5. */
function sentAgain(request: SipRequest, proofs: readonly Header[], number: number, branch: string): SipRequest {
  const cseq = { number, method: request.method };
  const via = { ...request.via, branch, params: withBranch(request.via.params, branch) };
  const replaced = new Set(proofs.map(({ key, value }) => `${key} ${realmOf(value)}`));
  const headers: Header[] = [];
  let isTopVia = true;
  for (const line of request.headers) {
    if (line.key === "via" && isTopVia) {
      isTopVia = false;
      headers.push(header("Via", "via", showVia(via)));
    } else if (line.key === "cseq") headers.push(header("CSeq", "cseq", `${cseq.number} ${cseq.method}`), ...proofs);
    else if (line.key !== "authorization" && line.key !== "proxy-authorization") headers.push(line);
    else if (!replaced.has(`${line.key} ${realmOf(line.value)}`)) headers.push(line);
  }
  return { ...request, headers, via, cseq };
}

const realmOf = (value: string): string => parseDigest(value)?.get("realm") ?? "";

function withBranch(params: string, branch: string): string {
  const old = parameter(params, "branch");
  return old === undefined || old === "" ? `${params};branch=${branch}` : params.replace(old, () => branch);
}

/** Whether the response is a challenge at all. */
export const isChallenge = (response: SipResponse): boolean =>
  (response.status === 401 && headerValue(response, "www-authenticate") !== undefined) ||
  (response.status === 407 && headerValue(response, "proxy-authenticate") !== undefined);
