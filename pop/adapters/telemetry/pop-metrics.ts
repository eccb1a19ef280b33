// What a POP counts. Names end in their unit; the failure label is the failure code.

import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import { msToSeconds } from "../../../kernel/units.ts";
import type { ContactRecord } from "../../core/call/contact-record.ts";

/** Of the calls' book. */
export type CheckpointCounts = Readonly<Record<keyof typeof CHECKPOINT_HELP, number>>;

const CHECKPOINT_HELP = {
  groups: "Groups of calls written to the checkpoint store",
  fields: "Calls in them",
  characters: "Characters in them",
  waits: "Answers that waited for their call to be written",
  late: "Those that left before it was",
} as const;

export interface PopGauges {
  calls(): number;
  spooledEvents(): number;
  droppedEvents(): number;
  /** Ready parts by name, for the alert rules. */
  parts(): Readonly<Record<string, boolean>>;
  /** What was written for a next owner, since the beginning; undefined: nothing is. */
  checkpoints(): CheckpointCounts | undefined;
}

export class PopMetrics {
  readonly registry = new Registry();
  readonly #refused: Counter<"code">;
  readonly #arrived: Counter;
  readonly #ended: Counter<"code" | "ended_by">;
  readonly #reAnchored: Counter;
  readonly #answerSeconds: Histogram;
  readonly #callSeconds: Histogram;
  readonly #handlerFailures: Counter<"handler">;

  constructor(gauges: PopGauges) {
    const registers = [this.registry];
    collectDefaultMetrics({ register: this.registry, prefix: "pop_" });
    this.#arrived = new Counter({ name: "pop_calls_arrived_total", help: "Calls let in", registers });
    this.#refused = new Counter({
      name: "pop_calls_refused_total",
      help: "Calls refused before a flow ran, by failure code",
      labelNames: ["code"],
      registers,
    });
    this.#ended = new Counter({
      name: "pop_calls_ended_total",
      help: "Calls ended, by code and by who ended them",
      labelNames: ["code", "ended_by"],
      registers,
    });
    this.#reAnchored = new Counter({
      name: "pop_calls_re_anchored_total",
      help: "Times that a call's media was given a new place by re-INVITE, since the relay had lost it",
      registers,
    });
    this.#answerSeconds = new Histogram({
      name: "pop_invite_answer_seconds",
      help: "From INVITE to our 200",
      buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
      registers,
    });
    this.#callSeconds = new Histogram({
      name: "pop_call_seconds",
      help: "From INVITE to the end",
      buckets: [1, 5, 15, 30, 60, 120, 300, 600, 1_800, 3_600],
      registers,
    });
    this.#handlerFailures = new Counter({
      name: "pop_handler_failures_total",
      help: "Exceptions caught at the edge of a library: each is a bug somewhere",
      labelNames: ["handler"],
      registers,
    });
    gauge("pop_calls", "Calls at this moment", () => gauges.calls());
    gauge("pop_events_spooled", "Events on disk that the region has not got yet", () => gauges.spooledEvents());
    gauge("pop_events_dropped", "Events dropped at the spool's bound since the start", () => gauges.droppedEvents());
    const parts = new Gauge({
      name: "pop_part_ready",
      help: "1 when the part answers",
      labelNames: ["part"],
      registers,
      collect() {
        for (const [part, ready] of Object.entries(gauges.parts())) parts.set({ part }, ready ? 1 : 0);
      },
    });

    for (const [what, help] of Object.entries(CHECKPOINT_HELP)) {
      const own: Counter = new Counter({
        name: `pop_checkpoint_${what}_total`,
        help,
        registers,
        collect() {
          own.reset();
          own.inc(gauges.checkpoints()?.[what as keyof CheckpointCounts] ?? 0);
        },
      });
    }

    function gauge(name: string, help: string, value: () => number): void {
      const own: Gauge = new Gauge({ name, help, registers, collect: () => own.set(value()) });
    }
  }

  arrived(): void {
    this.#arrived.inc();
  }

  refused(code: string): void {
    this.#refused.inc({ code });
  }

  ended({ endCode, endedBy, arrivedAtUnixMs, answeredAtUnixMs, endedAtUnixMs }: ContactRecord): void {
    this.#ended.inc({ code: endCode, ended_by: endedBy });
    if (answeredAtUnixMs !== undefined) this.#answerSeconds.observe(msToSeconds(answeredAtUnixMs - arrivedAtUnixMs));
    this.#callSeconds.observe(msToSeconds(endedAtUnixMs - arrivedAtUnixMs));
  }

  reAnchored(): void {
    this.#reAnchored.inc();
  }

  handlerFailed(handler: string): void {
    this.#handlerFailures.inc({ handler });
  }
}
