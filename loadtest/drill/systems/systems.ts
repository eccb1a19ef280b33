import type { SystemUnderTest } from "./system-under-test.ts";
import { tollgateRegion } from "./tollgate-region.ts";

/** What `tollgate drill run --system` knows. */
export const SYSTEMS: Readonly<Record<string, SystemUnderTest>> = { tollgate: tollgateRegion };
