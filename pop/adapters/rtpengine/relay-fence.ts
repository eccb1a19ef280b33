// Whose rtpengine may write a service's media state. rtpengine knows no epochs: it writes to the database number that it
// was started with. So a service has two numbers, and each new owner moves the contents to the other one, empty before,
// and starts its rtpengine there. One of the former owner that still runs, or wakes up, writes where nobody looks.

import type { Redis } from "ioredis";

export interface RelayFence {
  /** As in its keys: "fra-01-a". */
  readonly service: string;
  readonly epoch: number;
  /** The two numbers that are this service's alone. */
  readonly databases: readonly [number, number];
}

export type RelayFenced =
  /** Start rtpengine with this one. */
  { readonly kind: "ours"; readonly database: number } | { readonly kind: "superseded"; readonly by: number };

/**
 * One script, so that nobody is between. The same owner gets the same answer again: a restart in place moves nothing.
 * Every call names the database it was stored in, and rtpengine deletes it there when it ends: so that name is moved as well.
 */
const SCRIPT = `
local epoch, first, second = tonumber(ARGV[1]), ARGV[2], ARGV[3]
local newest = tonumber(redis.call('GET', KEYS[1]) or '0')
if epoch < newest then return {'superseded', newest} end
if epoch > newest then redis.call('SET', KEYS[1], ARGV[1]) end
local now = redis.call('HGET', KEYS[2], 'database')
if not now then
  redis.call('HSET', KEYS[2], 'database', first, 'epoch', ARGV[1])
  return {'ours', tonumber(first)}
end
if tonumber(redis.call('HGET', KEYS[2], 'epoch')) == epoch then return {'ours', tonumber(now)} end
local other = first
if now == first then other = second end
redis.call('HSET', KEYS[2], 'database', other, 'epoch', ARGV[1])
redis.call('SELECT', other)
redis.call('FLUSHDB')
redis.call('SWAPDB', now, other)
local before, after = '"redis_hosted_db":"' .. now .. '"', '"redis_hosted_db":"' .. other .. '"'
for _, call in ipairs(redis.call('KEYS', '*')) do
  if redis.call('TYPE', call).ok == 'string' then
    local text = redis.call('GET', call)
    local at, till = string.find(text, before, 1, true)
    if at then
      redis.call('SET', call, string.sub(text, 1, at - 1) .. after .. string.sub(text, till + 1), 'KEEPTTL')
    end
  end
end
return {'ours', tonumber(other)}
`;

/**
 * Makes `epoch` the owner of the service's media state. Needs the database numbers allowed in Redis (`databases`), and no cluster.
 * @throws what ioredis throws while Redis is away
 */
export async function fenceRelayState(redis: Redis, { service, epoch, databases }: RelayFence): Promise<RelayFenced> {
  const keys = [`tollgate:v1:{${service}}:epoch`, `tollgate:v1:{${service}}:relay`];
  const [kind, number] = (await redis.eval(SCRIPT, 2, ...keys, epoch, ...databases)) as [string, number];
  return kind === "ours" ? { kind, database: number } : { kind: "superseded", by: number };
}
