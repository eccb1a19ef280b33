import type {
  ContactRouting,
  ContactRoutingHost,
  HeldContacts,
  RoutingDirective,
  RoutingReport,
} from "../../boundary/contact-routing.ts";

export type MemoryRoutingReport = ({ readonly kind: "hello" } & HeldContacts) | RoutingReport;

/** A ContactRouting and its region in one, for tests and simulations: the test says what the region says. */
export class MemoryContactRouting implements ContactRouting {
  /** What the region has heard, in order. */
  readonly reports: MemoryRoutingReport[] = [];
  #host: ContactRoutingHost | undefined;
  #reachable: boolean;
  #linked = false;

  constructor({ reachable = true } = {}) {
    this.#reachable = reachable;
  }

  start(host: ContactRoutingHost): void {
    this.#host = host;
    if (this.#reachable) this.#link();
  }

  linked(): boolean {
    return this.#linked;
  }

  report(report: RoutingReport): void {
    if (this.#linked) this.reports.push(report);
  }

  async close(): Promise<void> {
    this.#linked = false;
    this.#host = undefined;
  }

  // ---- the region's side ----

  direct(directive: RoutingDirective): void {
    if (this.#linked) this.#host?.directed(directive);
  }

  goAway(): void {
    this.#reachable = false;
    this.#linked = false;
  }

  comeBack(): void {
    this.#reachable = true;
    this.#link();
  }

  #link(): void {
    if (this.#host === undefined || this.#linked) return;
    this.reports.push({ kind: "hello", ...this.#host.held() });
    this.#linked = true;
  }
}
