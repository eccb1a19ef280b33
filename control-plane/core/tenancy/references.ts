// Who points to whom among a tenant's objects.

import type { ObjectKind, SpecOf } from "./documents.ts";
import type { ConfigObject } from "./intent.ts";

export interface Reference {
  readonly path: string;
  readonly kind: ObjectKind;
  readonly id: string;
}

export function referencesOf(object: ConfigObject): readonly Reference[] {
  switch (object.kind) {
    case "dn":
      return [{ path: "entryPoint", kind: "entry-point", id: object.spec.entryPoint }];
    case "entry-point":
      return [{ path: "flow", kind: "flow", id: object.spec.flow }];
    case "flow":
      return flowReferences(object.spec);
    case "queue":
    case "agent":
      return object.spec.teams.map((id, at) => ({ path: `teams.${at}`, kind: "team", id }));
    case "tenant":
    case "trunk":
    case "team":
      return [];
  }
}

export function flowReferences(flow: SpecOf["flow"]): readonly Reference[] {
  const references: Reference[] = [];
  for (const [activity, { queue, transfer }] of Object.entries(flow.activities)) {
    if (queue) references.push({ path: `activities.${activity}.queue.queue`, kind: "queue", id: queue.queue });
    if (transfer?.trunk !== undefined)
      references.push({ path: `activities.${activity}.transfer.trunk`, kind: "trunk", id: transfer.trunk });
  }
  return references;
}
