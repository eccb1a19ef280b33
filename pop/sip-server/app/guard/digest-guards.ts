// Drives core/digest/guard.ts: which listener asks whom for which proof.

import type { Clock } from "../../../../kernel/time.ts";
import { challengeHeaders, examine, type GuardSettings } from "../../core/digest/guard.ts";
import { NonceCounts, type NonceRules } from "../../core/digest/nonce.ts";
import type { ListenPoint } from "../../core/flow.ts";
import type { SipRequest } from "../../core/message/message.ts";
import type { Refusal } from "../dialogs/dialog-usages.ts";
import type { Counters } from "../shell/counters.ts";

interface Guard {
  readonly settings: GuardSettings;
  readonly methods: ReadonlySet<string>;
  readonly nonceRules: NonceRules;
  readonly nonces: NonceCounts;
}

export class DigestGuards {
  readonly #clock: Clock;
  readonly #counters: Counters;
  readonly #guards: readonly Guard[];
  #nonces = 0;

  /** @param key 32 random bytes: nonces are sealed with it */
  constructor(settings: readonly GuardSettings[], key: Uint8Array, clock: Clock, counters: Counters) {
    this.#clock = clock;
    this.#counters = counters;
    this.#guards = settings.map((one) => {
      const nonceRules = { key, lifetimeMs: one.nonceLifetimeMs, noncesMax: one.noncesMax };
      return { settings: one, methods: new Set(one.methods), nonceRules, nonces: new NonceCounts(nonceRules) };
    });
  }

  /** 401 or 407 with its challenges; undefined: it needs no proof, or has given it. ACK and CANCEL never do (§22.1). */
  challengeFor(request: SipRequest, point: ListenPoint): Refusal | undefined {
    if (this.#guards.length === 0) return undefined;
    const guard = this.#guardOf(request, point);
    if (guard === undefined) return undefined;
    const { settings, nonces, nonceRules } = guard;
    const unixMs = this.#clock.unixMs();
    const verdict = examine(settings, nonces, settings.credentials(), request, unixMs);
    if (verdict.kind === "admitted") return undefined;
    this.#counters.add("digest_challenges", `because="${verdict.because}"`);
    const chance = (++this.#nonces % 0x1_0000_0000).toString(16).padStart(8, "0"); // the seal makes it unguessable
    const headers = challengeHeaders(settings, nonceRules, unixMs, chance, verdict.because === "stale");
    return { status: settings.as === "proxy" ? 407 : 401, headers };
  }

  guards(request: SipRequest, point: ListenPoint): boolean {
    return this.#guardOf(request, point) !== undefined;
  }

  #guardOf({ method, toTag }: SipRequest, point: ListenPoint): Guard | undefined {
    for (const guard of this.#guards) {
      const { listeners, inDialog } = guard.settings;
      if (toTag !== "" && !inDialog) continue;
      if (listeners.length > 0 && !listeners.includes(point.name)) continue;
      if (guard.methods.has(method)) return guard;
    }
    return undefined;
  }
}
