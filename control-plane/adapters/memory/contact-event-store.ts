import type { CallId, PopHostId, TenantId } from "../../../kernel/ids.ts";
import { fail, type Outcome, succeed } from "../../../kernel/outcome.ts";
import type {
  ContactEventStore,
  ContactHistory,
  ContactSummary,
  OpenContact,
} from "../../boundary/contact-event-store.ts";
import type { StoreAway } from "../../boundary/store-away.ts";
import { isOfRegion } from "../../core/contact/closed-by-region.ts";
import type { CallEvent, ContactRecord } from "../../core/contact/contact-event.ts";
import type { Decision } from "../../core/queue/shard-messages.ts";

interface Kept {
  tenantId: TenantId | undefined;
  hostId: PopHostId | undefined;
  firstEventAtUnixMs: number;
  record: ContactRecord | undefined;
  readonly events: Map<string, CallEvent>;
  readonly decisions: Decision[];
}

/** Contacts in memory, the oldest forgotten first. */
export class MemoryContactEventStore implements ContactEventStore {
  away = false;
  readonly #contacts = new Map<CallId, Kept>();
  readonly #contactsMax: number;
  readonly #decisionsMax: number;

  constructor(limits: { readonly contactsMax: number; readonly decisionsMax: number }) {
    this.#contactsMax = limits.contactsMax;
    this.#decisionsMax = limits.decisionsMax;
  }

  async publish(
    events: readonly CallEvent[],
    hostId: PopHostId,
  ): Promise<Outcome<{ stored: number; repeated: number }, StoreAway>> {
    if (this.away) return fail(AWAY);
    let stored = 0;
    for (const event of events) {
      const kept = this.#kept(event.callId);
      if (kept.events.has(event.id)) continue;
      kept.events.set(event.id, event);
      kept.firstEventAtUnixMs = Math.min(kept.firstEventAtUnixMs, event.atUnixMs);
      kept.tenantId = event.tenantId;
      kept.hostId ??= hostId;
      if (event.record && (kept.record === undefined || !isOfRegion(event))) kept.record = event.record;
      stored++;
    }
    this.#forgetOldest();
    return succeed({ stored, repeated: events.length - stored });
  }

  async openContacts(hostId: PopHostId): Promise<Outcome<readonly OpenContact[], StoreAway>> {
    if (this.away) return fail(AWAY);
    const open: OpenContact[] = [];
    for (const [contactId, { tenantId, record, firstEventAtUnixMs, hostId: of }] of this.#contacts)
      if (of === hostId && record === undefined && tenantId !== undefined)
        open.push({ contactId, tenantId, firstEventAtUnixMs });
    return succeed(open.sort((a, b) => a.firstEventAtUnixMs - b.firstEventAtUnixMs));
  }

  async journal(
    entries: readonly { readonly contactId: CallId; readonly decision: Decision }[],
  ): Promise<Outcome<void, StoreAway>> {
    if (this.away) return fail(AWAY);
    for (const { contactId, decision } of entries) {
      const { decisions } = this.#kept(contactId);
      decisions.push(decision);
      if (decisions.length > this.#decisionsMax) decisions.shift();
    }
    this.#forgetOldest();
    return succeed(undefined);
  }

  async contact(contactId: CallId): Promise<Outcome<ContactHistory | undefined, StoreAway>> {
    if (this.away) return fail(AWAY);
    const kept = this.#contacts.get(contactId);
    if (kept === undefined) return succeed(undefined);
    const events = [...kept.events.values()].sort((a, b) => a.sequence - b.sequence);
    return succeed({ record: kept.record, events, decisions: [...kept.decisions] });
  }

  async contacts(
    tenantId: TenantId | undefined,
    limit: number,
  ): Promise<Outcome<readonly ContactSummary[], StoreAway>> {
    if (this.away) return fail(AWAY);
    const found: ContactSummary[] = [];
    for (const [contactId, kept] of this.#contacts)
      if (kept.tenantId !== undefined && (tenantId === undefined || kept.tenantId === tenantId))
        found.push({
          contactId,
          tenantId: kept.tenantId,
          firstEventAtUnixMs: kept.firstEventAtUnixMs,
          record: kept.record,
        });
    return succeed(found.sort((a, b) => b.firstEventAtUnixMs - a.firstEventAtUnixMs).slice(0, limit));
  }

  #kept(contactId: CallId): Kept {
    const known = this.#contacts.get(contactId);
    if (known) return known;
    const fresh: Kept = {
      tenantId: undefined,
      hostId: undefined,
      firstEventAtUnixMs: Number.POSITIVE_INFINITY,
      record: undefined,
      events: new Map(),
      decisions: [],
    };
    this.#contacts.set(contactId, fresh);
    return fresh;
  }

  #forgetOldest(): void {
    for (const contactId of this.#contacts.keys()) {
      if (this.#contacts.size <= this.#contactsMax) return;
      this.#contacts.delete(contactId);
    }
  }
}

const AWAY: StoreAway = { code: "store.away", store: "memory", detail: "taken away" };
