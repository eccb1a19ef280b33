import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { asId } from "../../../kernel/ids.ts";
import { nextDueAtMs, step } from "./shard.ts";
import { DIRECTORY, START_MS } from "./shard-fixture.ts";
import type { ShardEffect, ShardInput } from "./shard-messages.ts";
import { byPlace, EMPTY_SHARD, isLinked, type ShardState } from "./shard-state.ts";

const CONTACTS = ["c1", "c2", "c3", "c4", "c5"];
const AGENTS = ["alice", "bob", "carol"];

/** What may happen, with offers named later: by "the one it has" or "the one it had". */
interface Event {
  readonly kind: ShardInput["kind"];
  readonly contact: string;
  readonly other: string;
  readonly agent: string;
  readonly host: string;
  readonly queue: string;
  readonly priority: number;
  readonly waitedMs: number;
  readonly afterMs: number;
  readonly stale: boolean;
  readonly accepted: boolean;
  readonly failure: "rejected" | "no-answer" | "unreachable" | "contact-gone";
}

const anyEvent: fc.Arbitrary<Event> = fc.record({
  kind: fc.constantFrom<ShardInput["kind"]>(
    "agent-signed-in",
    "agent-signed-in",
    "agent-signed-out",
    "agent-set",
    "enqueue",
    "enqueue",
    "enqueue",
    "cancel",
    "offer-accepted",
    "offer-accepted",
    "offer-failed",
    "agent-released",
    "host-linked",
    "host-linked",
    "host-unlinked",
    "configured",
    "restored",
    "tick",
  ),
  contact: fc.constantFrom(...CONTACTS),
  other: fc.constantFrom(...CONTACTS),
  agent: fc.constantFrom(...AGENTS),
  host: fc.constantFrom("host-a", "host-b"),
  queue: fc.constantFrom("support", "sales", "support", "gone"),
  priority: fc.integer({ min: 0, max: 1 }),
  waitedMs: fc.integer({ min: -1_000, max: 10_000 }),
  afterMs: fc.constantFrom(0, 1, 500, 1_000, 5_000, 30_000, 61_000),
  stale: fc.boolean(),
  accepted: fc.boolean(),
  failure: fc.constantFrom("rejected", "no-answer", "unreachable", "contact-gone"),
});

function inputOf(event: Event, state: ShardState, atMs: number): ShardInput {
  const contactId = asId<"call">(event.contact);
  const hostId = asId<"pop-host">(event.host);
  const agentId = asId<"agent">(event.agent);
  const contact = state.contacts[event.contact];
  const offerId =
    (event.stale
      ? contact?.endedOffer?.offerId
      : contact?.state.name === "waiting"
        ? undefined
        : contact?.state.offerId) ?? asId<"offer">("unheard-of");
  const arrival = {
    contactId,
    queueId: asId<"queue">(event.queue),
    priority: event.priority,
    enqueuedAtMs: atMs - event.waitedMs,
  };
  switch (event.kind) {
    case "agent-signed-in":
      return { kind: event.kind, atMs, agentId, address: "sip:a@127.30.0.1", as: { name: "available" } };
    case "agent-signed-out":
      return { kind: event.kind, atMs, agentId };
    case "agent-set":
      return {
        kind: event.kind,
        atMs,
        agentId,
        to: event.accepted ? { name: "available" } : { name: "idle", reason: "lunch" },
      };
    case "enqueue":
      return { kind: event.kind, atMs, hostId, ...arrival };
    case "cancel":
      return { kind: event.kind, atMs, hostId, contactId, reason: "abandoned" };
    case "offer-accepted":
    case "agent-released":
      return { kind: event.kind, atMs, contactId, offerId };
    case "offer-failed":
      return { kind: event.kind, atMs, contactId, offerId, failure: event.failure, sipStatus: 0 };
    case "host-linked": {
      const held = Object.values(state.contacts).filter((known) => known.hostId === hostId && known.id !== event.other);
      const offers = held.flatMap(({ id, queueId, state: now }) =>
        now.name === "waiting"
          ? []
          : [
              {
                contactId: id,
                queueId,
                agentId: event.stale ? agentId : now.agentId,
                offerId: event.stale ? asId<"offer">(`${id}-elsewhere`) : now.offerId,
                accepted: event.accepted,
              },
            ],
      );
      return {
        kind: event.kind,
        atMs,
        hostId,
        waiting: event.stale
          ? [arrival]
          : held.map(({ id, queueId, priority, enqueuedAtMs }) => ({ contactId: id, queueId, priority, enqueuedAtMs })),
        offers,
      };
    }
    case "host-unlinked":
      return { kind: event.kind, atMs, hostId };
    case "configured":
    case "restored":
    case "tick":
      return { kind: event.kind, atMs };
  }
}

/** (a), (b) */
function assertEachHasAtMostOne(state: ShardState): void {
  for (const agent of Object.values(state.agents)) {
    const { state: now } = agent;
    if (now.name !== "offered" && now.name !== "on-contact") continue;
    const contact = state.contacts[now.contactId]?.state;
    assert.ok(contact && contact.name !== "waiting", `${agent.id} is ${now.name} with nobody`);
    assert.equal(contact.name, now.name === "offered" ? "offered" : "accepted");
    assert.deepEqual([contact.agentId, contact.offerId], [agent.id, now.offerId]);
  }
  for (const contact of Object.values(state.contacts)) {
    if (contact.state.name === "waiting") continue;
    const agent = state.agents[contact.state.agentId]?.state;
    if (contact.state.name === "accepted" && agent === undefined) continue; // whose sign-in was forgotten
    const expected = contact.state.name === "offered" ? "offered" : "on-contact";
    assert.ok(agent?.name === expected && agent.contactId === contact.id, `${contact.id} has nobody`);
  }
}

/** (c) */
function assertNobodyLost(before: ShardState, after: ShardState, effects: readonly ShardEffect[]): void {
  for (const id of Object.keys(before.contacts)) {
    if (after.contacts[id] !== undefined) continue;
    const said = effects.some(
      (effect) =>
        effect.kind === "decided" &&
        effect.contactId === id &&
        ["left", "released", "refused", "host-lost"].includes(effect.decision.what),
    );
    assert.ok(said, `${id} vanished`);
  }
}

const serves = (agentId: string, queueId: string): boolean => {
  const teams = DIRECTORY.queues.get(asId<"queue">(queueId))?.teams ?? [];
  return DIRECTORY.agents.get(asId<"agent">(agentId))?.teams.some((team) => teams.includes(team)) ?? false;
};

/** (d) */
function assertNobodyPassedOver(after: ShardState, effects: readonly ShardEffect[]): void {
  const waiting = Object.values(after.contacts).filter(
    ({ state, hostId }) => state.name === "waiting" && isLinked(after.hosts, hostId),
  );
  for (const { id, state } of Object.values(after.agents))
    if (state.name === "available")
      assert.ok(!waiting.some(({ queueId }) => serves(id, queueId)), `${id} is free, and somebody waits`);
  for (const effect of effects) {
    if (effect.kind !== "offer") continue;
    const offered = after.contacts[effect.contactId];
    for (const other of waiting)
      if (offered && serves(effect.agentId, other.queueId))
        assert.ok(byPlace(offered, other) < 0, `${other.id} was before ${offered.id}`);
  }
}

/** Whatever the state: left alone, nothing rings for ever. (e) */
function assertOffersEnd(state: ShardState, atMs: number): void {
  let now = state;
  let at = atMs;
  for (let turns = 0; turns < 100; turns++) {
    const due = nextDueAtMs(DIRECTORY, now);
    if (due === undefined) break;
    at = Math.max(at, due);
    now = step(DIRECTORY, now, { kind: "tick", atMs: at }).state;
  }
  assert.equal(nextDueAtMs(DIRECTORY, now), undefined, "time goes on without end");
  assert.ok(!Object.values(now.contacts).some(({ state: { name } }) => name === "offered"), "an offer never ends");
}

test("property: one offer each, nobody lost, nobody passed over, every offer ends", () => {
  fc.assert(
    fc.property(fc.array(anyEvent, { maxLength: 60 }), (events) => {
      let state = EMPTY_SHARD;
      let atMs = START_MS;
      for (const event of events) {
        atMs += event.afterMs;
        const { state: after, effects } = step(DIRECTORY, state, inputOf(event, state, atMs));
        assertEachHasAtMostOne(after);
        assertNobodyLost(state, after, effects);
        assertNobodyPassedOver(after, effects);
        assert.deepEqual(JSON.parse(JSON.stringify(after)), after, "a shard is what its JSON says");
        state = after;
      }
      assertOffersEnd(state, atMs);
    }),
    { numRuns: 1_500 },
  );
});

test("two contacts of one host claim the same agent, who is not signed in: the agent gets one of them when signing in", () => {
  const event = (more: Partial<Event>): Event => ({
    kind: "host-linked",
    contact: "c1",
    other: "c4",
    agent: "bob",
    host: "host-a",
    queue: "support",
    priority: 0,
    waitedMs: 0,
    afterMs: 0,
    stale: true,
    accepted: true,
    failure: "rejected",
    ...more,
  });
  let state = EMPTY_SHARD;
  for (const next of [
    event({ kind: "agent-signed-in", agent: "alice" }),
    event({ accepted: false }),
    event({ contact: "c5", other: "c2" }),
    event({}),
    event({ kind: "agent-signed-in" }),
  ]) {
    const before = state;
    const { state: after, effects } = step(DIRECTORY, state, inputOf(next, state, START_MS));
    assertEachHasAtMostOne(after);
    assertNobodyLost(before, after, effects);
    state = after;
  }
});

test("property: an offer names its agent's address and goes to a host that is linked", () => {
  fc.assert(
    fc.property(fc.array(anyEvent, { maxLength: 60 }), (events) => {
      let state = EMPTY_SHARD;
      let atMs = START_MS;
      const offerIds = new Set<string>();
      for (const event of events) {
        atMs += event.afterMs;
        const { state: after, effects } = step(DIRECTORY, state, inputOf(event, state, atMs));
        for (const effect of effects) {
          if (effect.kind !== "offer") continue;
          assert.ok(isLinked(after.hosts, effect.hostId));
          assert.equal(effect.agentUri, after.agents[effect.agentId]?.address);
          assert.ok(!offerIds.has(effect.offerId), "an offer id is used once");
          offerIds.add(effect.offerId);
        }
        state = after;
      }
    }),
    { numRuns: 500 },
  );
});
