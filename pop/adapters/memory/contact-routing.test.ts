import assert from "node:assert/strict";
import { contactRoutingContract } from "../../boundary/contact-routing.contract.ts";
import { MemoryContactRouting } from "./contact-routing.ts";

contactRoutingContract("memory", async () => {
  const routing = new MemoryContactRouting();
  return {
    routing,
    heard: async () => routing.reports.shift() ?? assert.fail("nothing was heard"),
    async linked() {},
    direct: (directive) => routing.direct(directive),
    async goAway() {
      routing.goAway();
    },
    async comeBack() {
      routing.comeBack();
    },
    async close() {},
  };
});
