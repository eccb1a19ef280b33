import type { Region } from "./region.ts";

/** The catalogue on one page, for people. */
export function regionTable(regions: readonly Region[]): string {
  const rows = [
    ["region", "name", "residency", "control plane", "POPs", "media services", "fails over to", "local"],
    ...regions.map((region) => [
      region.region,
      region.name,
      region.residencyGroup,
      "servedBy" in region.controlPlane ? `(${region.controlPlane.servedBy})` : region.controlPlane.city,
      region.pops.map(({ id, hosts }) => `${id}×${hosts.length}`).join(" "),
      region.mediaServices.map(({ city }) => city).join(", ") || "(POP hosts)",
      region.failoverOrder.join(" "),
      `127.10.${region.local.number}.x`,
    ]),
  ];
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  const lines = rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
  const pops = regions.flatMap(({ pops }) => pops);
  const hosts = pops.flatMap((pop) => pop.hosts);
  return [...lines, "", `${regions.length} regions, ${pops.length} POPs, ${hosts.length} POP hosts: valid`].join("\n");
}
