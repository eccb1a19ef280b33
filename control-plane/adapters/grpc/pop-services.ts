import { EventIntakeServiceDefinition } from "../../../proto/gen/call_events/v1/call_events.ts";
import { PopLinkServiceDefinition } from "../../../proto/gen/pop_link/v1/pop_link.ts";
import { ContactRoutingServiceDefinition } from "../../../proto/gen/queue/v1/queue.ts";
import type { ContactEventStore } from "../../boundary/contact-event-store.ts";
import type { ContactRouting } from "../../boundary/contact-routing.ts";
import type { PopRegistry } from "../../boundary/pop-links.ts";
import { contactRoutingService } from "./contact-routing/contact-routing-service.ts";
import { eventIntakeService } from "./event-intake/event-intake-service.ts";
import { type GrpcPlace, type RunningGrpcServer, startGrpcServer } from "./grpc-server.ts";
import { popLinkService } from "./pop-link/pop-link-service.ts";

/** Everything that a POP host can ask of its region, on one address. */
export const startPopServices = (
  place: GrpcPlace,
  region: {
    readonly pops: PopRegistry;
    readonly routing: ContactRouting;
    readonly events: Pick<ContactEventStore, "publish">;
  },
): Promise<RunningGrpcServer> =>
  startGrpcServer(place, (server) => {
    server.add(PopLinkServiceDefinition, popLinkService(region.pops));
    server.add(ContactRoutingServiceDefinition, contactRoutingService(region.routing));
    server.add(EventIntakeServiceDefinition, eventIntakeService(region.events));
  });
