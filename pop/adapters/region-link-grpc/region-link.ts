// Performs what the core's link machine asks for, one input at a time. Decides nothing.

import { createClientFactory } from "nice-grpc";
import type { Log } from "../../../kernel/log.ts";
import { type Rng, systemRng } from "../../../kernel/rng.ts";
import { type Clock, systemClock } from "../../../kernel/time.ts";
import {
  type ConnectRequest,
  type ConnectResponse,
  PopLinkServiceDefinition,
} from "../../../proto/gen/pop_link/v1/pop_link.ts";
import type { RegionLink, RegionLinkHost } from "../../boundary/region-link.ts";
import { CONNECTION_POLICY, type ConnectionPolicy } from "../../core/link/connection.ts";
import {
  newRegionLink,
  type RegionLinkEffect,
  type RegionLinkInput,
  type RegionLinkState,
  type RegionLinkTimer,
  regionLinkStep,
} from "../../core/link/region-link.ts";
import { directiveFromWire, type PopIdentity, presenceToWire, reportToWire } from "./link-wire.ts";
import { NamedTimers } from "./named-timers.ts";
import type { RegionChannel } from "./region-channel.ts";
import { RegionStream } from "./region-stream.ts";

export interface GrpcRegionLinkOptions {
  readonly channel: RegionChannel;
  readonly identity: PopIdentity;
  readonly log: Log;
  readonly policy?: ConnectionPolicy;
  readonly clock?: Clock;
  readonly rng?: Rng;
}

/** Reports not yet on the wire; at the bound the stream is given up, and the next hello says where we are. */
const REPORTS_WAITING_MAX = 1_000;
/** The region is told all of them. */
const MISTAKES_LOGGED_MAX = 20;

export class GrpcRegionLink implements RegionLink {
  readonly #options: GrpcRegionLinkOptions;
  readonly #policy: ConnectionPolicy;
  readonly #clock: Clock;
  readonly #rng: Rng;
  readonly #timers: NamedTimers<RegionLinkTimer>;
  readonly #forgetReachable: () => void;
  readonly #waiting: RegionLinkInput[] = [];
  #host: RegionLinkHost | undefined;
  #state: RegionLinkState = newRegionLink;
  #stream: RegionStream<ConnectRequest, ConnectResponse> | undefined;
  #dropped: Promise<void> = Promise.resolve();
  #busy = false;
  /** Once per absence is news; every try after that is not. */
  #saidAway = false;

  constructor(options: GrpcRegionLinkOptions) {
    this.#options = options;
    this.#policy = options.policy ?? CONNECTION_POLICY;
    this.#clock = options.clock ?? systemClock;
    this.#rng = options.rng ?? systemRng;
    this.#timers = new NamedTimers((timer) => this.#handle({ kind: "timer", timer, chance: this.#rng.next() }));
    this.#forgetReachable = options.channel.onReachable(() => this.#handle({ kind: "reachable" }));
  }

  start(host: RegionLinkHost): void {
    this.#host = host;
    this.#handle({ kind: "start" });
  }

  linked(): boolean {
    return this.#state.connection.name === "linked";
  }

  async close(): Promise<void> {
    this.#forgetReachable();
    this.#handle({ kind: "close" });
    this.#timers.stopAll();
    await this.#dropped;
  }

  #handle(input: RegionLinkInput): void {
    this.#waiting.push(input);
    if (this.#busy) return; // an effect led to this input: its turn comes
    this.#busy = true;
    try {
      for (let next = this.#waiting.shift(); next; next = this.#waiting.shift()) {
        const { state, effects } = regionLinkStep(this.#policy, this.#state, next);
        this.#state = state;
        for (const effect of effects) this.#perform(effect);
      }
    } finally {
      this.#busy = false;
    }
  }

  #perform(effect: RegionLinkEffect): void {
    const { log, identity } = this.#options;
    const host = this.#host;
    if (host === undefined) return; // before start nothing is asked for
    switch (effect.kind) {
      case "open":
        return this.#open(host);
      case "drop":
        this.#dropped = this.#stream?.drop() ?? this.#dropped;
        this.#stream = undefined;
        return;
      case "linked":
        this.#saidAway = false;
        log.info("link.up", { appliedVersion: this.#state.appliedVersion });
        return this.#options.channel.announceReachable();
      case "away":
        log[this.#saidAway ? "debug" : "warn"]("link.away", {
          detail: effect.detail,
          retryAfterMs: effect.retryAfterMs,
        });
        this.#saidAway = true;
        return;
      case "start-timer":
        return this.#timers.start(effect.timer, effect.afterMs);
      case "stop-timer":
        return this.#timers.stop(effect.timer);
      case "report":
        if (effect.report.kind === "refused")
          log.error("link.snapshot-refused", {
            version: effect.report.version,
            mistakes: effect.report.mistakes.slice(0, MISTAKES_LOGGED_MAX),
          });
        return this.#stream?.send(reportToWire(identity, effect.report, () => host.heldCalls()));
      case "report-presence":
        return this.#stream?.send(presenceToWire(host.presence(), this.#clock.unixMs()));
      case "apply": {
        const { version } = effect.snapshot;
        const applied = host.apply(effect.snapshot);
        return this.#handle(
          applied.ok ? { kind: "applied", version } : { kind: "refused", version, mistakes: applied.failure.mistakes },
        );
      }
      case "perform": {
        const { id, command } = effect;
        const reason = host.command(command);
        log.info("link.commanded", { id, command: command.kind, reason });
        return this.#handle({ kind: "performed", id, reason });
      }
    }
  }

  #open(host: RegionLinkHost): void {
    const stream: RegionStream<ConnectRequest, ConnectResponse> = new RegionStream(
      this.#options.channel,
      (channel, up, signal) => createClientFactory().create(PopLinkServiceDefinition, channel).connect(up, { signal }),
      REPORTS_WAITING_MAX,
      {
        opened: () => {
          if (this.#stream === stream) this.#handle({ kind: "opened", appliedVersion: host.appliedVersion() });
        },
        received: (message) => {
          const input = this.#stream === stream ? directiveFromWire(message) : undefined;
          if (input !== undefined) this.#handle(input);
        },
        lost: (detail) => {
          if (this.#stream === stream) this.#handle({ kind: "lost", detail, chance: this.#rng.next() });
        },
      },
    );
    this.#stream = stream;
  }
}
