import { contactEventStoreContract } from "../../boundary/contact-event-store.contract.ts";
import { intentStoreContract } from "../../boundary/intent-store.contract.ts";
import { leaseStoreContract } from "../../boundary/lease-store.contract.ts";
import { queueShardStoreContract } from "../../boundary/queue-shard-store.contract.ts";
import { MemoryContactEventStore } from "./contact-event-store.ts";
import { MemoryIntentStore } from "./intent-store.ts";
import { MemoryLeaseStore } from "./lease-store.ts";
import { MemoryQueueShardStore } from "./queue-shard-store.ts";

const close = async () => {};

intentStoreContract("memory", async () => ({ store: new MemoryIntentStore(), close }));
queueShardStoreContract("memory", async () => ({ store: new MemoryQueueShardStore(), close }));
contactEventStoreContract("memory", async () => ({
  store: new MemoryContactEventStore({ contactsMax: 3, decisionsMax: 4 }),
  close,
}));
leaseStoreContract("memory", async () => {
  let nowMs = 0;
  const store = new MemoryLeaseStore({ nowMs: () => nowMs, unixMs: () => nowMs }, 5_000);
  return {
    store,
    close,
    lapse: async () => {
      nowMs += 5_001;
    },
  };
});
