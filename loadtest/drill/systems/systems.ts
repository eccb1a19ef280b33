import { kamailioSystem } from "./kamailio-system.ts";
import type { SystemUnderTest } from "./system-under-test.ts";
import { tollgateRegion } from "./tollgate-region.ts";

/** What `tollgate drill run --system` knows. */
export const SYSTEMS: Readonly<Record<string, SystemUnderTest>> = {
  tollgate: tollgateRegion,
  // The best practice of today, from Debian's packages: as keepalived comes, and tuned.
  kamailio: kamailioSystem("kamailio", 1),
  "kamailio-tuned": kamailioSystem("kamailio-tuned", 0.1),
};
