import type { ContactRoutingServiceImplementation } from "../../../../proto/gen/queue/v1/queue.ts";
import type { ContactRouting } from "../../../boundary/contact-routing.ts";
import { linkStream } from "../link-stream.ts";
import { directiveToWire, reportFromWire } from "./wire.ts";

/** The stream on which a POP host brings contacts to queues and hears of offers. */
export const contactRoutingService = (routing: ContactRouting): ContactRoutingServiceImplementation => ({
  connect: linkStream({
    fromWire: reportFromWire,
    toWire: directiveToWire,
    admit: (hello, certificateOf) => routing.admit(hello, certificateOf),
  }),
});
