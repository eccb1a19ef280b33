// The names of things, each of a type of its own, so that one cannot be handed over for another.

import type { Rng } from "./rng.ts";

declare const brand: unique symbol;

/** A string that cannot be mistaken for a string of another kind. */
export type Id<Kind extends string> = string & { readonly [brand]: Kind };

export type CallId = Id<"call">; // ours, one per call; not the SIP Call-ID, of which each leg has one
export type LegId = Id<"leg">;
export type TenantId = Id<"tenant">;
export type TrunkId = Id<"trunk">;
export type EntryPointId = Id<"entry-point">;
export type FlowId = Id<"flow">;
export type QueueId = Id<"queue">;
export type TeamId = Id<"team">;
export type AgentId = Id<"agent">;
export type OfferId = Id<"offer">;
export type PopId = Id<"pop">;
export type PopHostId = Id<"pop-host">;
export type RegionId = Id<"region">;

/** For the edges only: parsers, wire codecs, tests. */
export const asId = <Kind extends string>(text: string): Id<Kind> => text as Id<Kind>;

const ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz";

/**
 * A fresh id that sorts by time of birth: nine base-36 characters of Unix
 * milliseconds, then twelve random ones (62 bits: two of the same millisecond
 * collide once in 10^18).
 */
export function newId<Kind extends string>(unixMs: number, rng: Rng): Id<Kind> {
  const time = Math.floor(unixMs).toString(36).padStart(9, "0");
  let chance = "";
  for (let at = 0; at < 12; at++) chance += ALPHABET[Math.floor(rng.next() * ALPHABET.length)];
  return asId<Kind>(time + chance);
}
