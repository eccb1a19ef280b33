import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { PLAIN } from "../../../cli/terminal/colour.ts";
import type { DrillReport } from "./drill-report.ts";
import { htmlReport } from "./html.ts";
import { textReport } from "./text.ts";

/** report.json, report.txt and report.html. JSON knows no Infinity: a spread that has it says null. */
export function writeReport(report: DrillReport, folder: string): void {
  writeFileSync(join(folder, "report.json"), `${JSON.stringify(report, null, 2)}\n`);
  writeFileSync(join(folder, "report.txt"), textReport(report, PLAIN));
  writeFileSync(join(folder, "report.html"), htmlReport(report));
}
