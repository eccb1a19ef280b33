// The hash functions of digest authentication. RFC 7616 §3.2, RFC 8760 §2.1: MD5, SHA-256 and SHA-512-256, each also as "-sess".

import { createHash } from "node:crypto";

export type DigestHash = "MD5" | "SHA-256" | "SHA-512-256";

export interface DigestAlgorithm {
  readonly hash: DigestHash;
  /** The password's hash is made anew for each nonce. RFC 7616 §3.4.2. */
  readonly session: boolean;
}

const NODE_NAME: Readonly<Record<DigestHash, string>> = {
  MD5: "md5",
  "SHA-256": "sha256",
  "SHA-512-256": "sha512-256",
};
const BY_NAME: ReadonlyMap<string, DigestHash> = new Map([
  ["md5", "MD5"],
  ["sha-256", "SHA-256"],
  ["sha-512-256", "SHA-512-256"],
]);

/** An absent `algorithm` is MD5 (RFC 7616 §3.3); undefined for one we cannot compute. */
export function algorithmOf(name: string | undefined): DigestAlgorithm | undefined {
  const lower = (name ?? "md5").toLowerCase();
  const session = lower.endsWith("-sess");
  const hash = BY_NAME.get(session ? lower.slice(0, -5) : lower);
  return hash === undefined ? undefined : { hash, session };
}

export const showAlgorithm = ({ hash, session }: DigestAlgorithm): string => (session ? `${hash}-sess` : hash);

/** Lower-case hexadecimal. @param text bytes as latin-1 */
export const hashOf = (hash: DigestHash, text: string): string =>
  createHash(NODE_NAME[hash]).update(text, "latin1").digest("hex");

/** Hexadecimal digits of a result. */
export const digestLength = (hash: DigestHash): number => (hash === "MD5" ? 32 : 64);
