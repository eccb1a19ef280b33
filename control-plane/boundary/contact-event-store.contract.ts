import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { asId } from "../../kernel/ids.ts";
import type { CallEvent, ContactRecord } from "../core/contact/contact-event.ts";
import type { ContactEventStore } from "./contact-event-store.ts";

const event = (contact: string, sequence: number, more: Partial<CallEvent> = {}): CallEvent => ({
  id: `${contact}/${sequence}`,
  callId: asId<"call">(contact),
  tenantId: asId<"tenant">("acme"),
  sequence,
  atUnixMs: 1_000 * sequence,
  name: "call.arrived",
  fields: { trunk: "carrier-one" },
  ...more,
});
const record = (contact: string) => ({ contactId: contact, endCode: "normal" }) as unknown as ContactRecord;
const decided = (contact: string, at: number) => ({
  contactId: asId<"call">(contact),
  decision: { atMs: at, what: "queued", why: `number ${at}` },
});

async function value<Value>(outcome: Promise<{ ok: boolean; value?: Value }>): Promise<Value> {
  const { ok, value: got } = await outcome;
  assert.ok(ok);
  return got as Value;
}

/** What every ContactEventStore must do. `open` gives an empty one that keeps 3 contacts and 4 decisions of each. */
export function contactEventStoreContract(
  name: string,
  open: () => Promise<{ store: ContactEventStore; close(): Promise<void> }>,
): void {
  const within = async (run: (store: ContactEventStore) => Promise<void>) => {
    const { store, close } = await open();
    try {
      await run(store);
    } finally {
      await close();
    }
  };
  describe(`${name} is a ContactEventStore`, () => {
    test("a contact never heard of is undefined", () =>
      within(async (store) => assert.equal(await value(store.contact(asId<"call">("x"))), undefined)));

    test("an event is kept once, however often it is sent, and read in sequence", () =>
      within(async (store) => {
        assert.deepEqual(await value(store.publish([event("c1", 2), event("c1", 1)])), { stored: 2, repeated: 0 });
        const ended = event("c1", 3, { name: "call.ended", record: record("c1") });
        assert.deepEqual(await value(store.publish([event("c1", 1), ended])), { stored: 1, repeated: 1 });
        const history = await value(store.contact(asId<"call">("c1")));
        assert.deepEqual(history?.events, [event("c1", 1), event("c1", 2), ended]);
        assert.deepEqual(history?.record, record("c1"));
        assert.deepEqual(await value(store.publish([])), { stored: 0, repeated: 0 });
      }));

    test("contacts are listed newest first, by tenant or all", () =>
      within(async (store) => {
        await store.publish([event("old", 1), event("new", 5), event("old", 2)]);
        await store.publish([event("theirs", 3, { tenantId: asId<"tenant">("other") })]);
        const ids = async (...[tenant, limit]: Parameters<ContactEventStore["contacts"]>) =>
          (await value(store.contacts(tenant, limit))).map(({ contactId }) => contactId);
        assert.deepEqual(await ids(undefined, 10), ["new", "theirs", "old"]);
        assert.deepEqual(await ids(asId<"tenant">("acme"), 10), ["new", "old"]);
        assert.deepEqual(await ids(undefined, 1), ["new"]);
        assert.deepEqual((await value(store.contacts(undefined, 1)))[0]?.record, undefined);
      }));

    test("the oldest contacts go when there are too many", () =>
      within(async (store) => {
        for (const [at, contact] of ["c1", "c2", "c3", "c4"].entries())
          await store.publish([event(contact, 1, { atUnixMs: at + 1 })]);
        assert.equal(await value(store.contact(asId<"call">("c1"))), undefined);
        assert.equal((await value(store.contacts(undefined, 10))).length, 3);
      }));

    test("a contact's decisions are kept in order, the newest few", () =>
      within(async (store) => {
        await value(store.journal([decided("c1", 1), decided("c2", 1), decided("c1", 2)]));
        await value(store.journal([3, 4, 5].map((at) => decided("c1", at))));
        const history = await value(store.contact(asId<"call">("c1")));
        assert.deepEqual(
          history?.decisions.map(({ atMs }) => atMs),
          [2, 3, 4, 5],
        );
      }));
  });
}
