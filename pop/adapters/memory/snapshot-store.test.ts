import { snapshotStoreContract } from "../../boundary/snapshot-store.contract.ts";
import { MemorySnapshotStore } from "./snapshot-store.ts";

snapshotStoreContract("memory", () => new MemorySnapshotStore());
