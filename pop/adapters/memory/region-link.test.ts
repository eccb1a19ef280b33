import assert from "node:assert/strict";
import { regionLinkContract } from "../../boundary/region-link.contract.ts";
import { MemoryRegionLink, type MemoryReport } from "./region-link.ts";

regionLinkContract("memory", async () => {
  const link = new MemoryRegionLink();
  return {
    link,
    async heard<Kind extends MemoryReport["kind"]>(kind: Kind) {
      const fits = (report: MemoryReport): report is Extract<MemoryReport, { kind: Kind }> => report.kind === kind;
      for (let tries = 0; tries < 100; tries++) {
        const found = link.reports.find(fits);
        if (found !== undefined) {
          link.reports.splice(link.reports.indexOf(found), 1);
          return found;
        }
        link.pass(100);
      }
      return assert.fail(`no ${kind} within 10 s`);
    },
    send: (snapshot) => link.send(snapshot),
    sendUnreadable: (version) => link.sendUnreadable(version, [{ path: "tenants[0].id", message: "is missing" }]),
    command: (id, command) => link.command(id, command),
    async goAway() {
      link.goAway();
    },
    async comeBack() {
      link.comeBack();
    },
    async close() {},
  };
});
