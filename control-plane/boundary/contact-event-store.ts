import type { CallId, PopHostId, TenantId } from "../../kernel/ids.ts";
import type { Outcome } from "../../kernel/outcome.ts";
import type { CallEvent, ContactRecord } from "../core/contact/contact-event.ts";
import type { Decision } from "../core/queue/shard-messages.ts";
import type { StoreAway } from "./store-away.ts";

export interface ContactHistory {
  /** Undefined while the call goes on. */
  readonly record: ContactRecord | undefined;
  /** By sequence. */
  readonly events: readonly CallEvent[];
  readonly decisions: readonly Decision[];
}

export interface ContactSummary {
  readonly contactId: CallId;
  readonly tenantId: TenantId;
  readonly firstEventAtUnixMs: number;
  readonly record: ContactRecord | undefined;
}

/** One that has no record yet. */
export interface OpenContact {
  readonly contactId: CallId;
  readonly tenantId: TenantId;
  readonly firstEventAtUnixMs: number;
}

/** What happened to contacts, bounded in count and age. */
export interface ContactEventStore {
  /**
   * A batch is taken whole or not at all; an event known by its id is counted and skipped. A record of the region itself
   * (`isOfRegion`) gives way to one of a POP, whichever comes first.
   * @param hostId whose contacts they are
   */
  publish(
    events: readonly CallEvent[],
    hostId: PopHostId,
  ): Promise<Outcome<{ stored: number; repeated: number }, StoreAway>>;

  /** All contacts of a host without a record, oldest first. */
  openContacts(hostId: PopHostId): Promise<Outcome<readonly OpenContact[], StoreAway>>;

  /** Adds to a contact's journal of queue decisions; the oldest go when there are too many. */
  journal(
    entries: readonly { readonly contactId: CallId; readonly decision: Decision }[],
  ): Promise<Outcome<void, StoreAway>>;

  /** Undefined: never heard of, or past its retention. */
  contact(contactId: CallId): Promise<Outcome<ContactHistory | undefined, StoreAway>>;

  /** Newest first. */
  contacts(tenantId: TenantId | undefined, limit: number): Promise<Outcome<readonly ContactSummary[], StoreAway>>;
}
