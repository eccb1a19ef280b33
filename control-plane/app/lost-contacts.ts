// Contacts that nobody has any more: their host's service has an owner again, which says what calls it has, and they are not
// among them (Redis was away as the host died). The region closes them, so that each contact has a record; one of the POP itself,
// from the disk of a host that comes back, say, takes its place whenever it comes.

import { asId, type CallId, type PopHostId } from "../../kernel/ids.ts";
import type { Log } from "../../kernel/log.ts";
import type { Clock } from "../../kernel/time.ts";
import type { ContactEventStore, OpenContact } from "../boundary/contact-event-store.ts";
import { closedByRegion } from "../core/contact/closed-by-region.ts";
import type { CallEvent } from "../core/contact/contact-event.ts";

export interface LostContactsTiming {
  /** From a host's hello: for records that are on their way. */
  readonly closeAfterMs: number;
  /** A contact younger than this at the hello may have come in while the hello was made. */
  readonly ageMsMin: number;
}

export const LOST_CONTACTS_TIMING: LostContactsTiming = { closeAfterMs: 60_000, ageMsMin: 5_000 };

const EVENTS_PER_BATCH = 100;

export interface LostContactsParts {
  readonly regionId: string;
  readonly events: ContactEventStore;
  readonly clock: Clock;
  readonly log: Log;
  readonly timing: LostContactsTiming;
}

export class LostContacts {
  readonly #parts: LostContactsParts;
  /** One wait a host: its newest hello knows best. */
  readonly #waits = new Map<PopHostId, NodeJS.Timeout>();
  #stopped = false;

  constructor(parts: LostContactsParts) {
    this.#parts = parts;
  }

  /** @param held all calls that the host has; undefined: it does not say, and nothing is concluded */
  hostLinked(hostId: PopHostId, held: readonly CallId[] | undefined): void {
    clearTimeout(this.#waits.get(hostId));
    this.#waits.delete(hostId);
    if (held !== undefined) void this.#look(hostId, new Set(held), this.#parts.clock.unixMs());
  }

  stop(): void {
    this.#stopped = true;
    for (const wait of this.#waits.values()) clearTimeout(wait);
  }

  async #look(hostId: PopHostId, held: ReadonlySet<CallId>, nowUnixMs: number): Promise<void> {
    const { events, timing } = this.#parts;
    const open = await events.openContacts(hostId);
    if (!open.ok || this.#stopped) return; // the host's next hello is another chance
    const suspects = open.value.filter(
      ({ contactId, firstEventAtUnixMs }) => !held.has(contactId) && firstEventAtUnixMs < nowUnixMs - timing.ageMsMin,
    );
    if (suspects.length === 0) return;
    const ids = new Set(suspects.map(({ contactId }) => contactId));
    clearTimeout(this.#waits.get(hostId));
    this.#waits.set(
      hostId,
      setTimeout(() => void this.#close(hostId, ids), timing.closeAfterMs),
    );
  }

  async #close(hostId: PopHostId, suspects: ReadonlySet<CallId>): Promise<void> {
    const { events, log } = this.#parts;
    this.#waits.delete(hostId);
    const open = await events.openContacts(hostId);
    if (!open.ok) return;
    const lost = open.value.filter(({ contactId }) => suspects.has(contactId));
    let closed = 0;
    for (let from = 0; from < lost.length; from += EVENTS_PER_BATCH) {
      const last = await Promise.all(
        lost.slice(from, from + EVENTS_PER_BATCH).map((contact) => this.#lastEventOf(hostId, contact)),
      );
      const published = await events.publish(
        last.filter((event) => event !== undefined),
        hostId,
      );
      if (!published.ok) return;
      closed += published.value.stored;
    }
    if (closed > 0) log.warn("contacts.closed-by-region", { hostId, contacts: closed });
  }

  async #lastEventOf(hostId: PopHostId, { contactId, tenantId }: OpenContact): Promise<CallEvent | undefined> {
    const history = await this.#parts.events.contact(contactId);
    if (!history.ok || history.value === undefined || history.value.record !== undefined) return undefined;
    return closedByRegion(history.value.events, {
      contactId,
      tenantId,
      hostId,
      regionId: asId<"region">(this.#parts.regionId),
    });
  }
}
