// Between POP hosts' streams and tenants' shards: who brought what, and whom an effect goes to.

import type { AgentId, CallId, PopHostId, TenantId } from "../../kernel/ids.ts";
import { asId } from "../../kernel/ids.ts";
import type { Log } from "../../kernel/log.ts";
import { fail, type Outcome, succeed } from "../../kernel/outcome.ts";
import type { Clock } from "../../kernel/time.ts";
import type { ContactRouting, RoutingDirective, RoutingLink, RoutingReport } from "../boundary/contact-routing.ts";
import type { LeaseStore } from "../boundary/lease-store.ts";
import type { AdmissionFailure } from "../boundary/pop-links.ts";
import type { QueueShardStore } from "../boundary/queue-shard-store.ts";
import type { HostEpochs } from "../core/pop-registry/host-epochs.ts";
import type { AgentChoice, Decision, RefusalCode, ShardEffect } from "../core/queue/shard-messages.ts";
import type { Directory, ShardState, ShardTiming } from "../core/queue/shard-state.ts";
import { type Intent, objectsOf, tenantsOf } from "../core/tenancy/intent.ts";
import { Outbox } from "./outbox.ts";
import { type Ownership, type OwnerTiming, type ShardNews, ShardOwner } from "./shard-owner.ts";

const OUTBOX_MAX = 20_000;
const OWNED_WITHIN_MS = 3_000;

interface Link {
  readonly hostId: PopHostId;
  readonly outbox: Outbox<RoutingDirective>;
  /** Answers name only the contact. */
  readonly tenantOf: Map<CallId, TenantId>;
}

export interface ContactRouterParts {
  readonly regionId: string;
  readonly replicaId: string;
  readonly leases: LeaseStore;
  readonly shards: QueueShardStore;
  readonly clock: Clock;
  readonly log: Log;
  readonly shardTiming: ShardTiming;
  readonly ownerTiming: OwnerTiming;
  readonly isReady: () => boolean;
  readonly epochs: HostEpochs;
  readonly decided: (tenantId: TenantId, contactId: CallId, decision: Decision) => void;
}

export type AgentFailure =
  | { readonly code: "agent.signed-out"; readonly agentId: AgentId }
  | { readonly code: "shard.not-owned"; readonly tenantId: TenantId };

export class ContactRouter implements ContactRouting {
  readonly #parts: ContactRouterParts;
  readonly #owners = new Map<TenantId, ShardOwner>();
  readonly #links = new Map<PopHostId, Link>();
  #stopping = false;

  constructor(parts: ContactRouterParts) {
    this.#parts = parts;
  }

  /** Every tenant has a shard; whose it is, the leases say. */
  configure(intent: Intent): void {
    if (this.#stopping) return;
    const tenants = new Set(tenantsOf(intent));
    for (const [tenantId, owner] of this.#owners)
      if (!tenants.has(tenantId)) {
        this.#owners.delete(tenantId);
        void owner.stop();
      }
    for (const tenantId of tenants) {
      const directory = directoryOf(intent, tenantId, this.#parts.shardTiming);
      const known = this.#owners.get(tenantId);
      if (known) {
        known.configure(directory);
        continue;
      }
      const owner = this.#newOwner(tenantId, directory);
      this.#owners.set(tenantId, owner);
      for (const { hostId } of this.#links.values())
        owner.put({ kind: "host-linked", hostId, waiting: [], offers: [] });
      owner.start();
    }
  }

  /** @fails pop.not-itself, pop.superseded, region.starting, region.stopping */
  admit(
    hello: Extract<RoutingReport, { kind: "hello" }>,
    certificateOf: string,
  ): Outcome<RoutingLink, AdmissionFailure> {
    const { hostId, epoch } = hello;
    if (certificateOf !== hostId) return fail({ code: "pop.not-itself", hostId, certificateOf });
    if (this.#stopping) return fail({ code: "region.stopping" });
    if (!this.#parts.isReady()) return fail({ code: "region.starting" });
    const by = this.#parts.epochs.heard(hostId, epoch);
    if (by !== undefined) return fail({ code: "pop.superseded", hostId, epoch, by });
    const link: Link = { hostId, outbox: new Outbox(OUTBOX_MAX), tenantOf: new Map() };
    this.#links.get(hostId)?.outbox.close(); // the older stream of the same host
    this.#links.set(hostId, link);
    link.outbox.put({ kind: "welcome", regionId: this.#parts.regionId });
    this.#parts.log.info("routing.linked", { hostId, waiting: hello.waiting.length, offers: hello.offers.length });
    for (const { tenantId, contactId } of [...hello.waiting, ...hello.offers]) {
      link.tenantOf.set(contactId, tenantId);
      if (!this.#owners.has(tenantId)) this.#refuseContact(hostId, contactId, "queue.unknown", `no tenant ${tenantId}`);
    }
    for (const [tenantId, owner] of this.#owners)
      owner.put({
        kind: "host-linked",
        hostId,
        waiting: hello.waiting.filter((arrival) => arrival.tenantId === tenantId),
        offers: hello.offers.filter((offer) => offer.tenantId === tenantId),
      });
    return succeed({
      receive: (report) => {
        if (this.#links.get(hostId) === link) this.#receive(link, report);
      },
      directives: () => link.outbox,
      close: () => {
        link.outbox.close();
        if (this.#links.get(hostId) !== link) return; // a newer stream took over
        this.#links.delete(hostId);
        this.#parts.log.info("routing.lost", { hostId });
        for (const owner of this.#owners.values()) owner.put({ kind: "host-unlinked", hostId });
      },
    });
  }

  /** Undefined: no such tenant. */
  shard(
    tenantId: TenantId,
  ): { readonly ownership: Ownership; readonly epoch: number; readonly state: ShardState } | undefined {
    return this.#owners.get(tenantId);
  }

  get health(): {
    readonly shards: number;
    readonly owned: number;
    readonly leaseAway: number;
    readonly storeAway: number;
  } {
    const owners = [...this.#owners.values()];
    return {
      shards: owners.length,
      owned: owners.filter(({ ownership }) => ownership === "owned").length,
      leaseAway: owners.filter(({ leaseAway }) => leaseAway).length,
      storeAway: owners.filter(({ storeAway }) => storeAway).length,
    };
  }

  get linkedHosts(): readonly PopHostId[] {
    return [...this.#links.keys()];
  }

  /** @fails shard.not-owned */
  signIn(tenantId: TenantId, agentId: AgentId, address: string, as: AgentChoice): Promise<Outcome<void, AgentFailure>> {
    return this.#tell(tenantId, { kind: "agent-signed-in", agentId, address, as });
  }

  /** Signing out twice is no mistake. @fails shard.not-owned */
  signOut(tenantId: TenantId, agentId: AgentId): Promise<Outcome<void, AgentFailure>> {
    return this.#tell(tenantId, { kind: "agent-signed-out", agentId });
  }

  /** @fails agent.signed-out, shard.not-owned */
  setAgent(tenantId: TenantId, agentId: AgentId, to: AgentChoice): Promise<Outcome<void, AgentFailure>> {
    return this.#tell(tenantId, { kind: "agent-set", agentId, to }, ({ agents }) =>
      agents[agentId] === undefined ? { code: "agent.signed-out", agentId } : undefined,
    );
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    for (const { outbox } of this.#links.values()) outbox.close();
    await Promise.all([...this.#owners.values()].map((owner) => owner.stop()));
  }

  /** A shard that is just being taken is waited for: a tenant's first agent often signs in right after its first apply. */
  async #tell(
    tenantId: TenantId,
    news: ShardNews,
    objection: (state: ShardState) => AgentFailure | undefined = () => undefined,
  ): Promise<Outcome<void, AgentFailure>> {
    const owner = this.#owners.get(tenantId);
    if (owner === undefined || !(await owner.ownedWithin(OWNED_WITHIN_MS)))
      return fail({ code: "shard.not-owned", tenantId });
    const failure = objection(owner.state);
    if (failure) return fail(failure);
    owner.put(news);
    return succeed(undefined);
  }

  #receive(link: Link, report: RoutingReport): void {
    const { hostId } = link;
    switch (report.kind) {
      case "hello":
        return; // once is enough
      case "enqueue": {
        const { tenantId, contactId, queueId, priority, enqueuedAtMs } = report;
        const owner = this.#owners.get(tenantId);
        if (owner === undefined)
          return this.#refuseContact(hostId, contactId, "queue.unknown", `no tenant ${tenantId}`);
        link.tenantOf.set(contactId, tenantId);
        return owner.put({ kind: "enqueue", hostId, contactId, queueId, priority, enqueuedAtMs });
      }
      case "cancel": {
        const { tenantId, contactId, reason } = report;
        link.tenantOf.delete(contactId);
        return this.#owners.get(tenantId)?.put({ kind: "cancel", hostId, contactId, reason });
      }
      case "offer-accepted":
        return this.#ownerOf(link, report.contactId)?.put(report);
      case "offer-failed":
      case "agent-released": {
        this.#ownerOf(link, report.contactId)?.put(report);
        if (report.kind === "agent-released" || report.failure === "contact-gone")
          link.tenantOf.delete(report.contactId);
        return;
      }
    }
  }

  #ownerOf(link: Link, contactId: CallId): ShardOwner | undefined {
    const tenantId = link.tenantOf.get(contactId);
    if (tenantId === undefined) this.#parts.log.warn("routing.contact-unknown", { hostId: link.hostId, contactId });
    return tenantId === undefined ? undefined : this.#owners.get(tenantId);
  }

  #newOwner(tenantId: TenantId, directory: Directory): ShardOwner {
    const { replicaId, leases, shards, clock, log, ownerTiming } = this.#parts;
    return new ShardOwner(
      {
        tenantId,
        replicaId,
        leases,
        shards,
        clock,
        log,
        timing: ownerTiming,
        perform: (effect) => this.#perform(tenantId, effect),
        refuse: (news) => this.#refuse(tenantId, news),
        resync: () => {
          for (const { outbox } of this.#links.values()) outbox.close();
        },
      },
      directory,
    );
  }

  #perform(tenantId: TenantId, effect: ShardEffect): void {
    if (effect.kind === "decided") return this.#parts.decided(tenantId, effect.contactId, effect.decision);
    if (effect.kind === "refuse") this.#links.get(effect.hostId)?.tenantOf.delete(effect.contactId);
    this.#send(effect.hostId, effect);
  }

  /** Not ours to answer: contacts are told so, everything else will be said again at the next hello. */
  #refuse(tenantId: TenantId, news: ShardNews): void {
    const code = "shard.not-owned";
    const reason = `queues of ${tenantId} are another replica's`;
    if (news.kind === "enqueue") this.#refuseContact(news.hostId, news.contactId, code, reason);
    if (news.kind === "host-linked")
      for (const { contactId } of news.waiting) this.#refuseContact(news.hostId, contactId, code, reason);
  }

  #refuseContact(hostId: PopHostId, contactId: CallId, code: RefusalCode, reason: string): void {
    this.#links.get(hostId)?.tenantOf.delete(contactId);
    this.#send(hostId, { kind: "refuse", hostId, contactId, code, reason });
  }

  #send(hostId: PopHostId, directive: RoutingDirective): void {
    const link = this.#links.get(hostId);
    if (link === undefined || link.outbox.put(directive) || link.outbox.closed) return;
    this.#parts.log.warn("routing.host-too-slow", { hostId, waitingMax: OUTBOX_MAX });
    link.outbox.close();
  }
}

export function directoryOf(intent: Intent, tenantId: TenantId, timing: ShardTiming): Directory {
  const teams = (names: readonly string[]) => names.map((name) => asId<"team">(name));
  return {
    timing,
    queues: new Map(
      objectsOf(intent.objects, "queue", tenantId).map(({ id, spec }) => [
        asId<"queue">(id),
        { teams: teams(spec.teams), ringTimeoutMs: spec.ringTimeout, contactsMax: spec.contactsMax },
      ]),
    ),
    agents: new Map(
      objectsOf(intent.objects, "agent", tenantId).map(({ id, spec }) => [
        asId<"agent">(id),
        { teams: teams(spec.teams) },
      ]),
    ),
  };
}
