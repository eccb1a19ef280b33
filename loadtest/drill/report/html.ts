import type { DrillReport } from "./drill-report.ts";
export const htmlReport = (report: DrillReport): string => `<pre>${report.drill}</pre>`;
