// What tenants want: all their objects, at one version. Plain values; the store keeps them, apply.ts changes them.

import type { TenantId } from "../../../kernel/ids.ts";
import { asId } from "../../../kernel/ids.ts";
import { fail, type Outcome, succeed } from "../../../kernel/outcome.ts";
import type { UnixMs } from "../../../kernel/units.ts";
import { DOCUMENT_SCHEMAS, isObjectKind, type ObjectKind, type SpecOf } from "./documents.ts";

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json | undefined };

/** One version of a flow that calls may still be running. */
export interface FlowVersion {
  readonly version: number;
  readonly document: Json;
  readonly spec: SpecOf["flow"];
}

interface ObjectOf<Kind extends ObjectKind> {
  readonly kind: Kind;
  readonly tenantId: TenantId;
  readonly id: string;
  /** Counts the changes of this object, from 1. Of a flow: the version that entry points pin. */
  readonly version: number;
  readonly updatedAtUnixMs: UnixMs;
  /** As it was written, so that what is read back can be applied again. */
  readonly document: Json;
  readonly spec: SpecOf[Kind];
}

export type FlowObject = ObjectOf<"flow"> & {
  /** Newest first, without the current one. */
  readonly earlier: readonly FlowVersion[];
};
export type EntryPointObject = ObjectOf<"entry-point"> & { readonly flowVersion: number };

export type ConfigObject =
  | ObjectOf<"tenant">
  | ObjectOf<"trunk">
  | ObjectOf<"dn">
  | EntryPointObject
  | FlowObject
  | ObjectOf<"queue">
  | ObjectOf<"team">
  | ObjectOf<"agent">;

export type ConfigObjectOf<Kind extends ObjectKind> = Extract<ConfigObject, { readonly kind: Kind }>;

export interface Intent {
  /** Grows with every apply, over all tenants; 0: nothing was ever applied. */
  readonly version: number;
  readonly madeAtUnixMs: UnixMs;
  /** By objectKey(). */
  readonly objects: ReadonlyMap<string, ConfigObject>;
}

export const EMPTY_INTENT: Intent = { version: 0, madeAtUnixMs: 0, objects: new Map() };

export const objectKey = (tenantId: TenantId, kind: ObjectKind, id: string): string => `${tenantId}/${kind}/${id}`;

export function objectOf<Kind extends ObjectKind>(
  objects: Intent["objects"],
  tenantId: TenantId,
  kind: Kind,
  id: string,
): ConfigObjectOf<Kind> | undefined {
  const found = objects.get(objectKey(tenantId, kind, id));
  return found?.kind === kind ? (found as ConfigObjectOf<Kind>) : undefined;
}

/** Sorted by tenant and id. */
export function objectsOf<Kind extends ObjectKind>(
  objects: Intent["objects"],
  kind: Kind,
  tenantId?: TenantId,
): readonly ConfigObjectOf<Kind>[] {
  const found: ConfigObjectOf<Kind>[] = [];
  for (const object of objects.values())
    if (object.kind === kind && (tenantId === undefined || object.tenantId === tenantId))
      found.push(object as ConfigObjectOf<Kind>);
  return found.sort((a, b) => compare(a.tenantId, b.tenantId) || compare(a.id, b.id));
}

export const tenantsOf = (intent: Intent): readonly TenantId[] =>
  objectsOf(intent.objects, "tenant").map(({ tenantId }) => tenantId);

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** What the store keeps of an object; its key says tenant, kind and id. */
export function objectToStored(object: ConfigObject): Json {
  const { version, updatedAtUnixMs, document } = object;
  if (object.kind === "flow")
    return {
      version,
      updatedAtUnixMs,
      document,
      earlier: object.earlier.map((flow) => ({ version: flow.version, document: flow.document })),
    };
  if (object.kind === "entry-point") return { version, updatedAtUnixMs, document, flowVersion: object.flowVersion };
  return { version, updatedAtUnixMs, document };
}

/** What stands in the store does not follow today's schema: written by hand, or by a release that knew more. */
export interface StoredUnreadable {
  readonly code: "intent.unreadable";
  readonly key: string;
  readonly detail: string;
}

/** @fails intent.unreadable */
export function objectFromStored(key: string, value: unknown): Outcome<ConfigObject, StoredUnreadable> {
  const [tenant, kind, id, ...rest] = key.split("/");
  const unreadable = (detail: string) => fail({ code: "intent.unreadable" as const, key, detail });
  if (tenant === undefined || id === undefined || rest.length > 0 || !isObjectKind(kind))
    return unreadable("not a key of an object");
  if (typeof value !== "object" || value === null) return unreadable("not an object");
  const stored = value as {
    version?: unknown;
    updatedAtUnixMs?: unknown;
    document?: Json;
    earlier?: { version: number; document: Json }[];
    flowVersion?: unknown;
  };
  const parsed = DOCUMENT_SCHEMAS[kind].safeParse(stored.document);
  if (!parsed.success) return unreadable(parsed.error.issues.map(({ message }) => message).join("; "));
  const earlier: FlowVersion[] = [];
  for (const { version, document } of stored.earlier ?? []) {
    const flow = DOCUMENT_SCHEMAS.flow.safeParse(document);
    if (!flow.success) return unreadable(`version ${version} does not follow the schema`);
    earlier.push({ version, document, spec: flow.data });
  }
  return succeed({
    kind,
    tenantId: asId<"tenant">(tenant),
    id,
    version: Number(stored.version),
    updatedAtUnixMs: Number(stored.updatedAtUnixMs),
    document: stored.document ?? null,
    spec: parsed.data,
    ...(kind === "flow" ? { earlier } : {}),
    ...(kind === "entry-point" ? { flowVersion: Number(stored.flowVersion) } : {}),
  } as ConfigObject);
}
