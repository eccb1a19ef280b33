import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { CATALOGUE_FOLDER, readCatalogue } from "./read-catalogue.ts";
import { loadCatalogue } from "./schema/catalogue.ts";
import { regionTable } from "./schema/region-table.ts";

const files = readdirSync(CATALOGUE_FOLDER)
  .filter((name) => name.endsWith(".yaml"))
  .map((name) => ({ name, text: readFileSync(join(CATALOGUE_FOLDER, name), "utf8") }));

/** What the loader says about the real catalogue with one file changed. */
function mistakesAfter(name: string, change: (text: string) => string): string[] {
  const changed = files.map((file) => (file.name === name ? { name, text: change(file.text) } : file));
  assert.notDeepEqual(changed, files, "the change found nothing to change");
  const loaded = loadCatalogue(changed);
  return loaded.ok ? [] : loaded.failure.mistakes.map(({ file, path, message }) => `${file} ${path}: ${message}`);
}

test("the catalogue holds the nine geos, and Brazil and India are served by another region's control plane", () => {
  const catalogue = readCatalogue();
  assert.ok(catalogue.ok, JSON.stringify(catalogue));
  assert.deepEqual([...catalogue.value.keys()], ["eu", "us", "ca", "br", "uk", "in", "sg", "jp", "au"]);
  assert.deepEqual(catalogue.value.get("br")?.controlPlane, { servedBy: "us" });
  assert.deepEqual(catalogue.value.get("in")?.controlPlane, { servedBy: "sg" });
  assert.equal(catalogue.value.get("eu")?.pops[0]?.hosts[1]?.localAddress, "127.10.1.12");
  assert.match(regionTable([...catalogue.value.values()]), /9 regions, 16 POPs, 32 POP hosts: valid$/);
});

test("every mistake of every file is listed, not only the first", () => {
  const broken = files.map(({ name, text }) => ({
    name,
    text:
      name === "eu.yaml" ? text.replace("region: eu", "region: Europe").replace("name: Europe\n", "nmae: x\n") : text,
  }));
  const loaded = loadCatalogue([...broken, { name: "xx.yaml", text: "region: [" }]);
  assert.ok(!loaded.ok);
  const said = loaded.failure.mistakes.map(({ file, path, message }) => `${file} ${path} ${message}`).join("\n");
  assert.match(said, /eu\.yaml region two lower-case letters/);
  assert.match(said, /eu\.yaml name /);
  assert.match(said, /eu\.yaml .*nmae/);
  assert.match(said, /xx\.yaml /);
});

const CASES: readonly [name: string, file: string, change: (text: string) => string, expected: RegExp][] = [
  [
    "a POP id used twice",
    "uk.yaml",
    (text) => text.replaceAll("lon-01", "fra-01"),
    /fra-01 is already taken by eu.yaml/,
  ],
  ["an address used twice", "eu.yaml", (text) => text.replace("127.10.1.22", "127.10.1.11"), /127.10.1.11 is already/],
  [
    "an address of another region",
    "eu.yaml",
    (text) => text.replace("127.10.1.22", "127.10.2.99"),
    /own range 127.10.1.0/,
  ],
  ["twins in one zone", "eu.yaml", (text) => text.replace("zone: ams-b", "zone: ams-a"), /same zone as its twin/],
  [
    "a twin that names another",
    "eu.yaml",
    (text) => text.replace("twin: ams-01-a", "twin: ams-01-b"),
    /not its own twin/,
  ],
  [
    "a twin that does not exist",
    "eu.yaml",
    (text) => text.replace("twin: ams-01-a", "twin: fra-01-a"),
    /no host of ams-01/,
  ],
  ["failover to itself", "uk.yaml", (text) => text.replace("[eu, us]", "[eu, uk]"), /names the region itself/],
  ["failover to nowhere", "uk.yaml", (text) => text.replace("[eu, us]", "[eu, zz]"), /no region zz/],
  ["a foreign residency group first", "uk.yaml", (text) => text.replace("[eu, us]", "[us, eu]"), /it goes first/],
  ["a region of the group left out", "uk.yaml", (text) => text.replace("[eu, us]", "[us]"), /eu is missing/],
  [
    "a control plane that does not exist",
    "br.yaml",
    (text) => text.replace("servedBy: us", "servedBy: zz"),
    /no region zz/,
  ],
  [
    "a control plane at one that has none",
    "br.yaml",
    (text) => text.replace("servedBy: us", "servedBy: in"),
    /of its own/,
  ],
  ["two etcd members in one zone", "eu.yaml", (text) => text.replace("zone: fra-c", "zone: fra-b"), /take the quorum/],
  ["a misspelt key", "eu.yaml", (text) => text.replace("failoverOrder", "failOverOrder"), /failOverOrder/],
];

for (const [name, file, change, expected] of CASES)
  test(`refused: ${name}`, () => {
    const said = mistakesAfter(file, change).join("\n");
    assert.match(said, expected);
  });
