import { fail, succeed } from "../../../kernel/outcome.ts";
import { type Rng, seededRng } from "../../../kernel/rng.ts";
import { type InstantMs, TimerTable } from "../../../kernel/time.ts";
import type { RegionLink, RegionLinkHost } from "../../boundary/region-link.ts";
import { CONNECTION_POLICY, type ConnectionPolicy } from "../../core/link/connection.ts";
import {
  type LinkCommand,
  newRegionLink,
  type RegionLinkEffect,
  type RegionLinkInput,
  type RegionLinkState,
  type RegionLinkTimer,
  type RegionReport,
  regionLinkStep,
} from "../../core/link/region-link.ts";
import type { Snapshot, SnapshotMistake } from "../../core/routing/snapshot.ts";

export type MemoryReport =
  | RegionReport
  | { readonly kind: "presence"; readonly calls: number; readonly draining: boolean };

/** A RegionLink and its region in one, for tests and simulations. Nothing happens by itself: `pass` lets time go by. */
export class MemoryRegionLink implements RegionLink {
  /** What the region has heard, in order. */
  readonly reports: MemoryReport[] = [];
  readonly presenceIntervalMs: number;
  readonly #policy: ConnectionPolicy;
  readonly #rng: Rng = seededRng(1);
  readonly #timers = new TimerTable<RegionLinkTimer>();
  readonly #waiting: RegionLinkInput[] = [];
  #host: RegionLinkHost | undefined;
  #state: RegionLinkState = newRegionLink;
  #nowMs: InstantMs = 0;
  #reachable: boolean;
  #busy = false;

  constructor({ reachable = true, presenceIntervalMs = 1_000, policy = CONNECTION_POLICY } = {}) {
    this.#reachable = reachable;
    this.presenceIntervalMs = presenceIntervalMs;
    this.#policy = policy;
  }

  start(host: RegionLinkHost): void {
    this.#host = host;
    this.#handle({ kind: "start" });
  }

  linked(): boolean {
    return this.#state.connection.name === "linked";
  }

  async close(): Promise<void> {
    this.#handle({ kind: "close" });
  }

  // ---- the region's side ----

  send(snapshot: Snapshot): void {
    this.#direct({ kind: "snapshot", snapshot: { version: snapshot.version, content: succeed(snapshot) } });
  }

  sendUnreadable(version: number, mistakes: readonly SnapshotMistake[]): void {
    this.#direct({ kind: "snapshot", snapshot: { version, content: fail(mistakes) } });
  }

  command(id: string, command: LinkCommand | undefined): void {
    this.#direct({ kind: "command", id, command });
  }

  goAway(): void {
    this.#reachable = false;
    this.#handle({ kind: "lost", detail: "the region went away", chance: this.#rng.next() });
  }

  /** The POP notices when its next try is due. */
  comeBack(): void {
    this.#reachable = true;
  }

  pass(ms: number): void {
    const untilMs = this.#nowMs + ms;
    for (let dueAtMs = this.#timers.nextDueAtMs(); dueAtMs !== undefined && dueAtMs <= untilMs; ) {
      this.#nowMs = dueAtMs;
      for (const timer of this.#timers.takeDue(dueAtMs))
        this.#handle({ kind: "timer", timer, chance: this.#rng.next() });
      dueAtMs = this.#timers.nextDueAtMs();
    }
    this.#nowMs = untilMs;
  }

  // ---- as the adapter over gRPC ----

  #direct(input: RegionLinkInput): void {
    if (this.#reachable && this.linked()) this.#handle(input);
  }

  #handle(input: RegionLinkInput): void {
    this.#waiting.push(input);
    if (this.#busy) return;
    this.#busy = true;
    for (let next = this.#waiting.shift(); next; next = this.#waiting.shift()) {
      const { state, effects } = regionLinkStep(this.#policy, this.#state, next);
      this.#state = state;
      for (const effect of effects) this.#perform(effect);
    }
    this.#busy = false;
  }

  #perform(effect: RegionLinkEffect): void {
    const host = this.#host;
    if (host === undefined) return;
    switch (effect.kind) {
      case "open":
        return this.#handle(
          this.#reachable
            ? { kind: "opened", appliedVersion: host.appliedVersion() }
            : { kind: "lost", detail: "no region", chance: this.#rng.next() },
        );
      case "report":
        this.reports.push(effect.report);
        if (effect.report.kind === "hello")
          this.#handle({ kind: "welcomed", presenceIntervalMs: this.presenceIntervalMs });
        return;
      case "report-presence":
        this.reports.push({ kind: "presence", ...host.presence() });
        return;
      case "start-timer":
        return this.#timers.start(effect.timer, this.#nowMs + effect.afterMs);
      case "stop-timer":
        return this.#timers.stop(effect.timer);
      case "apply": {
        const { version } = effect.snapshot;
        const applied = host.apply(effect.snapshot);
        return this.#handle(
          applied.ok ? { kind: "applied", version } : { kind: "refused", version, mistakes: applied.failure.mistakes },
        );
      }
      case "perform":
        return this.#handle({ kind: "performed", id: effect.id, reason: host.command(effect.command) });
      case "drop":
      case "linked":
      case "away":
        return;
    }
  }
}
