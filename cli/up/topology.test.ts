import assert from "node:assert/strict";
import { test } from "node:test";
import type { z } from "zod";
import { controlPlaneConfigSchema } from "../../control-plane/config/control-plane-config.ts";
import { parseConfig, showMistakes } from "../../kernel/config.ts";
import { PopConfig } from "../../pop/config/pop-config.ts";
import { mediaWorkerConfig } from "../../pop/media-worker/config/media-worker-config.ts";
import { SipServerConfigSchema } from "../../pop/sip-server/config/sip-server-config.ts";
import { readCatalogue } from "../../regions/read-catalogue.ts";
import { controlPlaneRegionOf } from "../../regions/schema/region.ts";
import { type ProcessKind, planTopology, type TopologyOptions } from "./topology.ts";

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

test("first what needs nothing of ours, then the control plane, then the POPs", () => {
  assert.deepEqual(
    planTopology(options()).map(({ name, stage }) => `${stage} ${name}`),
    [
      "0 etcd",
      "0 redis",
      "0 fra-01-a/sip-server",
      "0 fra-01-a/rtpengine",
      "0 fra-01-a/media-worker",
      "0 fra-01-b/sip-server",
      "0 fra-01-b/rtpengine",
      "0 fra-01-b/media-worker",
      "1 control-plane",
      "2 fra-01-a/pop",
      "2 fra-01-b/pop",
    ],
  );
});

test("one host, no control plane, no Redis: each can be left out", () => {
  const four = ["fra-01-b/sip-server", "fra-01-b/rtpengine", "fra-01-b/media-worker", "fra-01-b/pop"];
  assert.deepEqual(names({ hosts: ["fra-01-b"], controlPlane: false, redis: false }), four);
  assert.deepEqual(names({ hosts: ["fra-01-b"], controlPlane: false }), ["redis", ...four]);
});

test("a region without a control plane of its own links to the one that serves it", () => {
  const plans = planTopology(options({ region: region("br"), controlPlaneRegion: region("us") }));
  assert.deepEqual(
    plans.filter(({ name }) => name === "etcd" || name === "control-plane"),
    [],
  );
  const pop = plans.find(({ kind }) => kind === "pop");
  const config = JSON.parse(pop?.files[0]?.text ?? "{}");
  assert.equal(config.controlPlane.host, "127.10.2.1");
  assert.equal(pop?.links[2]?.target, "/data/us/pki/hosts/gru-01-a.key");
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
  const limits = plans.map(({ files }) => (files[0] === undefined ? 0 : files[0].text.includes("callsConcurrentMax")));
  assert.equal(limits.filter(Boolean).length, 2);
});

const SCHEMAS: Partial<Record<ProcessKind, z.ZodType>> = {
  "control-plane": controlPlaneConfigSchema,
  "sip-server": SipServerConfigSchema,
  "media-worker": mediaWorkerConfig,
  pop: PopConfig,
};

test("every process of every region takes the configuration it is given", () => {
  for (const one of catalogue.value.values()) {
    const hosts = one.pops.flatMap((pop) => pop.hosts.map(({ id }) => id));
    const serving = region(controlPlaneRegionOf(one));
    for (const { name, kind, files } of planTopology(options({ region: one, controlPlaneRegion: serving, hosts }))) {
      const schema = SCHEMAS[kind];
      if (schema === undefined) continue;
      const parsed = parseConfig(schema, JSON.parse(files[0]?.text ?? "{}"));
      assert.ok(parsed.ok, `${one.region} ${name}: ${parsed.ok ? "" : showMistakes(parsed.failure.mistakes)}`);
    }
  }
});
