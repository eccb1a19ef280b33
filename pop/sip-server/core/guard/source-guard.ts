// Whose messages are looked at: token buckets by source, points for bad conduct, and a list of the banned. Time is an input.
// It stands before parsing and sees every datagram: one look into a map, some arithmetic, and nothing allocated when it says no.

import type { Lane } from "./lane.ts";
import type { GuardLimits, SourceRates } from "./limits.ts";
import { sourceKey } from "./source-key.ts";

export type Verdict = "admitted" | "banned" | "too-many-new" | "too-many";

interface Source {
  readonly trusted: boolean;
  newTokens: number;
  goingOnTokens: number;
  atMs: number;
  points: number;
  pointsAtMs: number;
}

interface Ban {
  readonly address: string;
  untilMs: number;
  times: number;
  by: "points" | "operator";
}

export interface BanView {
  /** An IPv6 address stands for its /64. */
  readonly address: string;
  readonly remainingMs: number;
  readonly times: number;
  readonly by: "points" | "operator";
}

export class SourceGuard {
  readonly limits: GuardLimits;
  readonly #isTrusted: (address: string) => boolean;
  /** Two generations: whoever was not heard of since the older one was the younger is forgotten. */
  #young = new Map<string | number, Source>();
  #old = new Map<string | number, Source>();
  /** In the order they were made: the oldest goes when there are too many. */
  readonly #bans = new Map<string | number, Ban>();

  constructor(limits: GuardLimits, isTrusted: (address: string) => boolean) {
    this.limits = limits;
    this.#isTrusted = isTrusted;
  }

  get sources(): number {
    return this.#young.size + this.#old.size;
  }

  isBanned(address: string, nowMs: number): boolean {
    return this.#bans.size > 0 && this.#isBanned(sourceKey(address), nowMs);
  }

  isTrusted(address: string, nowMs: number): boolean {
    return this.#source(sourceKey(address), address, nowMs).trusted;
  }

  /** One message of that source. */
  take(address: string, lane: Lane, nowMs: number): Verdict {
    const key = sourceKey(address);
    if (this.#bans.size > 0 && this.#isBanned(key, nowMs)) return "banned";
    const source = this.#source(key, address, nowMs);
    const rates = source.trusted ? this.limits.trusted : this.limits.strangers;
    refill(source, rates, nowMs);
    if (lane === "new") {
      if (source.newTokens < 1) return "too-many-new";
      source.newTokens--;
    } else {
      if (source.goingOnTokens < 1) return "too-many";
      source.goingOnTokens--;
    }
    return "admitted";
  }

  /** @returns true when this was the last straw */
  penalise(address: string, points: number, nowMs: number): boolean {
    const key = sourceKey(address);
    const source = this.#source(key, address, nowMs);
    if (source.trusted) return false;
    const { pointMs, banPoints } = this.limits;
    source.points = Math.max(0, source.points - (nowMs - source.pointsAtMs) / pointMs) + points;
    source.pointsAtMs = nowMs;
    if (source.points < banPoints || this.#isBanned(key, nowMs)) return false;
    source.points = 0;
    const { banMs, banMsMax } = this.limits;
    const times = (this.#bans.get(key)?.times ?? 0) + 1;
    this.#put(key, address, { untilMs: nowMs + Math.min(banMs * 2 ** (times - 1), banMsMax), times, by: "points" });
    return true;
  }

  /** An operator's ban holds for trusted sources as well. */
  ban(address: string, forMs: number, nowMs: number): void {
    const key = sourceKey(address);
    this.#put(key, address, { untilMs: nowMs + forMs, times: this.#bans.get(key)?.times ?? 0, by: "operator" });
  }

  /** False: it was not banned. What it did before is forgotten. */
  unban(address: string, nowMs: number): boolean {
    const key = sourceKey(address);
    const was = this.#isBanned(key, nowMs);
    this.#bans.delete(key);
    this.#young.delete(key);
    this.#old.delete(key);
    return was;
  }

  *bans(nowMs: number): Iterable<BanView> {
    for (const { address, untilMs, times, by } of this.#bans.values())
      if (untilMs > nowMs) yield { address, remainingMs: untilMs - nowMs, times, by };
  }

  /** Who is trusted has changed. */
  reclassify(): void {
    this.#young.clear();
    this.#old.clear();
  }

  #isBanned(key: string | number, nowMs: number): boolean {
    const ban = this.#bans.get(key);
    if (ban === undefined) return false;
    if (ban.untilMs > nowMs) return true;
    if (ban.untilMs + this.limits.forgiveMs <= nowMs) this.#bans.delete(key);
    return false;
  }

  #put(key: string | number, address: string, ban: Omit<Ban, "address">): void {
    this.#bans.delete(key);
    if (this.#bans.size >= this.limits.bansMax) {
      const [oldest] = this.#bans.keys();
      if (oldest !== undefined) this.#bans.delete(oldest);
    }
    this.#bans.set(key, { address, ...ban });
  }

  #source(key: string | number, address: string, nowMs: number): Source {
    const known = this.#young.get(key);
    if (known !== undefined) return known;
    let source = this.#old.get(key);
    if (source === undefined) {
      const trusted = this.#isTrusted(address);
      const rates = trusted ? this.limits.trusted : this.limits.strangers;
      const { newBurst, goingOnBurst } = rates;
      source = {
        trusted,
        newTokens: newBurst,
        goingOnTokens: goingOnBurst,
        atMs: nowMs,
        points: 0,
        pointsAtMs: nowMs,
      };
    } else this.#old.delete(key);
    if (this.#young.size >= this.limits.sourcesMax / 2) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(key, source);
    return source;
  }
}

function refill(source: Source, rates: SourceRates, nowMs: number): void {
  const elapsedMs = nowMs - source.atMs;
  if (elapsedMs <= 0) return;
  source.atMs = nowMs;
  source.newTokens = Math.min(rates.newBurst, source.newTokens + (elapsedMs * rates.newPerSecond) / 1_000);
  source.goingOnTokens = Math.min(
    rates.goingOnBurst,
    source.goingOnTokens + (elapsedMs * rates.goingOnPerSecond) / 1_000,
  );
}
