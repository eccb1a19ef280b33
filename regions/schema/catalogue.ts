// All region files together: each by its schema, then what must hold between them. Pure; the caller reads the files.

import { parseDocument } from "yaml";
import { type ConfigMistake, parseConfig } from "../../kernel/config.ts";
import { fail, type Outcome, succeed } from "../../kernel/outcome.ts";
import { type Pop, type PopHost, type Region, RegionSchema } from "./region.ts";

export interface RegionFile {
  /** As in messages: "eu.yaml". */
  readonly name: string;
  readonly text: string;
}

export interface CatalogueMistake extends ConfigMistake {
  readonly file: string;
}

export interface CatalogueInvalid {
  readonly code: "catalogue.invalid";
  readonly mistakes: readonly CatalogueMistake[];
}

/** Every region, by id, in the order of their local numbers. */
export type Catalogue = ReadonlyMap<string, Region>;

interface Placed {
  readonly file: string;
  readonly region: Region;
}

/** @fails catalogue.invalid with every mistake of every file */
export function loadCatalogue(files: readonly RegionFile[]): Outcome<Catalogue, CatalogueInvalid> {
  const mistakes: CatalogueMistake[] = [];
  const placed: Placed[] = [];
  for (const file of files) {
    const region = loadRegion(file);
    if (region.ok) placed.push({ file: file.name, region: region.value });
    else mistakes.push(...region.failure.mistakes);
  }
  mistakes.push(...placed.flatMap(withinRegion));
  // References to a file that did not parse would be reported as missing: only whole catalogues are compared.
  if (placed.length === files.length) mistakes.push(...betweenRegions(placed));
  if (mistakes.length > 0) return fail({ code: "catalogue.invalid", mistakes });
  const ordered = placed.map(({ region }) => region).sort((a, b) => a.local.number - b.local.number);
  return succeed(new Map(ordered.map((region) => [region.region, region])));
}

/** One file by its schema alone. @fails catalogue.invalid */
export function loadRegion({ name, text }: RegionFile): Outcome<Region, CatalogueInvalid> {
  const document = parseDocument(text);
  const syntax = document.errors.map((error) => ({ file: name, path: "", message: error.message }));
  if (syntax.length > 0) return fail({ code: "catalogue.invalid", mistakes: syntax });
  const parsed = parseConfig(RegionSchema, document.toJS());
  if (parsed.ok) return parsed;
  return fail({
    code: "catalogue.invalid",
    mistakes: parsed.failure.mistakes.map((mistake) => ({ file: name, ...mistake })),
  });
}

export const showCatalogueMistakes = (mistakes: readonly CatalogueMistake[]): string =>
  mistakes.map(({ file, path, message }) => `  ${file}: ${path === "" ? "(whole)" : path}: ${message}`).join("\n");

/** What must hold inside one region beyond its fields. */
function withinRegion({ file, region }: Placed): CatalogueMistake[] {
  const mistakes: CatalogueMistake[] = [];
  const mistake = (path: string, message: string) => mistakes.push({ file, path, message });

  if (file.replace(/\.ya?ml$/, "") !== region.region)
    mistake("region", `is "${region.region}", but the file is ${file}`);

  const prefix = `127.10.${region.local.number}.`;
  for (const { path, address } of addresses(region))
    if (!address.startsWith(prefix)) mistake(path, `${address} is not in the region's own range ${prefix}0/24`);

  if (!("servedBy" in region.controlPlane)) {
    const { etcd, zones } = region.controlPlane;
    if (new Set(zones).size !== zones.length) mistake("controlPlane.zones", "a zone is named twice");
    if (new Set(etcd.map(({ zone }) => zone)).size !== etcd.length)
      mistake("controlPlane.etcd", "two members in one zone: that zone's loss could take the quorum");
  }

  region.pops.forEach((pop, at) => {
    for (const [path, message] of twinMistakes(pop)) mistake(`pops.${at}.${path}`, message);
  });

  if (region.failoverOrder.includes(region.region)) mistake("failoverOrder", "names the region itself");
  if (new Set(region.failoverOrder).size !== region.failoverOrder.length)
    mistake("failoverOrder", "names a region twice");
  return mistakes;
}

function twinMistakes(pop: Pop): [path: string, message: string][] {
  const mistakes: [string, string][] = [];
  const byId = new Map<string, PopHost>(pop.hosts.map((host) => [host.id, host]));
  pop.hosts.forEach((host, at) => {
    if (!host.id.startsWith(`${pop.id}-`)) mistakes.push([`hosts.${at}.id`, `${host.id} is not named after ${pop.id}`]);
    const twin = byId.get(host.twin);
    if (host.twin === host.id) mistakes.push([`hosts.${at}.twin`, "a host is not its own twin"]);
    else if (twin === undefined) mistakes.push([`hosts.${at}.twin`, `${host.twin} is no host of ${pop.id}`]);
    else if (twin.twin !== host.id)
      mistakes.push([`hosts.${at}.twin`, `${twin.id} names ${twin.twin} as its twin, not ${host.id}`]);
    else if (twin.zone === host.zone)
      mistakes.push([`hosts.${at}.zone`, `same zone as its twin ${twin.id}: ${host.zone}`]);
  });
  return mistakes;
}

/** What must hold between regions: unique names and addresses, references that exist, residency. */
function betweenRegions(placed: readonly Placed[]): CatalogueMistake[] {
  const byId = new Map(placed.map(({ region }) => [region.region, region]));
  return [
    ...repeated(placed, ({ region }) => [{ path: "region", value: region.region }]),
    ...repeated(placed, ({ region }) => [{ path: "local.number", value: String(region.local.number) }]),
    ...repeated(placed, ({ region }) => region.pops.map(({ id }, at) => ({ path: `pops.${at}.id`, value: id }))),
    ...repeated(placed, ({ region }) =>
      region.pops.flatMap(({ hosts }, at) =>
        hosts.map(({ id }, host) => ({ path: `pops.${at}.hosts.${host}.id`, value: id })),
      ),
    ),
    ...repeated(placed, ({ region }) =>
      "servedBy" in region.controlPlane
        ? []
        : region.controlPlane.etcd.map(({ member }, at) => ({ path: `controlPlane.etcd.${at}.member`, value: member })),
    ),
    ...repeated(placed, ({ region }) => addresses(region).map(({ path, address }) => ({ path, value: address }))),
    ...placed.flatMap((one) => references(one, byId)),
  ];
}

function references({ file, region }: Placed, byId: ReadonlyMap<string, Region>): CatalogueMistake[] {
  const mistakes: CatalogueMistake[] = [];
  const mistake = (path: string, message: string) => mistakes.push({ file, path, message });

  if ("servedBy" in region.controlPlane) {
    const { servedBy } = region.controlPlane;
    const server = byId.get(servedBy);
    if (server === undefined) mistake("controlPlane.servedBy", `no region ${servedBy}`);
    else if ("servedBy" in server.controlPlane)
      mistake("controlPlane.servedBy", `${servedBy} has no control plane of its own`);
  }

  region.failoverOrder.forEach((id, at) => {
    if (!byId.has(id)) mistake(`failoverOrder.${at}`, `no region ${id}`);
  });

  // Residency: traffic that must stay in the group is tried first where it may go, and every place it may go is tried.
  const sameGroup = (id: string) => byId.get(id)?.residencyGroup === region.residencyGroup;
  const lastInside = region.failoverOrder.findLastIndex(sameGroup);
  const firstOutside = region.failoverOrder.findIndex((id) => byId.has(id) && !sameGroup(id));
  if (firstOutside !== -1 && firstOutside < lastInside)
    mistake("failoverOrder", `${region.failoverOrder[lastInside]} is of the same residency group: it goes first`);
  for (const other of byId.values())
    if (other !== region && sameGroup(other.region) && !region.failoverOrder.includes(other.region))
      mistake("failoverOrder", `${other.region} is missing, though of the same residency group`);
  return mistakes;
}

interface AddressAt {
  readonly path: string;
  readonly address: string;
}

/** Every loopback address a region claims. Its first etcd member may share the control plane's. */
function addresses(region: Region): AddressAt[] {
  const own = region.local.controlPlaneAddress;
  const members = "servedBy" in region.controlPlane ? [] : region.controlPlane.etcd;
  return [
    { path: "local.controlPlaneAddress", address: own },
    ...members.flatMap(({ localAddress }, at) =>
      at === 0 && localAddress === own ? [] : [{ path: `controlPlane.etcd.${at}.localAddress`, address: localAddress }],
    ),
    ...region.pops.flatMap(({ hosts }, at) =>
      hosts.flatMap(({ localAddress, managementAddress }, host) => [
        { path: `pops.${at}.hosts.${host}.localAddress`, address: localAddress },
        { path: `pops.${at}.hosts.${host}.managementAddress`, address: managementAddress },
      ]),
    ),
  ];
}

/** A mistake for each value that an earlier place has already taken. */
function repeated(
  placed: readonly Placed[],
  list: (one: Placed) => readonly { readonly path: string; readonly value: string }[],
): CatalogueMistake[] {
  const takenBy = new Map<string, string>();
  const mistakes: CatalogueMistake[] = [];
  for (const one of placed)
    for (const { path, value } of list(one)) {
      const first = takenBy.get(value);
      if (first === undefined) takenBy.set(value, `${one.file} ${path}`);
      else mistakes.push({ file: one.file, path, message: `${value} is already taken by ${first}` });
    }
  return mistakes;
}
