// Performs what the connection machine asks for, and passes reports and directives through. Decides nothing.

import { createClientFactory } from "nice-grpc";
import type { Log } from "../../../kernel/log.ts";
import { type Rng, systemRng } from "../../../kernel/rng.ts";
import {
  type ConnectRequest,
  type ConnectResponse,
  ContactRoutingServiceDefinition,
} from "../../../proto/gen/queue/v1/queue.ts";
import type { ContactRouting, ContactRoutingHost, RoutingReport } from "../../boundary/contact-routing.ts";
import {
  CONNECTION_POLICY,
  type ConnectionEffect,
  type ConnectionInput,
  type ConnectionPolicy,
  type ConnectionState,
  type ConnectionTimer,
  connectionStep,
  newConnection,
} from "../../core/link/connection.ts";
import { NamedTimers } from "./named-timers.ts";
import type { RegionChannel } from "./region-channel.ts";
import { RegionStream } from "./region-stream.ts";
import { heldToWire, routingFromWire, routingToWire } from "./routing-wire.ts";

export interface GrpcContactRoutingOptions {
  readonly channel: RegionChannel;
  readonly identity: { readonly popId: string; readonly hostId: string; readonly epoch: number };
  readonly log: Log;
  readonly policy?: ConnectionPolicy;
  readonly rng?: Rng;
}

/** Reports not yet on the wire; at the bound the stream is given up, and the next hello tells what is held. */
const REPORTS_WAITING_MAX = 10_000;

export class GrpcContactRouting implements ContactRouting {
  readonly #options: GrpcContactRoutingOptions;
  readonly #policy: ConnectionPolicy;
  readonly #rng: Rng;
  readonly #timers: NamedTimers<ConnectionTimer>;
  readonly #forgetReachable: () => void;
  readonly #waiting: ConnectionInput[] = [];
  #host: ContactRoutingHost | undefined;
  #state: ConnectionState = newConnection;
  #stream: RegionStream<ConnectRequest, ConnectResponse> | undefined;
  #dropped: Promise<void> = Promise.resolve();
  #busy = false;
  /** Once per absence is news; every try after that is not. */
  #saidAway = false;

  constructor(options: GrpcContactRoutingOptions) {
    this.#options = options;
    this.#policy = options.policy ?? CONNECTION_POLICY;
    this.#rng = options.rng ?? systemRng;
    this.#timers = new NamedTimers((timer) => this.#handle({ kind: "timer", timer, chance: this.#rng.next() }));
    this.#forgetReachable = options.channel.onReachable(() => this.#handle({ kind: "reachable" }));
  }

  start(host: ContactRoutingHost): void {
    this.#host = host;
    this.#handle({ kind: "start" });
  }

  linked(): boolean {
    return this.#state.name === "linked";
  }

  /** From hello on, reports follow it in order; before it there is nothing to follow. */
  report(report: RoutingReport): void {
    if (this.#state.name === "linked" || this.#state.name === "hello-sent") this.#stream?.send(routingToWire(report));
  }

  async close(): Promise<void> {
    this.#forgetReachable();
    this.#handle({ kind: "close" });
    this.#timers.stopAll();
    await this.#dropped;
  }

  #handle(input: ConnectionInput): void {
    this.#waiting.push(input);
    if (this.#busy) return; // an effect led to this input: its turn comes
    this.#busy = true;
    try {
      for (let next = this.#waiting.shift(); next; next = this.#waiting.shift()) {
        const { state, effects } = connectionStep(this.#policy, this.#state, next);
        this.#state = state;
        for (const effect of effects) this.#perform(effect);
      }
    } finally {
      this.#busy = false;
    }
  }

  #perform(effect: ConnectionEffect): void {
    const { log, identity } = this.#options;
    const host = this.#host;
    if (host === undefined) return; // before start nothing is asked for
    switch (effect.kind) {
      case "open":
        return this.#open(host);
      case "say-hello":
        return this.#stream?.send(heldToWire(identity, host.held()));
      case "drop":
        this.#dropped = this.#stream?.drop() ?? this.#dropped;
        this.#stream = undefined;
        return;
      case "linked":
        this.#saidAway = false;
        log.info("routing.up");
        return this.#options.channel.announceReachable();
      case "away":
        log[this.#saidAway ? "debug" : "warn"]("routing.away", {
          detail: effect.detail,
          retryAfterMs: effect.retryAfterMs,
        });
        this.#saidAway = true;
        return;
      case "start-timer":
        return this.#timers.start(effect.timer, effect.afterMs);
      case "stop-timer":
        return this.#timers.stop(effect.timer);
    }
  }

  #open(host: ContactRoutingHost): void {
    const stream: RegionStream<ConnectRequest, ConnectResponse> = new RegionStream(
      this.#options.channel,
      (channel, up, signal) =>
        createClientFactory().create(ContactRoutingServiceDefinition, channel).connect(up, { signal }),
      REPORTS_WAITING_MAX,
      {
        opened: () => {
          if (this.#stream === stream) this.#handle({ kind: "opened" });
        },
        received: (message) => {
          if (this.#stream === stream) this.#received(host, message);
        },
        lost: (detail) => {
          if (this.#stream === stream) this.#handle({ kind: "lost", detail, chance: this.#rng.next() });
        },
      },
    );
    this.#stream = stream;
  }

  #received(host: ContactRoutingHost, message: ConnectResponse): void {
    const from = routingFromWire(message);
    switch (from.kind) {
      case "welcome":
        return this.#handle({ kind: "welcomed" });
      case "directive":
        return host.directed(from.directive);
      case "unusable-offer":
        this.#options.log.warn("routing.offer-unusable", { ...from.answer });
        return this.report(from.answer);
      case "unknown":
        return this.#options.log.debug("routing.directive-unknown");
    }
  }
}
