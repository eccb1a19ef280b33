// A small region: one queue that offers its contacts to free agents, first come, first served, and the intake of events.
// It believes what a service tells it at each new stream, as the real one does.

import { type AgentId, asId, type CallId, type OfferId, type QueueId } from "../../kernel/ids.ts";
import type { SimProcess } from "../../kernel/sim/process.ts";
import type { SimWorld } from "../../kernel/sim/world.ts";
import type {
  ContactRouting,
  ContactRoutingHost,
  HeldContacts,
  RoutingDirective,
  RoutingReport,
} from "../../pop/boundary/contact-routing.ts";
import type { CallEvent } from "../../pop/core/call/contact-record.ts";
import { Channel, type Paths } from "./paths.ts";

const LATENCY_MS = 15;
/** A service that does not come back: its contacts are gone. */
const FORGET_MS = 60_000;
const RING_MS = 12_000;

interface SimAgent {
  readonly id: AgentId;
  readonly uri: string;
  offer: OpenOffer | undefined;
}

export interface OpenOffer {
  readonly id: OfferId;
  readonly contact: CallId;
  readonly service: string;
  readonly agent: SimAgent;
  accepted: boolean;
}

interface Waiting {
  readonly contact: CallId;
  readonly service: string;
  readonly queueId: QueueId;
  position: number;
}

interface Stream {
  readonly service: string;
  readonly channel: Channel;
  /** The pop's end. */
  directed(directive: RoutingDirective): void;
}

export class SimRegion {
  readonly world: SimWorld;
  readonly paths: Paths;
  readonly agents: SimAgent[] = [];
  readonly waiting: Waiting[] = [];
  readonly offers = new Map<OfferId, OpenOffer>();
  /** By id: an event that comes again is one that is known. */
  readonly events = new Map<string, CallEvent>();
  readonly #streams = new Map<string, Stream>();
  #sequence = 0;
  /** For a proof: forgets whom it has offered a contact to. */
  offersTwice = false;
  onEvent: (event: CallEvent) => void = () => {};
  onOffer: (offer: OpenOffer) => void = () => {};

  constructor(world: SimWorld, paths: Paths) {
    this.world = world;
    this.paths = paths;
  }

  addAgent(id: string, uri: string): void {
    this.agents.push({ id: asId<"agent">(id), uri, offer: undefined });
  }

  // ---- events ----

  /** Resolves once they are stored; never, when nobody can be reached: the sender has a time-out. */
  publish(from: SimProcess, events: readonly CallEvent[], stored: () => void): void {
    const at = from.machine.name;
    this.world.after(LATENCY_MS, () => {
      if (!this.paths.isOpen(at, "region")) return;
      for (const event of events) {
        if (this.events.has(event.id)) continue;
        this.events.set(event.id, event);
        this.onEvent(event);
      }
      this.world.after(LATENCY_MS, () => {
        if (this.paths.isOpen("region", at)) from.take(stored);
      });
    });
  }

  // ---- streams ----

  connected(stream: Stream, held: HeldContacts): void {
    this.#streams.set(stream.service, stream);
    const { service } = stream;
    const said = new Set(held.waiting.map(({ contactId }) => contactId));
    this.#forgetWaiting((waiting) => waiting.service === service && !said.has(waiting.contact));
    const offered = new Map(held.offers.map((offer) => [offer.offerId, offer]));
    for (const offer of [...this.offers.values()])
      if (offer.service === service && !offered.has(offer.id)) this.#close(offer);
    for (const { offerId, contactId, agentId, accepted } of held.offers) {
      const known = this.offers.get(offerId);
      if (known !== undefined) known.accepted ||= accepted;
      else {
        const agent = this.agents.find(({ id }) => id === agentId);
        if (agent === undefined || agent.offer !== undefined)
          this.#direct(service, { kind: "offer-withdrawn", offerId, contactId, reason: "agent-gone" });
        else this.#open({ id: offerId, contact: contactId, service, agent, accepted });
      }
    }
    for (const { contactId, queueId } of held.waiting) this.#enqueue(service, contactId, queueId);
    for (const waiting of this.waiting) {
      if (waiting.service !== service) continue;
      this.#direct(service, {
        kind: "queued",
        contactId: waiting.contact,
        queueId: waiting.queueId,
        position: waiting.position,
      });
    }
    this.#match();
  }

  disconnected(stream: Stream): void {
    if (this.#streams.get(stream.service) !== stream) return;
    this.#streams.delete(stream.service);
    this.world.after(FORGET_MS, () => {
      if (this.#streams.has(stream.service)) return;
      this.#forgetWaiting(({ service }) => service === stream.service);
      for (const offer of [...this.offers.values()]) if (offer.service === stream.service) this.#close(offer);
      this.#match();
    });
  }

  reported(stream: Stream, report: RoutingReport): void {
    if (this.#streams.get(stream.service) !== stream) return; // of a stream that another has replaced
    switch (report.kind) {
      case "enqueue":
        this.#enqueue(stream.service, report.contactId, report.queueId);
        break;
      case "cancel":
        this.#forgetWaiting(({ contact }) => contact === report.contactId);
        break;
      case "offer-accepted": {
        const offer = this.offers.get(report.offerId);
        if (offer !== undefined) offer.accepted = true;
        this.#forgetWaiting(({ contact }) => contact === report.contactId);
        break;
      }
      case "offer-failed":
      case "agent-released": {
        const offer = this.offers.get(report.offerId);
        if (offer !== undefined) this.#close(offer);
        if (report.kind === "offer-failed" && report.failure === "contact-gone")
          this.#forgetWaiting(({ contact }) => contact === report.contactId && false);
        break;
      }
    }
    this.#match();
  }

  #enqueue(service: string, contact: CallId, queueId: QueueId): void {
    if (this.waiting.some((waiting) => waiting.contact === contact)) return;
    const position = this.waiting.length + 1;
    this.waiting.push({ contact, service, queueId, position });
    this.#direct(service, { kind: "queued", contactId: contact, queueId, position });
    this.#match();
  }

  #forgetWaiting(isGone: (waiting: Waiting) => boolean): void {
    for (let at = this.waiting.length - 1; at >= 0; at--) {
      const waiting = this.waiting[at];
      if (waiting !== undefined && isGone(waiting)) this.waiting.splice(at, 1);
    }
  }

  #match(): void {
    for (const waiting of this.waiting) {
      if (!this.#streams.has(waiting.service)) continue;
      if (!this.offersTwice && [...this.offers.values()].some(({ contact }) => contact === waiting.contact)) continue;
      const agent = this.agents.find(({ offer }) => offer === undefined);
      if (agent === undefined) return;
      // The next in turn, so that one who never answers does not get them all.
      this.agents.push(...this.agents.splice(this.agents.indexOf(agent), 1));
      const id = asId<"offer">(`offer-${++this.#sequence}`);
      this.#open({ id, contact: waiting.contact, service: waiting.service, agent, accepted: false });
      this.#direct(waiting.service, {
        kind: "offer",
        offerId: id,
        contactId: waiting.contact,
        agentId: agent.id,
        agentUri: agent.uri,
        ringTimeoutMs: RING_MS,
        queueId: waiting.queueId,
      });
    }
  }

  #open(offer: OpenOffer): void {
    this.onOffer(offer);
    this.offers.set(offer.id, offer);
    offer.agent.offer = offer;
  }

  #close(offer: OpenOffer): void {
    this.offers.delete(offer.id);
    if (offer.agent.offer === offer) offer.agent.offer = undefined;
  }

  #direct(service: string, directive: RoutingDirective): void {
    const stream = this.#streams.get(service);
    stream?.channel.send(1, () => stream.directed(directive));
  }
}

/** pop's end of the stream: dials again for ever, and first tells what it holds. */
export class SimContactRouting implements ContactRouting {
  readonly #pop: SimProcess;
  readonly #region: SimRegion;
  readonly #service: string;
  #host: ContactRoutingHost | undefined;
  #stream: Stream | undefined;

  constructor(pop: SimProcess, region: SimRegion, service: string) {
    this.#pop = pop;
    this.#region = region;
    this.#service = service;
  }

  start(host: ContactRoutingHost): void {
    this.#host = host;
    this.#dial();
  }

  linked(): boolean {
    return this.#stream !== undefined;
  }

  report(report: RoutingReport): void {
    const stream = this.#stream;
    stream?.channel.send(0, () => this.#region.reported(stream, report));
  }

  async close(): Promise<void> {
    this.#host = undefined;
    this.#stream?.channel.close(0);
  }

  #dial(): void {
    const host = this.#host;
    if (host === undefined) return;
    const region = this.#region;
    const at = this.#pop.machine.name;
    this.#pop.after(2 * LATENCY_MS, () => {
      if (!region.paths.isOpen(at, "region") || !region.paths.isOpen("region", at)) {
        this.#pop.after(1_000, () => this.#dial());
        return;
      }
      const stream: Stream = {
        service: this.#service,
        channel: new Channel(
          region.world,
          region.paths,
          [
            { at, process: this.#pop, closed: () => this.#closed(stream) },
            { at: "region", process: undefined, closed: () => region.disconnected(stream) },
          ],
          LATENCY_MS,
        ),
        directed: (directive) => {
          if (this.#stream === stream) this.#host?.directed(directive);
        },
      };
      this.#stream = stream;
      const held = host.held();
      stream.channel.send(0, () => region.connected(stream, held));
    });
  }

  #closed(stream: Stream): void {
    if (this.#stream !== stream) return;
    this.#stream = undefined;
    this.#pop.after(500, () => this.#dial());
  }
}
