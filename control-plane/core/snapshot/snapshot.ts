// What a POP has to know, made from the intent of all tenants. It proves itself before it leaves.

import type { TenantId } from "../../../kernel/ids.ts";
import { fail, type Outcome, succeed } from "../../../kernel/outcome.ts";
import type { UnixMs } from "../../../kernel/units.ts";
import type { SpecOf } from "../tenancy/documents.ts";
import { type Intent, objectsOf } from "../tenancy/intent.ts";
import { flowReferences } from "../tenancy/references.ts";

type OfTenant<Spec> = { readonly tenantId: TenantId; readonly id: string; readonly spec: Spec };

export interface Snapshot {
  readonly version: number;
  readonly madeAtUnixMs: UnixMs;
  readonly tenants: readonly OfTenant<SpecOf["tenant"]>[];
  readonly trunks: readonly OfTenant<SpecOf["trunk"]>[];
  readonly numbers: readonly OfTenant<SpecOf["dn"]>[];
  readonly entryPoints: readonly (OfTenant<SpecOf["entry-point"]> & { readonly flowVersion: number })[];
  /** Every version that an entry point pins, and a few more: a call keeps the version it began with. */
  readonly flows: readonly (OfTenant<SpecOf["flow"]> & { readonly version: number })[];
  readonly queues: readonly OfTenant<SpecOf["queue"]>[];
}

export interface SnapshotBroken {
  readonly code: "snapshot.broken";
  readonly version: number;
  readonly mistakes: readonly string[];
}

/** @fails snapshot.broken when something in it points to what is not there: it must not leave */
export function snapshotOf(intent: Intent): Outcome<Snapshot, SnapshotBroken> {
  const { objects } = intent;
  const snapshot: Snapshot = {
    version: intent.version,
    madeAtUnixMs: intent.madeAtUnixMs,
    tenants: objectsOf(objects, "tenant"),
    trunks: objectsOf(objects, "trunk"),
    numbers: objectsOf(objects, "dn"),
    entryPoints: objectsOf(objects, "entry-point"),
    flows: objectsOf(objects, "flow").flatMap(({ tenantId, id, version, spec, earlier }) => [
      { tenantId, id, version, spec },
      ...earlier.map((flow) => ({ tenantId, id, version: flow.version, spec: flow.spec })),
    ]),
    queues: objectsOf(objects, "queue"),
  };
  const mistakes = proof(snapshot);
  return mistakes.length === 0
    ? succeed(snapshot)
    : fail({ code: "snapshot.broken", version: snapshot.version, mistakes });
}

/** Every reference leads somewhere, every number and version is there once. */
function proof(snapshot: Snapshot): readonly string[] {
  const mistakes: string[] = [];
  const names = (list: readonly OfTenant<unknown>[]) => new Set(list.map(({ tenantId, id }) => `${tenantId}/${id}`));
  const tenants = new Set<string>(snapshot.tenants.map(({ id }) => id));
  const entryPoints = names(snapshot.entryPoints);
  const targets = { queue: names(snapshot.queues), trunk: names(snapshot.trunks) };
  const flows = new Set(snapshot.flows.map(({ tenantId, id, version }) => `${tenantId}/${id}/${version}`));
  if (flows.size !== snapshot.flows.length) mistakes.push("a flow version is there twice");
  const numbers = new Set(snapshot.numbers.map(({ spec }) => spec.number));
  if (numbers.size !== snapshot.numbers.length) mistakes.push("a number is there twice");

  for (const list of [snapshot.trunks, snapshot.numbers, snapshot.entryPoints, snapshot.flows, snapshot.queues])
    for (const { tenantId, id } of list)
      if (!tenants.has(tenantId)) mistakes.push(`${tenantId}/${id}: there is no such tenant`);
  for (const { tenantId, id, spec } of snapshot.numbers)
    if (!entryPoints.has(`${tenantId}/${spec.entryPoint}`))
      mistakes.push(`numbers[${tenantId}/${id}]: no entry point ${spec.entryPoint}`);
  for (const { tenantId, id, spec, flowVersion } of snapshot.entryPoints)
    if (!flows.has(`${tenantId}/${spec.flow}/${flowVersion}`))
      mistakes.push(`entryPoints[${tenantId}/${id}]: no flow ${spec.flow} version ${flowVersion}`);
  for (const { tenantId, id, version, spec } of snapshot.flows) {
    if (spec.activities[spec.start] === undefined)
      mistakes.push(`flows[${tenantId}/${id}/${version}]: no activity ${spec.start}`);
    for (const reference of flowReferences(spec))
      if (!targets[reference.kind as "queue" | "trunk"].has(`${tenantId}/${reference.id}`))
        mistakes.push(`flows[${tenantId}/${id}/${version}].${reference.path}: no ${reference.kind} ${reference.id}`);
  }
  return mistakes;
}
