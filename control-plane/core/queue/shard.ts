// Queue routing for one tenant: callers that wait, agents that take them, one offer at a time. Rows Q1, Q2, Q3.
//
// What always holds, and is checked by the properties beside this file:
//  (a) an agent has at most one offer or contact, and a contact at most one agent;
//  (b) an agent's offer or contact and the contact's agent name each other;
//  (c) a contact leaves only by cancel, release, refusal, or with its host;
//  (d) who waits longest at the highest priority goes first, as far as an agent of the queue's teams is free;
//  (e) every offer ends: by the POP's word, by its own expiry, or with its host.

import type { AgentId, CallId, OfferId, PopHostId, QueueId } from "../../../kernel/ids.ts";
import { asId } from "../../../kernel/ids.ts";
import { impossible, type Step } from "../../../kernel/step.ts";
import { showMs } from "../../../kernel/units.ts";
import type { AgentChoice, Arrival, HeldOffer, OfferFailure, ShardEffect, ShardInput } from "./shard-messages.ts";
import {
  type AfterContact,
  type Agent,
  type AgentState,
  type AtMs,
  byPlace,
  type Contact,
  type Directory,
  isLinked,
  type ShardState,
  waitingIn,
} from "./shard-state.ts";

/** One input; then whatever has fallen due, whatever can be offered, and the places that changed. */
export function step(directory: Directory, state: ShardState, input: ShardInput): Step<ShardState, ShardEffect> {
  const draft = new Draft(directory, state, input.atMs);
  take(draft, input);
  expire(draft);
  assign(draft);
  tellPositions(draft);
  return draft.finish();
}

/** When a tick is wanted next, undefined: not before something else happens. */
export function nextDueAtMs(directory: Directory, state: ShardState): AtMs | undefined {
  const { timing } = directory;
  let due = Number.POSITIVE_INFINITY;
  for (const { state: contact, hostId } of Object.values(state.contacts))
    if (contact.name === "offered" && isLinked(state.hosts, hostId)) due = Math.min(due, contact.expiresAtMs);
  for (const host of Object.values(state.hosts))
    if (host.name === "lost") due = Math.min(due, host.sinceMs + timing.hostGraceMs);
  for (const { state: agent } of Object.values(state.agents))
    if (agent.name === "wrap-up") due = Math.min(due, agent.untilMs);
  if (state.positionsStale) due = Math.min(due, state.positionsToldAtMs + timing.positionIntervalMs);
  return Number.isFinite(due) ? due : undefined;
}

/** The state while one step changes it. Lives no longer than the step. */
class Draft {
  readonly directory: Directory;
  readonly atMs: AtMs;
  readonly agents: Record<string, Agent>;
  readonly contacts: Record<string, Contact>;
  readonly hosts: Record<string, ShardState["hosts"][string]>;
  offersMade: number;
  positionsToldAtMs: AtMs;
  positionsStale: boolean;
  readonly effects: ShardEffect[] = [];

  constructor(directory: Directory, state: ShardState, atMs: AtMs) {
    this.directory = directory;
    this.atMs = atMs;
    this.agents = { ...state.agents };
    this.contacts = { ...state.contacts };
    this.hosts = { ...state.hosts };
    this.offersMade = state.offersMade;
    this.positionsToldAtMs = state.positionsToldAtMs;
    this.positionsStale = state.positionsStale;
  }

  finish(): Step<ShardState, ShardEffect> {
    const { agents, contacts, hosts, offersMade, positionsToldAtMs, positionsStale, effects } = this;
    return { state: { agents, contacts, hosts, offersMade, positionsToldAtMs, positionsStale }, effects };
  }

  putAgent(agent: Agent, state: AgentState): void {
    this.agents[agent.id] = { ...agent, state };
  }

  putContact(contact: Contact): void {
    this.contacts[contact.id] = contact;
    this.positionsStale = true;
  }

  drop(contact: Contact): void {
    delete this.contacts[contact.id];
    this.positionsStale = true;
  }

  decide(contactId: CallId, what: string, why: string): void {
    this.effects.push({ kind: "decided", contactId, decision: { atMs: this.atMs, what, why } });
  }
}

function take(draft: Draft, input: ShardInput): void {
  switch (input.kind) {
    case "agent-signed-in":
      return signIn(draft, input.agentId, input.address, input.as);
    case "agent-signed-out":
      return signOut(draft, input.agentId, "agent signed out");
    case "agent-set":
      return setAgent(draft, input.agentId, input.to);
    case "enqueue":
      return enqueue(draft, input.hostId, input);
    case "cancel":
      return cancel(draft, input.contactId, input.reason);
    case "offer-accepted":
      return accepted(draft, input.contactId, input.offerId);
    case "offer-failed":
      return failed(draft, input.contactId, input.offerId, input.failure, input.sipStatus);
    case "agent-released":
      return released(draft, input.contactId, input.offerId);
    case "host-linked":
      return linked(draft, input.hostId, input.waiting, input.offers);
    case "host-unlinked":
      draft.hosts[input.hostId] = { name: "lost", sinceMs: draft.atMs };
      return;
    case "configured":
      return configured(draft);
    case "restored":
      return restored(draft);
    case "tick":
      return;
    default:
      return impossible(input);
  }
}

// --- agents ---------------------------------------------------------------------------------------------------------

/** Signing in again only moves the agent to another phone: a desktop that reconnects loses nothing. Row A4. */
function signIn(draft: Draft, id: AgentId, address: string, as: AgentChoice): void {
  const known = draft.agents[id];
  if (known) {
    draft.agents[id] = { ...known, address };
    return;
  }
  const talking = Object.values(draft.contacts).find(({ state }) => state.name === "accepted" && state.agentId === id);
  const state: AgentState =
    talking?.state.name === "accepted"
      ? {
          name: "on-contact",
          sinceMs: talking.state.sinceMs,
          contactId: talking.id,
          offerId: talking.state.offerId,
          after: as,
        }
      : chosen(as, draft.atMs);
  draft.agents[id] = { id, address, state };
}

const chosen = (choice: AgentChoice, sinceMs: AtMs): AgentState =>
  choice.name === "available" ? { name: "available", sinceMs } : { name: "idle", sinceMs, reason: choice.reason };

function setAgent(draft: Draft, id: AgentId, to: AgentChoice): void {
  const agent = draft.agents[id];
  if (agent === undefined) return;
  const { state } = agent;
  switch (state.name) {
    case "offered":
    case "on-contact":
      return draft.putAgent(agent, { ...state, after: to }); // holds when the contact is over
    case "available":
      if (to.name === "idle") draft.putAgent(agent, chosen(to, draft.atMs));
      return; // available already: the place among the available is kept
    case "idle":
    case "rona":
    case "wrap-up":
      return draft.putAgent(agent, chosen(to, draft.atMs));
  }
}

function signOut(draft: Draft, id: AgentId, why: string): void {
  const agent = draft.agents[id];
  if (agent === undefined) return;
  if (agent.state.name === "on-contact") {
    draft.putAgent(agent, { ...agent.state, after: { name: "signed-out" } });
    return;
  }
  if (agent.state.name === "offered") {
    const contact = draft.contacts[agent.state.contactId];
    if (contact) withdraw(draft, contact, why);
  }
  delete draft.agents[id];
}

/** What the agent is once a contact or an offer is over. */
function settle(draft: Draft, agent: Agent, after: AfterContact, availableSinceMs: AtMs): void {
  if (after.name === "signed-out") delete draft.agents[agent.id];
  else draft.putAgent(agent, chosen(after, after.name === "available" ? availableSinceMs : draft.atMs));
}

/** The conversation is over, or counts as over. */
function freeFromContact(draft: Draft, agentId: AgentId, offerId: OfferId): void {
  const agent = draft.agents[agentId];
  if (agent?.state.name !== "on-contact" || agent.state.offerId !== offerId) return;
  const { after } = agent.state;
  const { wrapUpMs } = draft.directory.timing;
  if (wrapUpMs > 0 && after.name !== "signed-out")
    draft.putAgent(agent, { name: "wrap-up", sinceMs: draft.atMs, untilMs: draft.atMs + wrapUpMs, after });
  else settle(draft, agent, after, draft.atMs);
}

/** The offer ended by nobody's fault: the agent stands where it stood. */
function freeFromOffer(draft: Draft, agentId: AgentId, offerId: OfferId): void {
  const agent = draft.agents[agentId];
  if (agent?.state.name !== "offered" || agent.state.offerId !== offerId) return;
  settle(draft, agent, agent.state.after, agent.state.availableSinceMs);
}

// --- contacts -------------------------------------------------------------------------------------------------------

function enqueue(draft: Draft, hostId: PopHostId, arrival: Arrival): void {
  const known = draft.contacts[arrival.contactId];
  if (known?.state.name === "offered" && known.hostId === hostId && known.queueId === arrival.queueId) return;
  if (known?.state.name === "waiting" && known.queueId === arrival.queueId) {
    // Repeated, or brought by the host that took the call over: the place is kept, and told again.
    draft.putContact({ ...known, hostId, positionTold: 0 });
    tellOwnPosition(draft, known.id);
    return;
  }
  if (known) leave(draft, known);
  const queue = draft.directory.queues.get(arrival.queueId);
  if (queue === undefined)
    return refuse(draft, hostId, arrival.contactId, "queue.unknown", `no queue ${arrival.queueId}`);
  const inQueue = Object.values(draft.contacts).filter(
    ({ queueId, state }) => queueId === arrival.queueId && state.name !== "accepted",
  ).length;
  if (inQueue >= queue.contactsMax)
    return refuse(
      draft,
      hostId,
      arrival.contactId,
      "queue.full",
      `${inQueue} contacts wait, at most ${queue.contactsMax}`,
    );
  add(draft, hostId, arrival);
  const before = tellOwnPosition(draft, arrival.contactId) - 1;
  draft.decide(arrival.contactId, "queued", `${before} before it; ${freeAgents(draft, arrival.queueId)}`);
}

function add(draft: Draft, hostId: PopHostId, { contactId, queueId, priority, enqueuedAtMs }: Arrival): Contact {
  const contact: Contact = {
    id: contactId,
    queueId,
    hostId,
    priority,
    // A clock that runs ahead must not cost anyone the place; no time at all means now.
    enqueuedAtMs: enqueuedAtMs > 0 ? Math.min(enqueuedAtMs, draft.atMs) : draft.atMs,
    state: { name: "waiting" },
    offersMade: 0,
    endedOffer: null,
    positionTold: 0,
  };
  draft.putContact(contact);
  return contact;
}

function refuse(
  draft: Draft,
  hostId: PopHostId,
  contactId: CallId,
  code: "queue.unknown" | "queue.full",
  reason: string,
): void {
  draft.effects.push({ kind: "refuse", hostId, contactId, code, reason });
  draft.decide(contactId, "refused", `${code}: ${reason}`);
}

function cancel(draft: Draft, contactId: CallId, reason: string): void {
  const contact = draft.contacts[contactId];
  if (contact === undefined) return;
  draft.decide(contactId, "left", `${reason} after ${showMs(draft.atMs - contact.enqueuedAtMs)}`);
  leave(draft, contact);
}

/** Takes the contact out, and frees whoever it had. */
function leave(draft: Draft, contact: Contact): void {
  const { state } = contact;
  if (state.name === "offered") freeFromOffer(draft, state.agentId, state.offerId);
  if (state.name === "accepted") freeFromContact(draft, state.agentId, state.offerId);
  draft.drop(contact);
}

function accepted(draft: Draft, contactId: CallId, offerId: OfferId): void {
  const contact = draft.contacts[contactId];
  if (contact === undefined) return;
  const { state } = contact;
  if (state.name === "offered" && state.offerId === offerId) return converse(draft, contact, offerId, state.agentId);
  if (state.name === "accepted" || contact.endedOffer?.offerId !== offerId) return; // repeated, or unheard of
  // The answer crossed the end of the offer: they are talking, and a conversation is not cut for our bookkeeping.
  if (state.name === "offered") withdraw(draft, contact, "answered by another agent");
  draft.decide(contactId, "accepted-late", `${contact.endedOffer.agentId} answered as the offer ended`);
  converse(draft, draft.contacts[contactId] ?? contact, offerId, contact.endedOffer.agentId);
}

/** Contact and agent talk. Whatever else the agent was offered is taken back. */
function converse(draft: Draft, contact: Contact, offerId: OfferId, agentId: AgentId): void {
  const agent = draft.agents[agentId];
  // Not the agent's own state: one whose sign-in was forgotten has none, and may be claimed twice all the same.
  const isTalking = Object.values(draft.contacts).some(
    ({ id, state }) => id !== contact.id && state.name === "accepted" && state.agentId === agentId,
  );
  if (isTalking) {
    // Two conversations of one agent cannot be: the later one is the POP's alone to end.
    draft.decide(contact.id, "left", `${agentId} talks to another contact as well`);
    draft.drop(contact);
    return;
  }
  let after: AfterContact = { name: "available" };
  if (agent?.state.name === "offered") {
    after = agent.state.after;
    const other = draft.contacts[agent.state.contactId];
    if (other && other.id !== contact.id) withdraw(draft, other, "agent is talking already");
  }
  if (agent?.state.name === "idle" && agent.state.reason !== "unreachable")
    after = { name: "idle", reason: agent.state.reason };
  draft.putContact({
    ...contact,
    state: { name: "accepted", offerId, agentId, sinceMs: draft.atMs },
    endedOffer: null,
  });
  const now = draft.agents[agentId];
  if (now) draft.putAgent(now, { name: "on-contact", sinceMs: draft.atMs, contactId: contact.id, offerId, after });
  draft.decide(contact.id, "accepted", `by ${agentId} after ${showMs(draft.atMs - contact.enqueuedAtMs)} of waiting`);
}

function failed(draft: Draft, contactId: CallId, offerId: OfferId, failure: OfferFailure, sipStatus: number): void {
  const contact = draft.contacts[contactId];
  if (contact?.state.name !== "offered" || contact.state.offerId !== offerId) return;
  const { agentId } = contact.state;
  const status = sipStatus === 0 ? "" : ` (${sipStatus})`;
  const agent = draft.agents[agentId];
  switch (failure) {
    case "contact-gone":
      draft.decide(contactId, "left", `while ${agentId} was rung`);
      return leave(draft, contact);
    case "no-answer":
      draft.decide(contactId, "no-answer", `${agentId} did not answer${status}; back in its place`);
      if (agent) draft.putAgent(agent, { name: "rona", sinceMs: draft.atMs });
      break;
    case "rejected":
      draft.decide(contactId, "declined", `${agentId} declined${status}; back in its place`);
      if (agent) draft.putAgent(agent, { name: "idle", sinceMs: draft.atMs, reason: "declined" });
      break;
    case "unreachable":
      draft.decide(contactId, "unreachable", `${agentId} could not be reached${status}; back in its place`);
      if (agent) draft.putAgent(agent, { name: "idle", sinceMs: draft.atMs, reason: "unreachable" });
      break;
  }
  backToPlace(draft, contact);
}

function released(draft: Draft, contactId: CallId, offerId: OfferId): void {
  const contact = draft.contacts[contactId];
  if (contact?.state.name === "accepted" && contact.state.offerId === offerId) {
    draft.decide(
      contactId,
      "released",
      `${contact.state.agentId} talked ${showMs(draft.atMs - contact.state.sinceMs)}`,
    );
    return leave(draft, contact);
  }
  for (const { id, state } of Object.values(draft.agents))
    if (state.name === "on-contact" && state.offerId === offerId) freeFromContact(draft, id, offerId);
}

/** The offer is over and its agent seen to: the contact waits where it waited. */
function backToPlace(draft: Draft, contact: Contact): void {
  if (contact.state.name !== "offered") return;
  const { offerId, agentId } = contact.state;
  draft.putContact({ ...contact, state: { name: "waiting" }, endedOffer: { offerId, agentId }, positionTold: 0 });
  if (!draft.directory.queues.has(contact.queueId)) refuseGone(draft, contact);
}

/** Tells the POP to stop ringing; nobody is to blame, so the agent stands where it stood. */
function withdraw(draft: Draft, contact: Contact, reason: string): void {
  if (contact.state.name !== "offered") return;
  const { offerId, agentId } = contact.state;
  const { hostId, id: contactId } = contact;
  draft.effects.push({ kind: "withdraw", hostId, offerId, contactId, reason });
  draft.decide(contactId, "withdrawn", `from ${agentId}: ${reason}`);
  freeFromOffer(draft, agentId, offerId);
  backToPlace(draft, contact);
}

function refuseGone(draft: Draft, contact: Contact): void {
  refuse(draft, contact.hostId, contact.id, "queue.unknown", `queue ${contact.queueId} was removed`);
  draft.drop(contact);
}

// --- hosts ----------------------------------------------------------------------------------------------------------

/** The host says what it holds; that is the truth about calls, this is the truth about agents. */
function linked(draft: Draft, hostId: PopHostId, waiting: readonly Arrival[], offers: readonly HeldOffer[]): void {
  draft.hosts[hostId] = { name: "linked" };
  const held = new Map(offers.map((offer) => [offer.contactId, offer]));
  const named = new Set<string>([...held.keys(), ...waiting.map(({ contactId }) => contactId)]);
  for (const contact of Object.values(draft.contacts)) {
    if (contact.hostId !== hostId || named.has(contact.id)) continue;
    draft.decide(contact.id, "left", "its host no longer holds it");
    leave(draft, contact);
  }
  const arrivals = new Map(waiting.map((arrival) => [arrival.contactId, arrival]));
  for (const contactId of named) {
    const id = asId<"call">(contactId);
    const offer = held.get(id);
    const arrival = arrivals.get(id) ?? {
      contactId: id,
      queueId: offer?.queueId ?? asId<"queue">(""),
      priority: 0,
      enqueuedAtMs: draft.atMs,
    };
    takeBack(draft, hostId, arrival, offer);
  }
}

function takeBack(draft: Draft, hostId: PopHostId, arrival: Arrival, offer: HeldOffer | undefined): void {
  const { contactId } = arrival;
  const known = draft.contacts[contactId];
  const contact = known ? { ...known, hostId, positionTold: 0 } : add(draft, hostId, arrival);
  if (known) draft.putContact(contact);
  else draft.decide(contactId, "taken-back", `has waited ${showMs(draft.atMs - contact.enqueuedAtMs)}`);

  const { state } = contact;
  const same =
    offer !== undefined &&
    state.name !== "waiting" &&
    state.offerId === offer.offerId &&
    state.agentId === offer.agentId;
  if (!same) {
    // What this side remembers never reached the host, or is over there.
    if (contact.state.name === "offered") {
      freeFromOffer(draft, contact.state.agentId, contact.state.offerId);
      backToPlace(draft, contact);
    }
    if (contact.state.name === "accepted") {
      freeFromContact(draft, contact.state.agentId, contact.state.offerId);
      draft.putContact({ ...contact, state: { name: "waiting" } });
    }
  }
  const now = draft.contacts[contactId];
  if (now === undefined) return;
  if (offer === undefined) {
    if (!draft.directory.queues.has(now.queueId)) refuseGone(draft, now);
    return;
  }
  if (offer.accepted) {
    if (now.state.name !== "accepted") converse(draft, now, offer.offerId, offer.agentId);
    return;
  }
  if (same) return ringOn(draft, now);
  const agent = draft.agents[offer.agentId];
  if (agent?.state.name === "available") {
    offerTo(draft, now, agent, offer.offerId);
    return;
  }
  const { offerId } = offer;
  draft.effects.push({ kind: "withdraw", hostId, offerId, contactId, reason: "the agent is not free" });
}

/** The phone has rung on meanwhile; what came of it will be said. */
function ringOn(draft: Draft, contact: Contact): void {
  if (contact.state.name !== "offered") return;
  draft.putContact({ ...contact, state: { ...contact.state, expiresAtMs: expiryOf(draft, contact.queueId) } });
}

function expiryOf(draft: Draft, queueId: QueueId): AtMs {
  const ringTimeoutMs = draft.directory.queues.get(queueId)?.ringTimeoutMs ?? 0;
  return draft.atMs + ringTimeoutMs + draft.directory.timing.offerGraceMs;
}

function restored(draft: Draft): void {
  const hosts = new Set([
    ...Object.keys(draft.hosts),
    ...Object.values(draft.contacts).map(({ hostId }) => hostId as string),
  ]);
  for (const hostId of hosts) draft.hosts[hostId] = { name: "lost", sinceMs: draft.atMs };
}

function configured(draft: Draft): void {
  for (const { id } of Object.values(draft.agents))
    if (!draft.directory.agents.has(id)) signOut(draft, id, "agent was removed");
  for (const contact of Object.values(draft.contacts))
    if (contact.state.name === "waiting" && !draft.directory.queues.has(contact.queueId)) refuseGone(draft, contact);
}

// --- after every input ----------------------------------------------------------------------------------------------

function expire(draft: Draft): void {
  const { timing } = draft.directory;
  for (const contact of Object.values(draft.contacts)) {
    const { state, hostId, id } = contact;
    // While its host is away nobody can say what came of the offer: the host's own grace decides.
    if (state.name !== "offered" || state.expiresAtMs > draft.atMs || !isLinked(draft.hosts, hostId)) continue;
    const reason = "no word from the POP in time";
    draft.effects.push({ kind: "withdraw", hostId, offerId: state.offerId, contactId: id, reason });
    failed(draft, id, state.offerId, "no-answer", 0);
  }
  for (const [hostId, host] of Object.entries(draft.hosts)) {
    if (host.name !== "lost" || draft.atMs < host.sinceMs + timing.hostGraceMs) continue;
    for (const contact of Object.values(draft.contacts)) {
      if (contact.hostId !== hostId) continue;
      draft.decide(contact.id, "host-lost", `${hostId} did not come back within ${showMs(timing.hostGraceMs)}`);
      leave(draft, contact);
    }
    delete draft.hosts[hostId];
  }
  for (const agent of Object.values(draft.agents))
    if (agent.state.name === "wrap-up" && agent.state.untilMs <= draft.atMs)
      settle(draft, agent, agent.state.after, draft.atMs);
}

/** Offers, in order of places over all queues, each contact to the longest available agent of its queue's teams. Q1, Q2. */
function assign(draft: Draft): void {
  const free = Object.values(draft.agents).filter(({ state }) => state.name === "available");
  if (free.length === 0) return;
  free.sort((a, b) => a.state.sinceMs - b.state.sinceMs || (a.id < b.id ? -1 : 1));
  const waiting = Object.values(draft.contacts).filter(
    ({ state, hostId }) => state.name === "waiting" && isLinked(draft.hosts, hostId),
  );
  for (const contact of waiting.sort(byPlace)) {
    if (free.length === 0) return;
    const at = free.findIndex(({ id }) => serves(draft, id, contact.queueId));
    const [agent] = at === -1 ? [] : free.splice(at, 1);
    if (agent === undefined) continue;
    const { queueId, id, hostId } = contact;
    const others = free.filter((other) => serves(draft, other.id, queueId)).length;
    const offered = offerTo(draft, contact, agent, undefined);
    draft.effects.push({
      kind: "offer",
      hostId,
      offerId: offered,
      contactId: id,
      queueId,
      agentId: agent.id,
      agentUri: agent.address,
      ringTimeoutMs: draft.directory.queues.get(queueId)?.ringTimeoutMs ?? 0,
    });
    draft.decide(
      id,
      "offered",
      `${agent.id} longest available, ${showMs(draft.atMs - agent.state.sinceMs)}; ${others} more free; waited ${showMs(draft.atMs - contact.enqueuedAtMs)}`,
    );
  }
}

/** Reserves the agent for the contact; a new offer id unless the POP rings one already. */
function offerTo(draft: Draft, contact: Contact, agent: Agent, ringing: OfferId | undefined): OfferId {
  const offersMade = contact.offersMade + 1;
  draft.offersMade++;
  // Unique without chance: the offer's number in this shard, and when, should the shard have been lost.
  const offerId = ringing ?? asId<"offer">(`${contact.id}-${draft.offersMade}-${draft.atMs.toString(36)}`);
  const expiresAtMs = expiryOf(draft, contact.queueId);
  draft.putContact({ ...contact, offersMade, state: { name: "offered", offerId, agentId: agent.id, expiresAtMs } });
  draft.putAgent(agent, {
    name: "offered",
    sinceMs: draft.atMs,
    contactId: contact.id,
    offerId,
    availableSinceMs: agent.state.sinceMs,
    after: { name: "available" },
  });
  return offerId;
}

function serves(draft: Draft, agentId: AgentId, queueId: QueueId): boolean {
  const teams = draft.directory.queues.get(queueId)?.teams ?? [];
  return draft.directory.agents.get(agentId)?.teams.some((team) => teams.includes(team)) ?? false;
}

/** "no agent free: 2 on-contact, 1 rona, 1 signed-out" */
function freeAgents(draft: Draft, queueId: QueueId): string {
  const counts = new Map<string, number>();
  for (const id of draft.directory.agents.keys()) {
    if (!serves(draft, id, queueId)) continue;
    const name = draft.agents[id]?.state.name ?? "signed-out";
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  const available = counts.get("available") ?? 0;
  if (available > 0) return `${available} free`;
  const rest = [...counts].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, count]) => `${count} ${name}`);
  return rest.length === 0 ? "no agent in its teams" : `no agent free: ${rest.join(", ")}`;
}

/** A new arrival hears its place at once, others when their turn to be told comes. Returns the place. */
function tellOwnPosition(draft: Draft, contactId: CallId): number {
  const contact = draft.contacts[contactId];
  if (contact === undefined) return 0;
  let position = 1;
  for (const other of Object.values(draft.contacts))
    if (other.queueId === contact.queueId && other.state.name === "waiting" && byPlace(other, contact) < 0) position++;
  draft.contacts[contactId] = { ...contact, positionTold: position };
  const { hostId, queueId } = contact;
  draft.effects.push({ kind: "tell-position", hostId, contactId, queueId, position });
  return position;
}

/** Bounded: a contact hears of its place at most once in positionIntervalMs. */
function tellPositions(draft: Draft): void {
  if (!draft.positionsStale) return;
  const sinceMs = draft.atMs - draft.positionsToldAtMs; // negative: the wall clock was set back
  if (sinceMs >= 0 && sinceMs < draft.directory.timing.positionIntervalMs) return;
  const queues = new Set(Object.values(draft.contacts).map(({ queueId }) => queueId));
  for (const queueId of queues) {
    waitingIn(draft.contacts, queueId).forEach((contact, at) => {
      const position = at + 1;
      const { hostId, id: contactId } = contact;
      if (contact.positionTold === position || !isLinked(draft.hosts, hostId)) return;
      draft.contacts[contactId] = { ...contact, positionTold: position };
      draft.effects.push({ kind: "tell-position", hostId, contactId, queueId, position });
    });
  }
  draft.positionsToldAtMs = draft.atMs;
  draft.positionsStale = false;
}
