// Nonces we hand out and forget: the time of issue, some chance, and a seal only we can make. Which counts have been used with
// one is remembered for nonces that were used, so many of them; the oldest are retired, and then count as stale.
// RFC 7616 §3.3 (nonce), §5.4 (replay), §5.12.

import { createHmac, timingSafeEqual } from "node:crypto";

export interface NonceRules {
  /** 32 random bytes of this process: nonces of another one are stale. */
  readonly key: Uint8Array;
  readonly lifetimeMs: number;
  /** Nonces whose counts are remembered. */
  readonly noncesMax: number;
}

/** Counts used with one nonce: the highest, and which of the 32 below it. A bit per count, so that datagrams may overtake. */
interface Used {
  readonly issuedUnixMs: number;
  highest: number;
  below: number;
}

export type NonceVerdict = "good" | "stale" | "foreign";

const SHAPE = /^([0-9a-f]{12})([0-9a-f]{8,32})\.([0-9a-f]{32})$/;

/** @param chance 8 … 32 hexadecimal digits @param scope what the nonce is good for: the realm */
export function makeNonce(rules: NonceRules, scope: string, unixMs: number, chance: string): string {
  const open = Math.max(0, Math.floor(unixMs)).toString(16).padStart(12, "0") + chance;
  return `${open}.${seal(rules.key, scope, open)}`;
}

function seal(key: Uint8Array, scope: string, open: string): string {
  return createHmac("sha256", key).update(`${open} ${scope}`, "latin1").digest("hex").slice(0, 32);
}

/** Time of issue, when the nonce is ours and of that scope. */
export function issuedAt(rules: NonceRules, scope: string, nonce: string): number | undefined {
  const matched = SHAPE.exec(nonce);
  if (matched === null) return undefined;
  const [, time = "", chance = "", mark = ""] = matched;
  const expected = seal(rules.key, scope, time + chance);
  if (!timingSafeEqual(Buffer.from(mark, "latin1"), Buffer.from(expected, "latin1"))) return undefined;
  return Number.parseInt(time, 16);
}

export class NonceCounts {
  readonly #rules: NonceRules;
  readonly #used = new Map<string, Used>();
  /** Nonces issued up to here that are not in the table have been retired. */
  #retiredUnixMs = -1;

  constructor(rules: NonceRules) {
    this.#rules = rules;
  }

  get size(): number {
    return this.#used.size;
  }

  /** Takes this count of the nonce, once. Call it only when the digest itself is right: guesses must not use counts up. */
  take(scope: string, nonce: string, count: number, unixMs: number): NonceVerdict {
    const issuedUnixMs = issuedAt(this.#rules, scope, nonce);
    if (issuedUnixMs === undefined) return "foreign";
    if (unixMs - issuedUnixMs > this.#rules.lifetimeMs || issuedUnixMs > unixMs + 1_000) return "stale";
    const used = this.#used.get(nonce);
    if (used !== undefined) return takeCount(used, count) ? "good" : "stale";
    if (issuedUnixMs <= this.#retiredUnixMs) return "stale";
    this.#makeRoom(unixMs);
    this.#used.set(nonce, { issuedUnixMs, highest: count, below: 0 });
    return "good";
  }

  /** In the order of first use, which is nearly that of issue: what is too old goes, and at the bound the first one. */
  #makeRoom(unixMs: number): void {
    for (const [nonce, { issuedUnixMs }] of this.#used) {
      const isOver = unixMs - issuedUnixMs > this.#rules.lifetimeMs;
      if (!isOver && this.#used.size < this.#rules.noncesMax) return;
      this.#used.delete(nonce);
      if (!isOver) this.#retiredUnixMs = Math.max(this.#retiredUnixMs, issuedUnixMs);
    }
  }
}

function takeCount(used: Used, count: number): boolean {
  const ahead = count - used.highest;
  if (ahead > 0) {
    used.below = ahead > 31 ? 0 : ((used.below << ahead) | (1 << (ahead - 1))) >>> 0;
    used.highest = count;
    return true;
  }
  const back = -ahead - 1;
  if (ahead === 0 || back > 31) return false;
  const bit = (1 << back) >>> 0;
  if ((used.below & bit) !== 0) return false;
  used.below = (used.below | bit) >>> 0;
  return true;
}
