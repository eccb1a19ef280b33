import { ownerStoreContract } from "../../boundary/owner-store.contract.ts";
import { MemoryOwnerStore, OwnerRecords } from "./owner-store.ts";

ownerStoreContract("memory", async () => {
  const records = new OwnerRecords();
  return {
    store: new MemoryOwnerStore(records),
    other: new MemoryOwnerStore(records),
    away: async (away) => {
      records.away = away;
    },
    close: async () => {},
  };
});
