import type { HeldContacts, RoutingDirective, RoutingReport } from "../core/call/contact-routing.ts";

export type {
  HeldContacts,
  HeldOffer,
  RoutingDirective,
  RoutingReport,
  WaitingContact,
} from "../core/call/contact-routing.ts";

export interface ContactRoutingHost {
  held(): HeldContacts;
  directed(directive: RoutingDirective): void;
}

/**
 * Contacts to queues, offers to agents. Reconnects by itself; on each connection it first tells `held()`.
 * While the region is away a report is dropped: the next `held()` tells the outcome anyway.
 */
export interface ContactRouting {
  start(host: ContactRoutingHost): void;
  linked(): boolean;
  report(report: RoutingReport): void;
  close(): Promise<void>;
}
