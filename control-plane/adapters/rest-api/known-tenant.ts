import { asId } from "../../../kernel/ids.ts";
import type { ControlPlaneApi, TenantId } from "../../boundary/control-plane-api.ts";
import { objectOf } from "../../core/tenancy/intent.ts";
import { RestFailure } from "./rest-failure.ts";

export function knownTenant(api: ControlPlaneApi, text: string): TenantId {
  const tenantId = asId<"tenant">(text);
  if (objectOf(api.intent().objects, tenantId, "tenant", tenantId) === undefined)
    throw new RestFailure("tenant.unknown", `there is no tenant "${text}"`);
  return tenantId;
}
