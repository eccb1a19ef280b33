import type { PopLinkServiceImplementation } from "../../../../proto/gen/pop_link/v1/pop_link.ts";
import type { PopRegistry } from "../../../boundary/pop-links.ts";
import { linkStream } from "../link-stream.ts";
import { directiveToWire, reportFromWire } from "./wire.ts";

/** The stream a POP host keeps open to its region: reports come up, directives go down. */
export const popLinkService = (registry: PopRegistry): PopLinkServiceImplementation => ({
  connect: linkStream({
    fromWire: reportFromWire,
    toWire: directiveToWire,
    admit: (hello, certificateOf) => registry.admit(hello, certificateOf),
  }),
});
