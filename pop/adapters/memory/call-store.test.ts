import { callStoreContract } from "../../boundary/call-store.contract.ts";
import { MemoryCallStore } from "./call-store.ts";

callStoreContract("memory", async () => {
  const first = new MemoryCallStore();
  let opened = 0;
  return {
    open: async () => (opened++ === 0 ? first : new MemoryCallStore(first.written)),
    async goAway() {
      first.away();
    },
    async comeBackEmpty() {
      first.back(true);
    },
    async close() {},
  };
});
