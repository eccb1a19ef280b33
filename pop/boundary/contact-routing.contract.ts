import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { asId } from "../../kernel/ids.ts";
import type {
  ContactRouting,
  ContactRoutingHost,
  HeldContacts,
  RoutingDirective,
  RoutingReport,
  WaitingContact,
} from "./contact-routing.ts";

export type HeardRouting = ({ readonly kind: "hello" } & HeldContacts) | RoutingReport;

/** Contact routing and its region, which hears and says what the test wants. */
export interface ContactRoutingWorld {
  readonly routing: ContactRouting;
  /** The next report, whatever it is. */
  heard(): Promise<HeardRouting>;
  /** Once the region's welcome has been taken in. */
  linked(): Promise<void>;
  direct(directive: RoutingDirective): void;
  /** Resolves when the POP has noticed. */
  goAway(): Promise<void>;
  comeBack(): Promise<void>;
  close(): Promise<void>;
}

const CONTACT = asId<"call">("c1");
const OFFER = asId<"offer">("o1");
const waiting = (contactId: string, priority = 0): WaitingContact => ({
  contactId: asId<"call">(contactId),
  tenantId: asId<"tenant">("acme"),
  queueId: asId<"queue">("support"),
  priority,
  enqueuedAtUnixMs: 1_790_000_000_000,
});

const REPORTS: readonly RoutingReport[] = [
  { kind: "enqueue", ...waiting("c1", 2) },
  { kind: "cancel", contactId: CONTACT, tenantId: asId<"tenant">("acme"), reason: "abandoned" },
  { kind: "offer-accepted", offerId: OFFER, contactId: CONTACT },
  { kind: "offer-failed", offerId: OFFER, contactId: CONTACT, failure: "no-answer", sipStatus: 480 },
  { kind: "agent-released", offerId: OFFER, contactId: CONTACT },
];

const DIRECTIVES: readonly RoutingDirective[] = [
  { kind: "queued", contactId: CONTACT, queueId: asId<"queue">("support"), position: 3 },
  {
    kind: "offer",
    offerId: OFFER,
    contactId: CONTACT,
    agentId: asId<"agent">("alice"),
    agentUri: "sip:alice@127.30.0.1:5060",
    ringTimeoutMs: 15_000,
    queueId: asId<"queue">("support"),
  },
  { kind: "offer-withdrawn", offerId: OFFER, contactId: CONTACT, reason: "agent.gone" },
  { kind: "refused", contactId: CONTACT, code: "queue.unknown" },
];

/** What every ContactRouting must do; each adapter's test file calls this. */
export function contactRoutingContract(name: string, open: () => Promise<ContactRoutingWorld>): void {
  describe(`${name} is a ContactRouting`, () => {
    let world: ContactRoutingWorld;
    let held: HeldContacts = { waiting: [waiting("c0", 1)], offers: [] };
    const directed: RoutingDirective[] = [];
    let arrived: () => void = () => {};
    const host: ContactRoutingHost = {
      held: () => held,
      directed: (directive) => {
        directed.push(directive);
        arrived();
      },
    };
    before(async () => {
      world = await open();
    });
    after(async () => {
      await world.routing.close();
      await world.close();
    });

    test("the first thing said is what this host holds", async () => {
      world.routing.report({ kind: "enqueue", ...waiting("before the link") }); // dropped: the hello tells it
      world.routing.start(host);
      assert.deepEqual(await world.heard(), { kind: "hello", ...held });
      await world.linked();
      assert.equal(world.routing.linked(), true);
    });

    test("reports arrive as they were told, in order", async () => {
      for (const report of REPORTS) world.routing.report(report);
      const heard: HeardRouting[] = [];
      while (heard.length < REPORTS.length) heard.push(await world.heard());
      assert.deepEqual(heard, REPORTS);
    });

    test("directives arrive as they were said, in order", async () => {
      const all = new Promise<void>((resolve) => {
        arrived = () => {
          if (directed.length === DIRECTIVES.length) resolve();
        };
      });
      for (const directive of DIRECTIVES) world.direct(directive);
      await all;
      assert.deepEqual(directed, DIRECTIVES);
    });

    test("with the region away reports are dropped; when it is back it hears what is held then", async () => {
      await world.goAway();
      assert.equal(world.routing.linked(), false);
      world.routing.report({ kind: "enqueue", ...waiting("c2") });
      held = {
        waiting: [waiting("c2")],
        offers: [
          {
            offerId: OFFER,
            contactId: CONTACT,
            tenantId: asId<"tenant">("acme"),
            agentId: asId<"agent">("alice"),
            queueId: asId<"queue">("support"),
            accepted: true,
          },
        ],
      };
      await world.comeBack();
      assert.deepEqual(await world.heard(), { kind: "hello", ...held });
    });

    test("closed, it is not linked, and a report goes nowhere", async () => {
      await world.routing.close();
      world.routing.report({ kind: "enqueue", ...waiting("c3") });
      assert.equal(world.routing.linked(), false);
    });
  });
}
