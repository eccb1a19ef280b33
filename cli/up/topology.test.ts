import assert from "node:assert/strict";
import { test } from "node:test";
import type { z } from "zod";
import { controlPlaneConfigSchema } from "../../control-plane/config/control-plane-config.ts";
import { parseConfig, showMistakes } from "../../kernel/config.ts";
import { PopConfig } from "../../pop/config/pop-config.ts";
import { KeeperConfig } from "../../pop/keeper/config/keeper-config.ts";
import { mediaWorkerConfig } from "../../pop/media-worker/config/media-worker-config.ts";
import { SipServerConfigSchema } from "../../pop/sip-server/config/sip-server-config.ts";
import { readCatalogue } from "../../regions/read-catalogue.ts";
import { controlPlaneRegionOf } from "../../regions/schema/region.ts";
import { type ProcessPlan, planTopology, type TopologyOptions } from "./topology.ts";

const catalogue = readCatalogue();
assert.ok(catalogue.ok);
const region = (id: string) => {
  const found = catalogue.value.get(id);
  assert.ok(found !== undefined);
  return found;
};
const options = (more: Partial<TopologyOptions> = {}): TopologyOptions => ({
  region: region("eu"),
  controlPlaneRegion: region("eu"),
  servedHosts: [],
  dataDir: "/data",
  checkout: "/checkout",
  promptsDir: "/prompts",
  node: "/node",
  secrets: { redisPassword: "pw" },
  ...more,
});
const names = (more: Partial<TopologyOptions> = {}) => planTopology(options(more)).map(({ name }) => name);

/** What the processes of a host are started with, as its keeper is told. */
const keeperConfigOf = (plan: ProcessPlan | undefined) => KeeperConfig.parse(JSON.parse(plan?.files[0]?.text ?? "{}"));
const keepers = (more: Partial<TopologyOptions> = {}) =>
  planTopology(options(more)).filter(({ kind }) => kind === "keeper");

test("first what needs nothing of ours, then the control plane and the hosts", () => {
  assert.deepEqual(
    planTopology(options()).map(({ name, stage }) => `${stage} ${name}`),
    ["0 etcd", "0 redis", "1 control-plane", "1 fra-01-a/keeper", "1 fra-01-b/keeper"],
  );
});

test("one host, no control plane, no Redis: each can be left out", () => {
  assert.deepEqual(names({ hosts: ["fra-01-b"], controlPlane: false, redis: false }), ["fra-01-b/keeper"]);
  assert.deepEqual(names({ hosts: ["fra-01-b"], controlPlane: false }), ["redis", "fra-01-b/keeper"]);
  const [alone] = keepers({ hosts: ["fra-01-b"], controlPlane: false, redis: false }).map(keeperConfigOf);
  assert.deepEqual(
    [alone?.twin, alone?.etcd, alone?.redis, alone?.services.length],
    [undefined, undefined, undefined, 1],
  );
});

test("a keeper can serve its twin's service: at the same address and ports, under the same name, in a folder of its own", () => {
  const [a, b] = keepers().map(keeperConfigOf);
  assert.ok(a !== undefined && b !== undefined);
  const [home, guest] = [a.services[0], b.services[1]];
  assert.ok(home !== undefined && guest !== undefined);
  assert.equal(a.twin?.hostId, "fra-01-b");
  assert.equal(guest.service, "fra-01-a");
  assert.deepEqual(guest.sipServer, home.sipServer);
  assert.deepEqual([guest.pop.hostId, guest.pop.sip, guest.pop.http], [home.pop.hostId, home.pop.sip, home.pop.http]);
  assert.notEqual(guest.pop.dataDir, home.pop.dataDir);
  assert.equal(guest.pop.snapshotFallbackFile, "/data/eu/fra-01-b/data/snapshot.json");
  assert.deepEqual(guest.relay.redis?.databases, home.relay.redis?.databases);
});

test("every host's relay has two databases of its own, and Redis has that many", () => {
  const conf = planTopology(options()).find(({ kind }) => kind === "redis")?.files[0]?.text ?? "";
  const allowed = Number(/^databases (\d+)$/m.exec(conf)?.[1]);
  for (const one of catalogue.value.values()) {
    const hosts = one.pops.flatMap((pop) => pop.hosts.map(({ id }) => id));
    const plans = keepers({ region: one, controlPlaneRegion: one, hosts }).map(keeperConfigOf);
    const own = plans.flatMap(({ services }) => services[0]?.relay.redis?.databases ?? []);
    assert.equal(new Set([0, ...own]).size, 2 * hosts.length + 1);
    assert.ok(own.every((number) => number < allowed));
  }
});

test("a region without a control plane of its own links to the one that serves it", () => {
  const plans = planTopology(options({ region: region("br"), controlPlaneRegion: region("us") }));
  assert.deepEqual(
    plans.filter(({ name }) => name === "etcd" || name === "control-plane"),
    [],
  );
  const keeper = plans.find(({ kind }) => kind === "keeper");
  const [home] = keeperConfigOf(keeper).services;
  assert.equal(PopConfig.parse(home?.pop).controlPlane.host, "127.10.2.1");
  assert.equal(keeper?.links[2]?.target, "/data/us/pki/hosts/gru-01-a.key");
});

test("no two processes of any two regions ask for the same address and port", () => {
  const all = [...catalogue.value.values()].flatMap((one) => {
    const hosts = one.pops.flatMap((pop) => pop.hosts.map(({ id }) => id));
    return planTopology(options({ region: one, controlPlaneRegion: one, hosts })).flatMap(({ listens }) =>
      listens.map(({ transport, host, port }) => `${transport} ${host}:${port}`),
    );
  });
  assert.equal(new Set(all).size, all.length);
});

test("no secret stands on a command line", () => {
  for (const { name, args } of planTopology(options())) assert.ok(!args.some((word) => word.includes("pw")), name);
});

test("a caller may have the last word on a configuration", () => {
  const plans = planTopology(
    options({ configure: ({ kind }, config) => (kind === "pop" ? { ...config, callsConcurrentMax: 1 } : config) }),
  );
  const limits = plans.map(({ files }) => files[0]?.text.match(/"callsConcurrentMax"/g)?.length ?? 0);
  assert.deepEqual(limits, [0, 0, 0, 2, 2], "of each host's own service, and of its twin's");
});

test("every process of every region takes the configuration it is given", () => {
  for (const one of catalogue.value.values()) {
    const hosts = one.pops.flatMap((pop) => pop.hosts.map(({ id }) => id));
    const serving = region(controlPlaneRegionOf(one));
    const takes = (name: string, schema: z.ZodType, config: unknown) => {
      const parsed = parseConfig(schema, config);
      assert.ok(parsed.ok, `${one.region} ${name}: ${parsed.ok ? "" : showMistakes(parsed.failure.mistakes)}`);
    };
    for (const plan of planTopology(options({ region: one, controlPlaneRegion: serving, hosts }))) {
      const config = () => JSON.parse(plan.files[0]?.text ?? "{}");
      if (plan.kind === "control-plane") takes(plan.name, controlPlaneConfigSchema, config());
      if (plan.kind !== "keeper") continue;
      takes(plan.name, KeeperConfig, config());
      for (const { service, sipServer, mediaWorker, pop } of keeperConfigOf(plan).services) {
        takes(`${plan.name} ${service} sip-server`, SipServerConfigSchema, sipServer);
        takes(`${plan.name} ${service} media-worker`, mediaWorkerConfig, mediaWorker);
        takes(`${plan.name} ${service} pop`, PopConfig, pop);
      }
    }
  }
});
