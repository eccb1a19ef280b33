// The guard of the listeners: core/guard decides, this knows who is trusted, looks for scanners and counts what was dropped.

import type { Clock } from "../../../../kernel/time.ts";
import { type Lane, laneOf } from "../../core/guard/lane.ts";
import type { GuardLimits } from "../../core/guard/limits.ts";
import { scannerPattern } from "../../core/guard/scanner.ts";
import { type BanView, SourceGuard, type Verdict } from "../../core/guard/source-guard.ts";
import type { Counters, Tally } from "../shell/counters.ts";

export type DropReason = Exclude<Verdict, "admitted"> | "scanner";

export class Guard {
  readonly #sources: SourceGuard;
  readonly #clock: Clock;
  readonly #scanner: RegExp | undefined;
  readonly #dropped: Readonly<Record<DropReason, Tally>>;
  readonly #banned: Tally;

  constructor(limits: GuardLimits, clock: Clock, counters: Counters, isTrusted: (address: string) => boolean) {
    this.#clock = clock;
    this.#sources = new SourceGuard(limits, isTrusted);
    this.#scanner = scannerPattern(limits.scanners);
    const tally = (reason: string) => counters.tally("dropped", `reason="${reason}"`);
    this.#dropped = {
      banned: tally("banned"),
      "too-many-new": tally("too-many-new"),
      "too-many": tally("too-many"),
      scanner: tally("scanner"),
    };
    this.#banned = counters.tally("bans");
  }

  /** Whether anything is taken from this address at all. */
  admitsSource(address: string): boolean {
    if (!this.#sources.isBanned(address, this.#clock.nowMs())) return true;
    this.#dropped.banned.count++;
    return false;
  }

  /** Whether this message is looked at; what it is likely to be decides whose budget it takes. */
  admits(address: string, message: Uint8Array | string): boolean {
    const verdict = this.#sources.take(address, laneOf(message), this.#clock.nowMs());
    if (verdict === "admitted") return true;
    this.#dropped[verdict].count++;
    return false;
  }

  /** A stranger's new request that says whose tool it is: dropped, and its source banned at once. */
  isScanner(address: string, text: string, lane: Lane = laneOf(text)): boolean {
    if (lane !== "new" || this.#scanner === undefined || this.isTrusted(address) || !this.#scanner.test(text))
      return false;
    this.#dropped.scanner.count++;
    this.penalise(address, this.#sources.limits.banPoints);
    return true;
  }

  isTrusted(address: string): boolean {
    return this.#sources.isTrusted(address, this.#clock.nowMs());
  }

  /** @returns true when the source is banned from now on */
  penalise(address: string, points: number): boolean {
    const banned = this.#sources.penalise(address, points, this.#clock.nowMs());
    if (banned) this.#banned.count++;
    return banned;
  }

  reclassify(): void {
    this.#sources.reclassify();
  }

  ban(address: string, forMs: number): void {
    this.#sources.ban(address, forMs, this.#clock.nowMs());
  }

  unban(address: string): boolean {
    return this.#sources.unban(address, this.#clock.nowMs());
  }

  list(): readonly BanView[] {
    return [...this.#sources.bans(this.#clock.nowMs())];
  }
}
