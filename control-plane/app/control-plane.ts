// One replica of the control plane, put together from its stores: what main.ts starts and tests start with memory.

import type { Log } from "../../kernel/log.ts";
import type { Rng } from "../../kernel/rng.ts";
import type { Clock } from "../../kernel/time.ts";
import type { ContactEventStore } from "../boundary/contact-event-store.ts";
import type { IntentStore } from "../boundary/intent-store.ts";
import type { LeaseStore } from "../boundary/lease-store.ts";
import type { QueueShardStore } from "../boundary/queue-shard-store.ts";
import { HostEpochs } from "../core/pop-registry/host-epochs.ts";
import type { ShardState, ShardTiming } from "../core/queue/shard-state.ts";
import { tenantsOf } from "../core/tenancy/intent.ts";
import { ContactRouter } from "./contact-router.ts";
import { DecisionJournal } from "./decision-journal.ts";
import { IntentKeeper } from "./intent-keeper.ts";
import { LOST_CONTACTS_TIMING, LostContacts, type LostContactsTiming } from "./lost-contacts.ts";
import { PopLinks } from "./pop-links.ts";
import type { OwnerTiming } from "./shard-owner.ts";

export interface ControlPlaneParts {
  readonly regionId: string;
  readonly replicaId: string;
  readonly intents: IntentStore;
  readonly leases: LeaseStore;
  readonly shards: QueueShardStore;
  readonly events: ContactEventStore;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Log;
  readonly shardTiming: ShardTiming;
  readonly ownerTiming: OwnerTiming;
  readonly presenceIntervalMs: number;
  readonly commandTimeoutMs: number;
  readonly decisionsPendingMax: number;
  readonly lostContactsTiming?: LostContactsTiming;
}

export class ControlPlane {
  readonly intents: IntentKeeper;
  readonly pops: PopLinks;
  readonly routing: ContactRouter;
  readonly journal: DecisionJournal;
  readonly #lostContacts: LostContacts;

  constructor(parts: ControlPlaneParts) {
    const { regionId, clock, rng, log } = parts;
    const isReady = () => this.intents.loaded;
    const epochs = new HostEpochs();
    this.intents = new IntentKeeper({ store: parts.intents, clock, rng, log });
    this.journal = new DecisionJournal(parts.events, parts.decisionsPendingMax);
    const timing = parts.lostContactsTiming ?? LOST_CONTACTS_TIMING;
    this.#lostContacts = new LostContacts({ regionId, events: parts.events, clock, log, timing });
    this.pops = new PopLinks({
      regionId,
      presenceIntervalMs: parts.presenceIntervalMs,
      commandTimeoutMs: parts.commandTimeoutMs,
      snapshot: () => this.intents.snapshot,
      isReady,
      epochs,
      linked: (hostId, held) => this.#lostContacts.hostLinked(hostId, held),
      clock,
      rng,
      log,
    });
    this.routing = new ContactRouter({
      regionId,
      replicaId: parts.replicaId,
      leases: parts.leases,
      shards: parts.shards,
      clock,
      log,
      shardTiming: parts.shardTiming,
      ownerTiming: parts.ownerTiming,
      isReady,
      epochs,
      decided: (_tenantId, contactId, decision) => this.journal.add(contactId, decision),
    });
    this.intents.onChange((intent) => {
      this.routing.configure(intent);
      this.pops.pushNewest();
    });
  }

  start(): void {
    this.intents.start();
  }

  /** Streams end first, so that hosts look elsewhere while the shards are kept and given back. */
  async stop(): Promise<void> {
    this.intents.stop();
    this.pops.stop();
    this.#lostContacts.stop();
    await this.routing.stop();
    await this.journal.stop();
  }

  /** The shards that this replica owns. */
  ownedShards(): readonly ShardState[] {
    return tenantsOf(this.intents.intent)
      .map((tenantId) => this.routing.shard(tenantId))
      .filter((shard) => shard?.ownership === "owned")
      .flatMap((shard) => (shard ? [shard.state] : []));
  }
}
