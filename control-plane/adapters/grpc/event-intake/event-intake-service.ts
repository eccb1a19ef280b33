import { ServerError, Status } from "nice-grpc";
import { asId } from "../../../../kernel/ids.ts";
import type { EventIntakeServiceImplementation } from "../../../../proto/gen/call_events/v1/call_events.ts";
import type { ContactEventStore } from "../../../boundary/contact-event-store.ts";
import { certificateOf } from "../grpc-server.ts";
import { eventFromWire } from "./wire.ts";

/** Of one batch; a POP that spooled more sends more batches. */
const EVENTS_MAX = 1_000;

/** Takes in what happened to contacts. Answered means kept; any error means: send the batch again. */
export const eventIntakeService = (store: Pick<ContactEventStore, "publish">): EventIntakeServiceImplementation => ({
  async publish({ hostId, events }, context) {
    if (certificateOf(context) !== hostId) throw new ServerError(Status.PERMISSION_DENIED, "pop.not-itself");
    if (events.length > EVENTS_MAX)
      throw new ServerError(Status.INVALID_ARGUMENT, `events.too-many: at most ${EVENTS_MAX} in a batch`);
    // An event that nobody can tell apart is dropped here: refusing it would hold up its spool for ever.
    const readable = events.map(eventFromWire).filter((event) => event !== undefined);
    const published = await store.publish(readable, asId<"pop-host">(hostId));
    if (!published.ok) throw new ServerError(Status.UNAVAILABLE, published.failure.code);
    return { stored: published.value.stored, repeatedCount: published.value.repeated };
  },
});
