// Answers of name servers, for as long as they may be believed. RFC 2308 (negative answers), RFC 8767 (stale ones while
// nobody answers), RFC 9520 (failures). Time is an argument.

import { type DnsAnswer, type Question, questionKey } from "./dns.ts";

export interface DnsCacheLimits {
  readonly answersMax: number;
  /** A server that says 0 would be asked for every call. */
  readonly ttlMinSeconds: number;
  /** A mistake in a zone must not outlive this. */
  readonly ttlMaxSeconds: number;
  readonly negativeTtlMaxSeconds: number;
  /** How long a failure is believed before the servers are asked again. */
  readonly failureSeconds: number;
  /** How long an answer may be used after its time while the servers fail. */
  readonly staleSeconds: number;
}

interface Kept {
  readonly answer: DnsAnswer;
  readonly freshUntilMs: number;
  readonly staleUntilMs: number;
}

export interface Remembered {
  readonly answer: DnsAnswer;
  /** False: ask again, and use this only if nobody answers. */
  readonly fresh: boolean;
}

export class DnsCache {
  readonly #limits: DnsCacheLimits;
  /** In the order in which they were kept: at the bound the oldest goes. */
  readonly #kept = new Map<string, Kept>();

  constructor(limits: DnsCacheLimits) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#kept.size;
  }

  find(question: Question, nowMs: number): Remembered | undefined {
    const kept = this.#kept.get(questionKey(question));
    if (kept === undefined) return undefined;
    if (nowMs < kept.freshUntilMs) return { answer: kept.answer, fresh: true };
    return nowMs < kept.staleUntilMs ? { answer: kept.answer, fresh: false } : undefined;
  }

  /** @returns what to go by now: the answer, or an older and better one while the servers fail */
  keep(question: Question, answer: DnsAnswer, nowMs: number): DnsAnswer {
    const { ttlMinSeconds, ttlMaxSeconds, negativeTtlMaxSeconds, failureSeconds, staleSeconds } = this.#limits;
    if (answer.kind === "failed") {
      // Our own haste says nothing about the name.
      if (answer.because === "busy") return answer;
      const older = this.#kept.get(questionKey(question));
      const freshUntilMs = nowMs + failureSeconds * 1_000;
      if (older !== undefined && older.answer.kind !== "failed" && nowMs < older.staleUntilMs) {
        this.#put(question, { ...older, freshUntilMs: Math.min(freshUntilMs, older.staleUntilMs) });
        return older.answer;
      }
      this.#put(question, { answer, freshUntilMs, staleUntilMs: freshUntilMs });
      return answer;
    }
    const most = answer.kind === "none" ? negativeTtlMaxSeconds : ttlMaxSeconds;
    const ttlSeconds = Math.max(ttlMinSeconds, Math.min(answer.ttlSeconds, most));
    const freshUntilMs = nowMs + ttlSeconds * 1_000;
    // Only what was there is worth keeping longer: a "no" grown old helps nobody.
    const staleUntilMs = answer.kind === "none" ? freshUntilMs : freshUntilMs + staleSeconds * 1_000;
    this.#put(question, { answer, freshUntilMs, staleUntilMs });
    return answer;
  }

  #put(question: Question, kept: Kept): void {
    const key = questionKey(question);
    this.#kept.delete(key);
    this.#kept.set(key, kept);
    if (this.#kept.size <= this.#limits.answersMax) return;
    for (const oldest of this.#kept.keys()) {
      this.#kept.delete(oldest);
      return;
    }
  }
}
