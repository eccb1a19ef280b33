import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { asId } from "../../kernel/ids.ts";
import { LOST_WITHOUT_STATE } from "../core/contact/closed-by-region.ts";
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

const HOST = asId<"pop-host">("fra-01-a");
const publish = (store: ContactEventStore, events: readonly CallEvent[], host = HOST) => store.publish(events, host);

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
        assert.deepEqual(await value(publish(store, [event("c1", 2), event("c1", 1)])), { stored: 2, repeated: 0 });
        const ended = event("c1", 3, { name: "call.ended", record: record("c1") });
        assert.deepEqual(await value(publish(store, [event("c1", 1), ended])), { stored: 1, repeated: 1 });
        const history = await value(store.contact(asId<"call">("c1")));
        assert.deepEqual(history?.events, [event("c1", 1), event("c1", 2), ended]);
        assert.deepEqual(history?.record, record("c1"));
        assert.deepEqual(await value(publish(store, [])), { stored: 0, repeated: 0 });
      }));

    test("contacts are listed newest first, by tenant or all", () =>
      within(async (store) => {
        await publish(store, [event("old", 1), event("new", 5), event("old", 2)]);
        await publish(store, [event("theirs", 3, { tenantId: asId<"tenant">("other") })]);
        const ids = async (...[tenant, limit]: Parameters<ContactEventStore["contacts"]>) =>
          (await value(store.contacts(tenant, limit))).map(({ contactId }) => contactId);
        assert.deepEqual(await ids(undefined, 10), ["new", "theirs", "old"]);
        assert.deepEqual(await ids(asId<"tenant">("acme"), 10), ["new", "old"]);
        assert.deepEqual(await ids(undefined, 1), ["new"]);
        assert.deepEqual((await value(store.contacts(undefined, 1)))[0]?.record, undefined);
      }));

    test("contacts without a record are open, by host and oldest first, until they have one", () =>
      within(async (store) => {
        await publish(store, [event("younger", 5), event("older", 1)]);
        await publish(store, [event("theirs", 2)], asId<"pop-host">("fra-01-b"));
        const open = async (host = HOST) => (await value(store.openContacts(host))).map(({ contactId }) => contactId);
        assert.deepEqual(await open(), ["older", "younger"]);
        await publish(store, [event("older", 3, { name: "call.ended", record: record("older") })]);
        await publish(store, [event("older", 2)]); // late
        assert.deepEqual(await open(), ["younger"]);
        assert.deepEqual(await value(store.openContacts(asId<"pop-host">("fra-01-b"))), [
          { contactId: "theirs", tenantId: "acme", firstEventAtUnixMs: 2_000 },
        ]);
      }));

    test("a record of the region gives way to one of the POP, whichever comes first", () =>
      within(async (store) => {
        const regions = (id: string) =>
          event(id, 8, { id: `${id}/lost`, record: { ...record(id), endCode: LOST_WITHOUT_STATE } });
        const pops = (id: string) => event(id, 9, { id: `${id}/record`, record: record(id) });
        await publish(store, [event("c1", 1), regions("c1")]);
        assert.deepEqual(await value(store.openContacts(HOST)), []);
        const endOf = async (id: string) => (await value(store.contact(asId<"call">(id))))?.record?.endCode;
        assert.equal(await endOf("c1"), LOST_WITHOUT_STATE);
        await publish(store, [pops("c1")]);
        assert.equal(await endOf("c1"), "normal");
        await publish(store, [pops("c2")]);
        await publish(store, [regions("c2")]);
        assert.equal(await endOf("c2"), "normal");
      }));

    test("the oldest contacts go when there are too many", () =>
      within(async (store) => {
        for (const [at, contact] of ["c1", "c2", "c3", "c4"].entries())
          await publish(store, [event(contact, 1, { atUnixMs: at + 1 })]);
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
