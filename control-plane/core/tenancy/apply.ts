// A transaction of documents on a tenant's objects: all of it holds together, or none of it happens and every mistake is said.

import type { z } from "zod";
import type { TenantId } from "../../../kernel/ids.ts";
import { fail, type Outcome, succeed } from "../../../kernel/outcome.ts";
import type { UnixMs } from "../../../kernel/units.ts";
import { overlap, parseCidr, sameCidr } from "./cidr.ts";
import { DOCUMENT_SCHEMAS, deletionSchema, isObjectKind, OBJECT_KINDS, type ObjectKind } from "./documents.ts";
import { checkFlow } from "./flow-check.ts";
import {
  type ConfigObject,
  type FlowObject,
  type FlowVersion,
  type Intent,
  type Json,
  objectKey,
  objectOf,
  objectsOf,
} from "./intent.ts";
import { flowReferences, referencesOf } from "./references.ts";

export interface Mistake {
  /** Which of the documents, from 1; 0: the transaction as a whole. */
  readonly document: number;
  readonly kind: string;
  readonly id: string;
  /** Within the document; empty: the whole of it. */
  readonly path: string;
  readonly message: string;
}

export interface ConfigRefused {
  readonly code: "config.refused";
  readonly mistakes: readonly Mistake[];
}

export interface Change {
  readonly kind: ObjectKind;
  readonly id: string;
  readonly change: "created" | "updated" | "deleted" | "unchanged";
}

/** What a transaction does to the store. */
export interface IntentChange {
  readonly puts: readonly ConfigObject[];
  readonly deletes: readonly { readonly tenantId: TenantId; readonly kind: ObjectKind; readonly id: string }[];
}

export interface Applied {
  readonly intent: Intent;
  readonly changes: readonly Change[];
  readonly stored: IntentChange;
}

export const APPLY_LIMITS = {
  documentsMax: 1_000,
  /** etcd takes 128 operations in one transaction by default; two are ours. */
  changesMax: 120,
  objectsPerTenantMax: 5_000,
  /** Versions of a flow that stay known although no entry point pins them: calls may still be running them. */
  flowVersionsKept: 3,
} as const;

type Claim =
  | { readonly what: "object"; readonly document: Json }
  | { readonly what: "deletion" }
  /** Named itself well enough that others may refer to it, but is not usable. */
  | { readonly what: "broken" };

interface Written {
  readonly number: number;
  readonly kind: ObjectKind;
  readonly id: string;
  readonly claim: Claim;
}

/**
 * Judges and performs a transaction, on values only.
 *
 * The next version is at least the clock's seconds, so that versions also grow when a store was lost and filled again:
 * a POP takes only a newer version than the one it has.
 *
 * @fails config.refused with every mistake
 */
export function applyDocuments(
  intent: Intent,
  tenantId: TenantId,
  documents: readonly unknown[],
  atUnixMs: UnixMs,
): Outcome<Applied, ConfigRefused> {
  const mistakes: Mistake[] = [];
  if (documents.length === 0 || documents.length > APPLY_LIMITS.documentsMax)
    return fail({
      code: "config.refused",
      mistakes: [whole(`between 1 and ${APPLY_LIMITS.documentsMax} documents, not ${documents.length}`)],
    });
  const written = readDocuments(tenantId, documents, mistakes);
  const objects = carryOut(intent, tenantId, written, atUnixMs);
  judge(tenantId, objects, written, mistakes);

  const changes = changesBetween(intent, objects, tenantId, written);
  const effective = changes.filter(({ change }) => change !== "unchanged");
  if (effective.length > APPLY_LIMITS.changesMax)
    mistakes.push(
      whole(`${effective.length} objects would change at once; at most ${APPLY_LIMITS.changesMax}: apply in parts`),
    );
  if (mistakes.length > 0) return fail({ code: "config.refused", mistakes: mistakes.sort(byDocument) });

  const puts: ConfigObject[] = [];
  const deletes: IntentChange["deletes"][number][] = [];
  for (const { kind, id, change } of changes) {
    if (change === "deleted") deletes.push({ tenantId, kind, id });
    const object = objects.get(objectKey(tenantId, kind, id));
    if (object && change !== "unchanged") puts.push(object);
  }
  const version = Math.max(intent.version + 1, Math.floor(atUnixMs / 1_000));
  return succeed({
    intent: effective.length === 0 ? intent : { version, madeAtUnixMs: atUnixMs, objects },
    changes,
    stored: { puts, deletes },
  });
}

const whole = (message: string): Mistake => ({ document: 0, kind: "", id: "", path: "", message });
const byDocument = (a: Mistake, b: Mistake): number => a.document - b.document;

function readDocuments(tenantId: TenantId, documents: readonly unknown[], mistakes: Mistake[]): readonly Written[] {
  const written = new Map<string, Written>();
  documents.forEach((raw, at) => {
    const number = at + 1;
    const { kind, id } = namesOf(raw);
    const wrong = (path: string, message: string) =>
      mistakes.push({ document: number, kind: kind ?? "", id: id ?? "", path, message });
    if (typeof raw !== "object" || raw === null || Array.isArray(raw)) {
      wrong("", "not an object with a kind and an id");
      return;
    }
    if (!isObjectKind(kind)) {
      wrong("kind", `one of ${OBJECT_KINDS.join(", ")}`);
      return;
    }
    const deletion = "delete" in raw;
    const parsed = (deletion ? deletionSchema : DOCUMENT_SCHEMAS[kind]).safeParse(raw);
    if (!parsed.success)
      for (const { path, message } of parsed.error.issues) wrong(path.map(String).join("."), message);
    if (id === undefined) return;
    if (kind === "tenant" && id !== tenantId)
      wrong("id", `this is the configuration of tenant "${tenantId}": another tenant cannot be in it`);
    const key = `${kind}/${id}`;
    const first = written.get(key);
    if (first) {
      wrong("id", `document ${first.number} is this ${kind} already`);
      return;
    }
    const claim: Claim = parsed.success
      ? deletion
        ? { what: "deletion" }
        : { what: "object", document: raw as Json }
      : brokenClaim(kind, raw, parsed.error.issues);
    written.set(key, { number, kind, id, claim });
  });
  return [...written.values()];
}

/**
 * A document that is refused for one field still has its references looked at, so that one round tells all: without the
 * fields that are wrong it may be whole. A flow is not tried: without one activity the others would seem to lead nowhere.
 */
function brokenClaim(kind: ObjectKind, raw: object, issues: readonly z.core.$ZodIssue[]): Claim {
  const wrong = issues.flatMap((issue) => (issue.code === "unrecognized_keys" ? issue.keys : issue.path.slice(0, 1)));
  const rest = Object.fromEntries(Object.entries(raw).filter(([field]) => !wrong.includes(field))) as Json;
  if (kind === "flow" || !DOCUMENT_SCHEMAS[kind].safeParse(rest).success) return { what: "broken" };
  return { what: "object", document: rest };
}

function namesOf(raw: unknown): { kind: string | undefined; id: string | undefined } {
  const { kind, id } = (typeof raw === "object" && raw !== null ? raw : {}) as { kind?: unknown; id?: unknown };
  return { kind: typeof kind === "string" ? kind : undefined, id: typeof id === "string" ? id : undefined };
}

/** The objects as they would be. Entry points come last: they pin the newest version of their flow. */
function carryOut(
  intent: Intent,
  tenantId: TenantId,
  written: readonly Written[],
  atUnixMs: UnixMs,
): Map<string, ConfigObject> {
  const objects = new Map(intent.objects);
  const inOrder = [...written].sort((a, b) => Number(a.kind === "entry-point") - Number(b.kind === "entry-point"));
  for (const { kind, id, claim } of inOrder) {
    const key = objectKey(tenantId, kind, id);
    if (claim.what === "deletion") objects.delete(key);
    if (claim.what === "object") objects.set(key, next(objects, tenantId, kind, id, claim.document, atUnixMs));
  }
  for (const flow of objectsOf(objects, "flow", tenantId)) {
    const kept = keepVersions(objects, flow);
    if (kept.length !== flow.earlier.length)
      objects.set(objectKey(tenantId, "flow", flow.id), { ...flow, earlier: kept });
  }
  return objects;
}

function next(
  objects: ReadonlyMap<string, ConfigObject>,
  tenantId: TenantId,
  kind: ObjectKind,
  id: string,
  document: Json,
  updatedAtUnixMs: UnixMs,
): ConfigObject {
  const old = objects.get(objectKey(tenantId, kind, id));
  const spec = DOCUMENT_SCHEMAS[kind].parse(document);
  const same = old !== undefined && sameJson(old.document, document);
  const base = { tenantId, id, updatedAtUnixMs, document, version: (old?.version ?? 0) + 1 };
  if (spec.kind === "entry-point") {
    const flow = objectOf(objects, tenantId, "flow", spec.flow);
    const flowVersion = spec.flowVersion ?? flow?.version ?? 0;
    if (same && old.kind === "entry-point" && old.flowVersion === flowVersion) return old;
    return { ...base, kind: "entry-point", spec, flowVersion };
  }
  if (same) return old;
  if (spec.kind === "flow") {
    const before: readonly FlowVersion[] = old?.kind === "flow" ? [versionOf(old), ...old.earlier] : [];
    return { ...base, kind: "flow", spec, earlier: before };
  }
  return { ...base, kind: spec.kind, spec } as ConfigObject;
}

const versionOf = ({ version, document, spec }: FlowObject): FlowVersion => ({ version, document, spec });

/** Versions that an entry point pins stay; of the others the newest few, as long as what they point to exists. */
function keepVersions(objects: ReadonlyMap<string, ConfigObject>, flow: FlowObject): readonly FlowVersion[] {
  const pinned = new Set(
    objectsOf(objects, "entry-point", flow.tenantId)
      .filter(({ spec }) => spec.flow === flow.id)
      .map(({ flowVersion }) => flowVersion),
  );
  return flow.earlier.filter(
    ({ version, spec }, at) =>
      pinned.has(version) ||
      (at < APPLY_LIMITS.flowVersionsKept - 1 &&
        flowReferences(spec).every(({ kind, id }) => objects.has(objectKey(flow.tenantId, kind, id)))),
  );
}

/** What is wrong with the objects as they would be. */
function judge(
  tenantId: TenantId,
  objects: ReadonlyMap<string, ConfigObject>,
  written: readonly Written[],
  mistakes: Mistake[],
): void {
  const byKey = new Map(written.map((one) => [objectKey(tenantId, one.kind, one.id), one]));
  const exists = (kind: ObjectKind, id: string) => {
    const key = objectKey(tenantId, kind, id);
    return objects.has(key) || byKey.get(key)?.claim.what === "broken";
  };
  const own = [...objects.values()].filter((object) => object.tenantId === tenantId);
  if (own.length > APPLY_LIMITS.objectsPerTenantMax)
    mistakes.push(whole(`the tenant would have ${own.length} objects; at most ${APPLY_LIMITS.objectsPerTenantMax}`));
  if (!exists("tenant", tenantId) && own.length > 0) {
    const deletion = byKey.get(objectKey(tenantId, "tenant", tenantId));
    mistakes.push(
      deletion
        ? {
            document: deletion.number,
            kind: "tenant",
            id: tenantId,
            path: "",
            message: `still has ${own.length} objects`,
          }
        : whole(`there is no tenant "${tenantId}": let the documents include one of kind tenant`),
    );
  }
  for (const object of own) {
    const document = byKey.get(objectKey(tenantId, object.kind, object.id));
    const wrong = (path: string, message: string) =>
      mistakes.push({ document: document?.number ?? 0, kind: object.kind, id: object.id, path, message });
    const pointing = [
      ...referencesOf(object),
      ...(object.kind === "flow" ? object.earlier.flatMap(({ spec }) => flowReferences(spec)) : []),
    ];
    for (const { path, kind, id } of pointing) {
      if (exists(kind, id)) continue;
      const deletion = byKey.get(objectKey(tenantId, kind, id));
      if (document === undefined && deletion?.claim.what === "deletion")
        mistakes.push({
          document: deletion.number,
          kind,
          id,
          path: "",
          message: `${object.kind} "${object.id}" still refers to it (${path})`,
        });
      else wrong(path, `there is no ${kind} "${id}"`);
    }
    if (object.kind === "entry-point") {
      const flow = objectOf(objects, tenantId, "flow", object.spec.flow);
      const versions = flow ? [flow.version, ...flow.earlier.map(({ version }) => version)] : [];
      if (flow && !versions.includes(object.flowVersion))
        wrong("flowVersion", `flow "${flow.id}" has versions ${versions.join(", ")}, not ${object.flowVersion}`);
    }
    if (document === undefined) continue; // judged when it was applied
    if (object.kind === "flow") for (const { path, message } of checkFlow(object.spec)) wrong(path, message);
    if (object.kind === "dn") judgeNumber(object, objects, wrong);
    if (object.kind === "trunk") judgeTrunk(object, objects, wrong);
  }
}

type Wrong = (path: string, message: string) => void;

function judgeNumber(
  dn: Extract<ConfigObject, { kind: "dn" }>,
  objects: ReadonlyMap<string, ConfigObject>,
  wrong: Wrong,
): void {
  for (const other of objectsOf(objects, "dn")) {
    if (other.spec.number !== dn.spec.number || (other.tenantId === dn.tenantId && other.id === dn.id)) continue;
    wrong("number", other.tenantId === dn.tenantId ? `is that of dn "${other.id}"` : "belongs to another tenant");
  }
}

/** Equal ranges would leave the choice of trunk to chance; across tenants even a longer prefix would take over calls. */
function judgeTrunk(
  trunk: Extract<ConfigObject, { kind: "trunk" }>,
  objects: ReadonlyMap<string, ConfigObject>,
  wrong: Wrong,
): void {
  trunk.spec.sourceCidrs.forEach((text, at) => {
    const range = parseCidr(text);
    if (range === undefined) return;
    const path = `sourceCidrs.${at}`;
    trunk.spec.sourceCidrs.slice(0, at).forEach((earlier) => {
      const other = parseCidr(earlier);
      if (other && sameCidr(range, other)) wrong(path, "is written twice");
    });
    for (const other of objectsOf(objects, "trunk")) {
      if (other.tenantId === trunk.tenantId && other.id === trunk.id) continue;
      for (const theirs of other.spec.sourceCidrs) {
        const theirRange = parseCidr(theirs);
        if (theirRange === undefined) continue;
        if (other.tenantId !== trunk.tenantId && overlap(range, theirRange))
          wrong(path, "overlaps a range of another tenant's trunk");
        if (other.tenantId === trunk.tenantId && sameCidr(range, theirRange))
          wrong(path, `is a range of trunk "${other.id}"`);
      }
    }
  });
}

/** What the documents did, then what followed for objects that they do not name (a flow's versions let go). */
function changesBetween(
  intent: Intent,
  objects: ReadonlyMap<string, ConfigObject>,
  tenantId: TenantId,
  written: readonly Written[],
): readonly Change[] {
  const changes: Change[] = written.map(({ kind, id, claim }) => {
    const key = objectKey(tenantId, kind, id);
    const [before, after] = [intent.objects.get(key), objects.get(key)];
    if (claim.what === "deletion") return { kind, id, change: before ? "deleted" : "unchanged" };
    return { kind, id, change: before === undefined ? "created" : before === after ? "unchanged" : "updated" };
  });
  const named = new Set(written.map(({ kind, id }) => objectKey(tenantId, kind, id)));
  for (const [key, object] of objects)
    if (!named.has(key) && intent.objects.get(key) !== object)
      changes.push({ kind: object.kind, id: object.id, change: "updated" });
  return changes;
}

/** Equal as JSON, whatever the order of keys. */
export function sameJson(a: unknown, b: unknown): boolean {
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return a === b;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const [one, other] = [a as Record<string, unknown>, b as Record<string, unknown>];
  const keys = Object.keys(one).filter((key) => one[key] !== undefined);
  return (
    keys.length === Object.keys(other).filter((key) => other[key] !== undefined).length &&
    keys.every((key) => key in other && sameJson(one[key], other[key]))
  );
}
