import assert from "node:assert/strict";
import { test } from "node:test";
import { asId } from "../../../kernel/ids.ts";
import { nextDueAtMs } from "./shard.ts";
import { Desk, DIRECTORY, shown } from "./shard-fixture.ts";
import { DEFAULT_TIMING } from "./shard-state.ts";

const HOST = asId<"pop-host">("host-a");

/** Linked, with these agents available, each a second after the one before. */
function desk(...agents: string[]): Desk {
  const opened = new Desk();
  opened.link("host-a");
  for (const agent of agents) {
    opened.signIn(agent);
    opened.atMs += 1_000;
  }
  return opened;
}

const agent = (at: Desk, id: string) => at.state.agents[id]?.state.name ?? "signed-out";
const contact = (at: Desk, id: string) => at.state.contacts[id]?.state.name ?? "gone";
const why = (at: Desk) => at.effects.flatMap((effect) => (effect.kind === "decided" ? [effect.decision.why] : []));

test("the longest available agent is offered the contact, and the journal says why", () => {
  const at = desk("alice", "bob");
  at.atMs += 40_000;
  assert.equal(shown(at.call("c1")), "tell c1 place 1, offer c1 to alice");
  assert.deepEqual(why(at).at(-1), "alice longest available, 42.0 s; 1 more free; waited 0 ms");
});

test("with no agent free the contact waits, and is offered when one frees up", () => {
  const at = desk("alice");
  at.call("c1");
  at.accept("c1");
  assert.equal(shown(at.call("c2")), "tell c2 place 1");
  assert.deepEqual(why(at), ["0 before it; no agent free: 1 on-contact, 2 signed-out"]);
  assert.equal(shown(at.release("c1")), "offer c2 to alice");
});

test("an agent who does not answer is not offered again until set available, and the contact keeps its place", () => {
  const at = desk("alice");
  at.call("c1");
  at.atMs += 5_000;
  at.call("c2");
  at.fail("c1", "no-answer");
  assert.equal(agent(at, "alice"), "rona");
  assert.equal(contact(at, "c1"), "waiting");
  assert.equal(shown(at.signIn("bob")), "offer c1 to bob", "before c2, which came later");
  const back = at.say({ kind: "agent-set", agentId: asId<"agent">("alice"), to: { name: "available" } });
  assert.equal(shown(back), "offer c2 to alice");
});

test("an agent who declines is idle, and the next one is offered the contact at once", () => {
  const at = desk("alice", "bob");
  at.call("c1");
  assert.equal(shown(at.fail("c1", "rejected")), "offer c1 to bob");
  assert.deepEqual(at.state.agents.alice?.state, { name: "idle", sinceMs: at.atMs, reason: "declined" });
});

test("an agent whose phone cannot be reached is idle with that reason", () => {
  const at = desk("alice");
  at.call("c1");
  at.fail("c1", "unreachable");
  assert.deepEqual(at.state.agents.alice?.state, { name: "idle", sinceMs: at.atMs, reason: "unreachable" });
});

test("a caller who leaves while the agent is rung costs the agent no place", () => {
  const at = desk("alice", "bob");
  const since = at.state.agents.alice?.state.sinceMs;
  at.call("c1");
  at.atMs += 4_000;
  at.cancel("c1");
  assert.equal(at.state.agents.alice?.state.sinceMs, since);
  assert.equal(shown(at.call("c2")), "tell c2 place 1, offer c2 to alice");
});

test("higher priority goes first, then who waits longest, whatever the order of arrival", () => {
  const at = desk();
  at.call("late", { enqueuedAtMs: at.atMs - 1_000 });
  at.call("early", { enqueuedAtMs: at.atMs - 9_000 });
  at.call("urgent", { priority: 5 });
  assert.equal(at.signIn("alice").find(({ kind }) => kind === "offer")?.kind, "offer");
  assert.equal(contact(at, "urgent"), "offered");
  at.signIn("bob");
  assert.equal(contact(at, "early"), "offered");
});

test("an agent gets contacts of its teams' queues only", () => {
  const at = desk("alice");
  assert.equal(shown(at.call("c1", { queue: "sales" })), "tell c1 place 1");
  assert.match(shown(at.signIn("carol")), /offer c1 to carol/);
});

test("signing out while rung withdraws the offer, and another agent is tried", () => {
  const at = desk("alice", "bob");
  at.call("c1");
  const effects = at.say({ kind: "agent-signed-out", agentId: asId<"agent">("alice") });
  assert.equal(shown(effects), "withdraw c1, offer c1 to bob");
  assert.equal(agent(at, "alice"), "signed-out");
});

test("signing out, or idle, in conversation holds when it is over", () => {
  const at = desk("alice", "bob");
  at.call("c1");
  at.accept("c1");
  at.call("c2");
  at.accept("c2");
  at.say({ kind: "agent-signed-out", agentId: asId<"agent">("alice") });
  at.say({ kind: "agent-set", agentId: asId<"agent">("bob"), to: { name: "idle", reason: "lunch" } });
  assert.deepEqual([agent(at, "alice"), agent(at, "bob")], ["on-contact", "on-contact"]);
  at.release("c1");
  at.release("c2");
  assert.deepEqual([agent(at, "alice"), agent(at, "bob")], ["signed-out", "idle"]);
});

test("an answer that crosses the withdrawal is not cut: the contact is in conversation", () => {
  const at = desk("alice", "bob");
  at.call("c1");
  const crossed = at.offerOf("c1");
  at.say({ kind: "agent-signed-out", agentId: asId<"agent">("alice") }); // now offered to bob
  assert.equal(shown(at.accept("c1", crossed)), "withdraw c1");
  assert.equal(contact(at, "c1"), "accepted");
  assert.equal(agent(at, "bob"), "available");
});

test("an agent who talks after all is not rung for somebody else", () => {
  const at = desk("alice");
  at.call("c1");
  const crossed = at.offerOf("c1");
  at.call("c2", { priority: 1 });
  at.say({ kind: "tick" }, 25_000); // no word: alice is rona, c1 waits again
  at.say({ kind: "agent-set", agentId: asId<"agent">("alice"), to: { name: "available" } });
  assert.equal(contact(at, "c2"), "offered");
  assert.equal(shown(at.accept("c1", crossed)), "withdraw c2");
  assert.deepEqual([contact(at, "c1"), contact(at, "c2"), agent(at, "alice")], ["accepted", "waiting", "on-contact"]);
});

test("a POP that says nothing about an offer is not waited for: the offer expires", () => {
  const at = desk("alice", "bob");
  at.call("c1");
  const due = nextDueAtMs(DIRECTORY, at.state);
  assert.equal(due, at.atMs + 20_000 + DEFAULT_TIMING.offerGraceMs);
  assert.equal(shown(at.say({ kind: "tick" }, 25_000)), "withdraw c1, offer c1 to bob");
  assert.equal(agent(at, "alice"), "rona");
});

test("a full queue refuses, an unknown queue too", () => {
  const at = desk();
  for (const id of ["c1", "c2", "c3"]) at.call(id);
  assert.equal(shown(at.call("c4")), "refuse c4 queue.full");
  assert.equal(shown(at.call("c5", { queue: "gone" })), "refuse c5 queue.unknown");
});

test("a repeated enqueue is harmless and tells the place again", () => {
  const at = desk();
  at.call("c1", { enqueuedAtMs: at.atMs - 5_000 });
  assert.equal(shown(at.call("c1")), "tell c1 place 1");
  assert.equal(at.state.contacts.c1?.enqueuedAtMs, at.atMs - 5_000);
});

test("places that change are told, at most once a second", () => {
  const at = desk();
  at.call("c1");
  at.call("c2");
  at.call("c3");
  assert.equal(shown(at.cancel("c1")), "", "told a moment ago");
  assert.equal(shown(at.say({ kind: "tick" }, 1_000)), "tell c2 place 1, tell c3 place 2");
  assert.equal(nextDueAtMs(DIRECTORY, at.state), undefined, "nothing more to do");
});

test("a host that is gone keeps its callers' places for a minute, unoffered; then they are removed", () => {
  const at = desk();
  at.call("c1");
  at.say({ kind: "host-unlinked", hostId: HOST });
  assert.equal(shown(at.signIn("alice")), "", "nobody there to ring the phone");
  at.say({ kind: "tick" }, 59_999);
  assert.equal(contact(at, "c1"), "waiting");
  at.say({ kind: "tick" }, 1);
  assert.equal(contact(at, "c1"), "gone");
});

test("a host that comes back within the minute has its callers in their old places", () => {
  const at = desk();
  at.link("host-b");
  at.call("c1", { enqueuedAtMs: at.atMs - 30_000 });
  at.call("c2", { host: "host-b", enqueuedAtMs: at.atMs - 10_000 });
  at.say({ kind: "host-unlinked", hostId: HOST });
  const waiting = [
    { contactId: asId<"call">("c1"), queueId: asId<"queue">("support"), priority: 0, enqueuedAtMs: at.atMs - 30_000 },
  ];
  at.atMs += 2_000;
  at.say({ kind: "host-linked", hostId: HOST, waiting, offers: [] });
  assert.equal(shown(at.signIn("alice")), "offer c1 to alice");
});

test("a region that forgot everything takes contacts and conversations back from the hosts", () => {
  const at = new Desk();
  at.say({
    kind: "host-linked",
    hostId: HOST,
    waiting: [
      { contactId: asId<"call">("c1"), queueId: asId<"queue">("support"), priority: 0, enqueuedAtMs: at.atMs - 60_000 },
    ],
    offers: [
      {
        contactId: asId<"call">("c0"),
        offerId: asId<"offer">("o-c0"),
        agentId: asId<"agent">("alice"),
        queueId: asId<"queue">("support"),
        accepted: true,
      },
    ],
  });
  assert.deepEqual([contact(at, "c0"), contact(at, "c1")], ["accepted", "waiting"]);
  assert.equal(shown(at.signIn("alice")), "", "alice is talking to c0");
  assert.equal(agent(at, "alice"), "on-contact");
  assert.equal(shown(at.release("c0")), "offer c1 to alice");
  assert.equal(at.state.contacts.c1?.enqueuedAtMs, at.atMs - 60_000);
});

test("what a host no longer names is over: the contact goes, its agent is free", () => {
  const at = desk("alice");
  at.call("c1");
  at.accept("c1");
  at.link("host-a");
  assert.deepEqual([contact(at, "c1"), agent(at, "alice")], ["gone", "available"]);
});

test("a ringing offer that its host still holds goes on ringing after a restart", () => {
  const at = desk("alice");
  at.call("c1");
  const offerId = asId<"offer">(at.offerOf("c1"));
  at.say({ kind: "restored" }, 3_000);
  const held = {
    contactId: asId<"call">("c1"),
    offerId,
    agentId: asId<"agent">("alice"),
    queueId: asId<"queue">("support"),
    accepted: false,
  };
  assert.equal(shown(at.say({ kind: "host-linked", hostId: HOST, waiting: [], offers: [held] })), "");
  at.accept("c1");
  assert.deepEqual([contact(at, "c1"), agent(at, "alice")], ["accepted", "on-contact"]);
});

test("an offer that never reached its host is made anew", () => {
  const at = desk("alice");
  at.call("c1");
  const first = at.offerOf("c1");
  at.say({ kind: "host-unlinked", hostId: HOST }, 10);
  const waiting = [
    { contactId: asId<"call">("c1"), queueId: asId<"queue">("support"), priority: 0, enqueuedAtMs: at.atMs },
  ];
  assert.match(shown(at.say({ kind: "host-linked", hostId: HOST, waiting, offers: [] }, 10)), /offer c1 to alice/);
  assert.notEqual(at.offerOf("c1"), first);
});

test("after a contact an agent with wrap-up time is free when that is over", () => {
  const at = new Desk({ ...DIRECTORY, timing: { ...DEFAULT_TIMING, wrapUpMs: 10_000 } });
  at.link("host-a");
  at.signIn("alice");
  at.call("c1");
  at.accept("c1");
  at.release("c1");
  assert.equal(agent(at, "alice"), "wrap-up");
  at.say({ kind: "tick" }, 10_000);
  assert.equal(agent(at, "alice"), "available");
});

test("an agent who was removed is signed out, callers of a removed queue are refused", () => {
  const at = desk("alice");
  at.call("c1", { queue: "sales" });
  const smaller = new Desk({ ...DIRECTORY, queues: new Map(), agents: new Map() });
  smaller.state = at.state;
  smaller.atMs = at.atMs;
  assert.equal(shown(smaller.say({ kind: "configured" })), "refuse c1 queue.unknown");
  assert.equal(agent(smaller, "alice"), "signed-out");
});
