// A record of many keys as plain JSON data, of which a changed copy costs little: only one shard is copied.

export type ShardedRecord<Value> = readonly Readonly<Record<string, Value>>[];

const SHARDS = 1_024;

export const emptyRecord = <Value>(): ShardedRecord<Value> => Array.from({ length: SHARDS }, () => ({}));

export function valueAt<Value>(record: ShardedRecord<Value>, key: string): Value | undefined {
  const shard = record[shardOf(key)] ?? {};
  return Object.hasOwn(shard, key) ? shard[key] : undefined;
}

export const withValue = <Value>(record: ShardedRecord<Value>, key: string, value: Value): ShardedRecord<Value> =>
  record.with(shardOf(key), { ...record[shardOf(key)], [key]: value });

export function without<Value>(record: ShardedRecord<Value>, key: string): ShardedRecord<Value> {
  const { [key]: _, ...others } = record[shardOf(key)] ?? {};
  return record.with(shardOf(key), others);
}

/** FNV-1a. Spread, not secrecy. */
function shardOf(key: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < key.length; at++) hash = Math.imul(hash ^ key.charCodeAt(at), 0x01000193);
  return (hash >>> 0) % SHARDS;
}
