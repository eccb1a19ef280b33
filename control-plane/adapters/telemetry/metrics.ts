import { collectDefaultMetrics, Gauge, Registry } from "prom-client";
import type { Vitals } from "../../boundary/vitals.ts";

export interface Metrics {
  read(): Promise<{ readonly contentType: string; readonly text: string }>;
}

export function openMetrics(vitals: () => Vitals): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const gauge = (name: string, help: string, labelNames: readonly string[], set: (gauge: Gauge, now: Vitals) => void) =>
    new Gauge({
      name: `control_plane_${name}`,
      help,
      labelNames,
      registers: [registry],
      collect() {
        this.reset();
        set(this, vitals());
      },
    });
  gauge("intent_version", "Version of the configuration in use", [], (g, now) => g.set(now.intentVersion));
  gauge("dependency_ready", "1: reachable", ["dependency"], (g, now) => {
    g.set({ dependency: "etcd" }, Number(now.etcdReady));
    g.set({ dependency: "redis" }, Number(now.redisReady));
  });
  gauge("pop_host_linked", "1: its stream is up", ["host"], (g, now) => {
    for (const { hostId, linked } of now.popHosts) g.set({ host: hostId }, Number(linked));
  });
  gauge("pop_host_applied_version", "Version that serves calls", ["host"], (g, now) => {
    for (const { hostId, appliedVersion } of now.popHosts) g.set({ host: hostId }, appliedVersion);
  });
  gauge("pop_host_refusing", "1: refused the newest snapshot it was sent", ["host"], (g, now) => {
    for (const { hostId, refusing } of now.popHosts) g.set({ host: hostId }, Number(refusing));
  });
  gauge("shards", "Queue shards of all tenants", [], (g, now) => g.set(now.shards));
  gauge("shards_owned", "Queue shards that this replica owns", [], (g, now) => g.set(now.shardsOwned));
  gauge("shards_in_memory_only", "Owned, and Redis does not take them", [], (g, now) => g.set(now.shardsInMemoryOnly));
  gauge("contacts", "Contacts in owned shards", ["state"], (g, now) => {
    for (const [state, count] of Object.entries(now.contactsByState)) g.set({ state }, count);
  });
  gauge("agents", "Signed-in agents of owned shards", ["state"], (g, now) => {
    for (const [state, count] of Object.entries(now.agentsByState)) g.set({ state }, count);
  });
  gauge("decisions_dropped", "Journal entries lost while Redis was away", [], (g, now) => g.set(now.decisionsDropped));
  return {
    read: async () => ({ contentType: registry.contentType, text: await registry.metrics() }),
  };
}
