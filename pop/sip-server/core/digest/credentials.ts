// The passwords a server knows, as lines of a file:
//
//   alice:example.com:0123…            H(username:realm:password) in hexadecimal: 32 digits are MD5, 64 are SHA-256
//   alice:example.com:SHA-512-256:…    the same with its hash function named
//   alice:example.com:plain:secret     the password itself; good for every hash function
//
// A user may have several lines. Empty lines and those that begin with # say nothing.

import { fail, type Outcome, succeed } from "../../../../kernel/outcome.ts";
import { algorithmOf, type DigestHash, digestLength } from "./algorithm.ts";
import { passwordHash } from "./response.ts";

export interface CredentialsFault {
  readonly code: "credentials.unreadable";
  readonly line: number;
  readonly reason: string;
}

/** By `username:realm`: what is known of the password. */
export type Credentials = ReadonlyMap<string, Secret>;
interface Secret {
  readonly password: string | undefined;
  readonly hashes: Map<DigestHash, string>;
}

export const CREDENTIALS_MAX = 200_000;

/** @param text bytes as latin-1 @fails credentials.unreadable; the reason names no secret */
export function parseCredentials(text: string): Outcome<Credentials, CredentialsFault> {
  const known = new Map<string, Secret>();
  const lines = text.split("\n");
  for (let at = 0; at < lines.length; at++) {
    const line = (lines[at] ?? "").replace(/\r$/, "");
    if (line.trim() === "" || line.startsWith("#")) continue;
    const refuse = (reason: string): Outcome<Credentials, CredentialsFault> =>
      fail({ code: "credentials.unreadable", line: at + 1, reason });
    const [username = "", realm = "", third = "", ...others] = line.split(":");
    if (username === "" || realm === "" || third === "") return refuse("not username:realm:secret");
    const key = `${username}:${realm}`;
    let secret = known.get(key);
    if (secret === undefined) {
      if (known.size === CREDENTIALS_MAX) return refuse(`more than ${CREDENTIALS_MAX} users`);
      secret = { password: undefined, hashes: new Map() };
      known.set(key, secret);
    }
    if (third.toLowerCase() === "plain" && others.length > 0) {
      known.set(key, { ...secret, password: others.join(":") });
      continue;
    }
    const hash = others.length === 0 ? (third.length === 32 ? "MD5" : "SHA-256") : algorithmOf(third)?.hash;
    const value = (others.length === 0 ? third : others.join(":")).trim().toLowerCase();
    if (hash === undefined) return refuse("unknown hash function");
    if (value.length !== digestLength(hash) || !/^[0-9a-f]+$/.test(value))
      return refuse("neither 32 nor 64 hexadecimal digits");
    secret.hashes.set(hash, value);
  }
  return succeed(known);
}

/** undefined when nobody of that name is known, or not under that hash function. */
export function ha1Of(known: Credentials, username: string, realm: string, hash: DigestHash): string | undefined {
  const secret = known.get(`${username}:${realm}`);
  if (secret === undefined) return undefined;
  return (
    secret.hashes.get(hash) ??
    (secret.password === undefined ? undefined : passwordHash(hash, username, realm, secret.password))
  );
}
