// A small contact centre for the tests of this folder: two queues, three agents, times that read well.

import { asId } from "../../../kernel/ids.ts";
import { impossible } from "../../../kernel/step.ts";
import { step } from "./shard.ts";
import type { ShardEffect, ShardInput } from "./shard-messages.ts";
import { type AtMs, DEFAULT_TIMING, type Directory, EMPTY_SHARD, type ShardState } from "./shard-state.ts";

const team = asId<"team">;

/** alice and bob take support; carol takes support and sales; a queue holds three. */
export const DIRECTORY: Directory = {
  timing: DEFAULT_TIMING,
  queues: new Map([
    [asId<"queue">("support"), { teams: [team("first-line"), team("all")], ringTimeoutMs: 20_000, contactsMax: 3 }],
    [asId<"queue">("sales"), { teams: [team("all")], ringTimeoutMs: 20_000, contactsMax: 3 }],
  ]),
  agents: new Map([
    [asId<"agent">("alice"), { teams: [team("first-line")] }],
    [asId<"agent">("bob"), { teams: [team("first-line")] }],
    [asId<"agent">("carol"), { teams: [team("all")] }],
  ]),
};

type Untimed<Input> = Input extends ShardInput ? Omit<Input, "atMs"> : never;
export const START_MS: AtMs = 1_000_000;

/** A shard with a clock: says one thing after another and remembers what came of each. */
export class Desk {
  state: ShardState = EMPTY_SHARD;
  atMs: AtMs = START_MS;
  readonly directory: Directory;
  effects: readonly ShardEffect[] = [];

  constructor(directory: Directory = DIRECTORY) {
    this.directory = directory;
  }

  say(news: Untimed<ShardInput>, afterMs = 0): readonly ShardEffect[] {
    this.atMs += afterMs;
    const input = { ...news, atMs: this.atMs } as ShardInput;
    const { state, effects } = step(this.directory, this.state, input);
    this.state = state;
    this.effects = effects;
    return effects;
  }

  link(host: string): readonly ShardEffect[] {
    return this.say({ kind: "host-linked", hostId: asId<"pop-host">(host), waiting: [], offers: [] });
  }

  signIn(agent: string): readonly ShardEffect[] {
    return this.say({
      kind: "agent-signed-in",
      agentId: asId<"agent">(agent),
      address: `sip:${agent}@127.30.0.1`,
      as: { name: "available" },
    });
  }

  call(contact: string, options: { host?: string; queue?: string; priority?: number; enqueuedAtMs?: AtMs } = {}) {
    return this.say({
      kind: "enqueue",
      hostId: asId<"pop-host">(options.host ?? "host-a"),
      contactId: asId<"call">(contact),
      queueId: asId<"queue">(options.queue ?? "support"),
      priority: options.priority ?? 0,
      enqueuedAtMs: options.enqueuedAtMs ?? this.atMs,
    });
  }

  /** The offer that the contact has now. */
  offerOf(contact: string): string {
    const state = this.state.contacts[contact]?.state;
    return state === undefined || state.name === "waiting" ? "none" : state.offerId;
  }

  accept(contact: string, offer = this.offerOf(contact)) {
    return this.say({ kind: "offer-accepted", contactId: asId<"call">(contact), offerId: asId<"offer">(offer) });
  }

  fail(contact: string, failure: "rejected" | "no-answer" | "unreachable" | "contact-gone") {
    const offerId = asId<"offer">(this.offerOf(contact));
    return this.say({ kind: "offer-failed", contactId: asId<"call">(contact), offerId, failure, sipStatus: 0 });
  }

  release(contact: string) {
    const offerId = asId<"offer">(this.offerOf(contact));
    return this.say({ kind: "agent-released", contactId: asId<"call">(contact), offerId });
  }

  cancel(contact: string) {
    return this.say({
      kind: "cancel",
      hostId: asId<"pop-host">("host-a"),
      contactId: asId<"call">(contact),
      reason: "abandoned",
    });
  }
}

/** "offer c1 to alice, tell c2 place 1": effects without journal, in order. */
export const shown = (effects: readonly ShardEffect[]): string =>
  effects
    .filter((effect) => effect.kind !== "decided")
    .map((effect) => {
      switch (effect.kind) {
        case "offer":
          return `offer ${effect.contactId} to ${effect.agentId}`;
        case "tell-position":
          return `tell ${effect.contactId} place ${effect.position}`;
        case "withdraw":
          return `withdraw ${effect.contactId}`;
        case "refuse":
          return `refuse ${effect.contactId} ${effect.code}`;
        default:
          return impossible(effect);
      }
    })
    .join(", ");
