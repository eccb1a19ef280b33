// The replica as its API and its metrics see it.

import type { Clock } from "../../kernel/time.ts";
import type { ContactEventStore } from "../boundary/contact-event-store.ts";
import type { ControlPlaneApi, Dependency } from "../boundary/control-plane-api.ts";
import type { Vitals } from "../boundary/vitals.ts";
import type { ControlPlane } from "./control-plane.ts";
import type { DependencyWatch } from "./dependency-watch.ts";

type Dependencies = Pick<DependencyWatch, "answering">;

export const controlPlaneApi = (
  region: ControlPlane,
  parts: {
    readonly regionId: string;
    readonly clock: Clock;
    readonly events: Pick<ContactEventStore, "contact" | "contacts">;
    readonly dependencies: Dependencies;
    readonly metrics: ControlPlaneApi["metrics"];
  },
): ControlPlaneApi => ({
  regionId: parts.regionId,
  unixMs: () => parts.clock.unixMs(),
  intent: () => region.intents.intent,
  apply: (tenantId, documents, how) => region.intents.apply(tenantId, documents, how),
  shard: (tenantId) => region.routing.shard(tenantId),
  signIn: (...agent) => region.routing.signIn(...agent),
  signOut: (...agent) => region.routing.signOut(...agent),
  setAgent: (...agent) => region.routing.setAgent(...agent),
  contacts: parts.events,
  decisionsPending: (contactId) => region.journal.pendingOf(contactId),
  popHosts: () => region.pops.hosts,
  command: (hostId, command) => region.pops.command(hostId, command),
  hangUp: (callId) => region.pops.hangUp(callId),
  dependencies: () => dependenciesOf(region, parts.dependencies),
  metrics: parts.metrics,
});

function dependenciesOf(region: ControlPlane, watch: Dependencies): readonly Dependency[] {
  const { intents, routing } = region;
  const { shards, owned, storeAway } = routing.health;
  const [etcd, redis] = [watch.answering("etcd"), watch.answering("redis")];
  return [
    {
      name: "etcd",
      ready: etcd,
      required: false,
      detail: etcd ? "" : "no configuration changes and no change of owners; what is known stays in use",
    },
    {
      name: "redis",
      ready: redis && storeAway === 0,
      required: false,
      detail: redis && storeAway === 0 ? "" : "queues go on in memory only; events wait at the POPs",
    },
    {
      name: "configuration",
      ready: intents.loaded && intents.fault === undefined,
      required: !intents.loaded,
      detail: intents.fault ?? "",
    },
    {
      name: "queues",
      ready: owned === shards,
      required: false,
      detail: owned === shards ? "" : `${owned} of ${shards} shards are owned here`,
    },
  ];
}

export function vitalsOf(region: ControlPlane, watch: Dependencies): Vitals {
  const { intents, pops, routing, journal } = region;
  const { shards, owned, storeAway } = routing.health;
  const owning = region.ownedShards();
  return {
    intentVersion: intents.intent.version,
    etcdReady: watch.answering("etcd"),
    redisReady: watch.answering("redis"),
    popHosts: pops.hosts.map(({ hostId, link, appliedVersion, refused }) => ({
      hostId,
      linked: link.name === "linked",
      appliedVersion,
      refusing: refused !== null,
    })),
    shards,
    shardsOwned: owned,
    shardsInMemoryOnly: storeAway,
    contactsByState: countBy(owning.flatMap(({ contacts }) => Object.values(contacts))),
    agentsByState: countBy(owning.flatMap(({ agents }) => Object.values(agents))),
    decisionsDropped: journal.dropped,
  };
}

function countBy(things: readonly { readonly state: { readonly name: string } }[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { state } of things) counts[state.name] = (counts[state.name] ?? 0) + 1;
  return counts;
}
