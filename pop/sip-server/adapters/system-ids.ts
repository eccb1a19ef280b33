import { randomBytes, randomUUID } from "node:crypto";
import type { Ids } from "../boundary/ids.ts";
import { MAGIC_COOKIE } from "../core/message/via.ts";

const POOL_BYTES = 8_192;
let pool = "";
let used = 0;

/** Hexadecimal, from a pool: one system call for hundreds of tags. */
function chance(characters: number): string {
  if (used + characters > pool.length) {
    pool = randomBytes(POOL_BYTES).toString("hex");
    used = 0;
  }
  used += characters;
  return pool.slice(used - characters, used);
}

/** Tags need 32 bits of chance at least (RFC 3261 §19.3); branches must never repeat. */
export const systemIds: Ids = {
  uuid: () => randomUUID(),
  tag: () => chance(16),
  branch: () => MAGIC_COOKIE + chance(24),
  callId: () => randomUUID(),
  chance: () => Number.parseInt(chance(8), 16) / 2 ** 32,
};
