import { ClientError, createClientFactory, Status } from "nice-grpc";
import { fail, type Outcome, succeed } from "../../../kernel/outcome.ts";
import { EventIntakeServiceDefinition } from "../../../proto/gen/call_events/v1/call_events.ts";
import type { EventPublisher, PublishFailure } from "../../boundary/event-sink.ts";
import type { CallEvent } from "../../core/call/contact-record.ts";
import { eventToWire } from "./event-wire.ts";
import type { RegionChannel } from "./region-channel.ts";

export interface GrpcEventPublisherOptions {
  readonly channel: RegionChannel;
  readonly hostId: string;
  readonly answerMsMax?: number;
}

export const EVENTS_PER_REQUEST_MAX = 200;

/** Hands events to the region's intake. Trying again, and when, is the spool's business: it alone knows what waits. */
export class GrpcEventPublisher implements EventPublisher {
  readonly #options: Required<GrpcEventPublisherOptions>;

  constructor(options: GrpcEventPublisherOptions) {
    this.#options = { answerMsMax: 5_000, ...options };
  }

  /** More than the intake takes at once goes in several requests; a failure in between repeats some, which is harmless. */
  async publish(events: readonly CallEvent[]): Promise<Outcome<void, PublishFailure>> {
    for (let from = 0; from < events.length; from += EVENTS_PER_REQUEST_MAX) {
      const stored = await this.#request(events.slice(from, from + EVENTS_PER_REQUEST_MAX));
      if (!stored.ok) return stored;
    }
    return succeed(undefined);
  }

  async #request(events: readonly CallEvent[]): Promise<Outcome<void, PublishFailure>> {
    const { channel, hostId, answerMsMax } = this.#options;
    const reached = await channel.reach();
    if (!reached.ok) return fail({ code: "events.away", detail: reached.failure.detail });
    try {
      await createClientFactory()
        .create(EventIntakeServiceDefinition, reached.value)
        .publish({ hostId, events: events.map(eventToWire) }, { signal: AbortSignal.timeout(answerMsMax) });
      return succeed(undefined);
    } catch (error) {
      const detail = error instanceof Error ? error.message : String(error);
      const refused = error instanceof ClientError && error.code === Status.INVALID_ARGUMENT;
      return fail({ code: refused ? "events.refused" : "events.away", detail });
    }
  }
}
