import type { Redis } from "ioredis";
import { asId, type CallId, type PopHostId, type TenantId } from "../../../kernel/ids.ts";
import { fail, type Outcome, succeed } from "../../../kernel/outcome.ts";
import type {
  ContactEventStore,
  ContactHistory,
  ContactSummary,
  OpenContact,
} from "../../boundary/contact-event-store.ts";
import type { StoreAway } from "../../boundary/store-away.ts";
import { isOfRegion } from "../../core/contact/closed-by-region.ts";
import type { CallEvent, ContactRecord } from "../../core/contact/contact-event.ts";
import type { Decision } from "../../core/queue/shard-messages.ts";
import { redisAway } from "./redis-client.ts";

// tollgate:v1:events                     stream of all events, for consumers; bounded by count
// tollgate:v1:contact:<id>:events        event id → event
// tollgate:v1:contact:<id>:head          tenantId, firstAt, host, record
// tollgate:v1:open:<host>                contact ids without a record, by first event
// tollgate:v1:contact:<id>:decisions     list
// tollgate:v1:contacts                   contact ids by first event, of all tenants; tollgate:v1:contacts:<tenant> of one
const PREFIX = "tollgate:v1";
const contactKey = (id: string, what: "events" | "head" | "decisions") => `${PREFIX}:contact:${id}:${what}`;

export interface RetentionLimits {
  readonly contactsMax: number;
  readonly retentionSeconds: number;
  readonly eventsInStreamMax: number;
  readonly decisionsMax: number;
}

// A script runs whole or not at all as others see it: a batch is never half there.
// ARGV: retention seconds, stream bound, contacts bound, host, then for each event: contact, tenant, id, atMs, json, record json or '',
// and '1' where the record is the region's own, which never takes the place of another.
const PUBLISH = `
local p, retention, stream_max, contacts_max = '${PREFIX}', ARGV[1], ARGV[2], tonumber(ARGV[3])
local host = ARGV[4]
local stored = 0
for i = 5, #ARGV, 7 do
  local contact, tenant, id, at, json, record = ARGV[i], ARGV[i+1], ARGV[i+2], ARGV[i+3], ARGV[i+4], ARGV[i+5]
  local events = p .. ':contact:' .. contact .. ':events'
  local head = p .. ':contact:' .. contact .. ':head'
  if redis.call('HSETNX', events, id, json) == 1 then
    stored = stored + 1
    redis.call('XADD', p .. ':events', 'MAXLEN', '~', stream_max, '*', 'event', json)
    local first = redis.call('HGET', head, 'firstAt')
    if not first or tonumber(at) < tonumber(first) then
      redis.call('HSET', head, 'firstAt', at, 'tenantId', tenant)
      redis.call('ZADD', p .. ':contacts', at, contact)
      redis.call('ZADD', p .. ':contacts:' .. tenant, at, contact)
      local oldest = '(' .. string.format('%.0f', tonumber(at) - tonumber(retention) * 1000)
      redis.call('ZREMRANGEBYSCORE', p .. ':contacts:' .. tenant, '-inf', oldest)
      redis.call('ZREMRANGEBYSCORE', p .. ':contacts', '-inf', oldest)
    end
    redis.call('HSETNX', head, 'host', host)
    local open = p .. ':open:' .. redis.call('HGET', head, 'host')
    if record ~= '' then
      redis.call(ARGV[i+6] == '1' and 'HSETNX' or 'HSET', head, 'record', record)
      redis.call('ZREM', open, contact)
    elseif redis.call('HEXISTS', head, 'record') == 0 then
      redis.call('ZADD', open, 'NX', at, contact)
      redis.call('EXPIRE', open, retention)
    end
    redis.call('EXPIRE', events, retention)
    redis.call('EXPIRE', head, retention)
  end
end
local over = redis.call('ZCARD', p .. ':contacts') - contacts_max
if over > 0 then
  for _, contact in ipairs(redis.call('ZRANGE', p .. ':contacts', 0, over - 1)) do
    local base = p .. ':contact:' .. contact
    local tenant = redis.call('HGET', base .. ':head', 'tenantId')
    local of = redis.call('HGET', base .. ':head', 'host')
    if of then redis.call('ZREM', p .. ':open:' .. of, contact) end
    if tenant then redis.call('ZREM', p .. ':contacts:' .. tenant, contact) end
    redis.call('ZREM', p .. ':contacts', contact)
    redis.call('DEL', base .. ':events', base .. ':head', base .. ':decisions')
  end
end
return stored`;

export class RedisContactEventStore implements ContactEventStore {
  readonly #redis: Redis;
  readonly #limits: RetentionLimits;

  constructor(redis: Redis, limits: RetentionLimits) {
    this.#redis = redis;
    this.#limits = limits;
  }

  async publish(
    events: readonly CallEvent[],
    hostId: PopHostId,
  ): Promise<Outcome<{ stored: number; repeated: number }, StoreAway>> {
    const { retentionSeconds, eventsInStreamMax, contactsMax } = this.#limits;
    const flat = events.flatMap((event) => [
      event.callId,
      event.tenantId,
      event.id,
      event.atUnixMs,
      JSON.stringify(event),
      event.record === undefined ? "" : JSON.stringify(event.record),
      isOfRegion(event) ? "1" : "",
    ]);
    try {
      const stored = Number(
        await this.#redis.eval(PUBLISH, 0, retentionSeconds, eventsInStreamMax, contactsMax, hostId, ...flat),
      );
      return succeed({ stored, repeated: events.length - stored });
    } catch (error) {
      return fail(redisAway(error));
    }
  }

  async openContacts(hostId: PopHostId): Promise<Outcome<readonly OpenContact[], StoreAway>> {
    const key = `${PREFIX}:open:${hostId}`;
    try {
      const ids = await this.#redis.zrange(key, 0, "-1");
      const heads = await Promise.all(
        ids.map((id) => this.#redis.hmget(contactKey(id, "head"), "tenantId", "firstAt")),
      );
      const open: OpenContact[] = [];
      const gone: string[] = [];
      ids.forEach((id, at) => {
        const [tenantId, firstAt] = heads[at] ?? [];
        if (!tenantId)
          gone.push(id); // past its retention
        else
          open.push({
            contactId: asId<"call">(id),
            tenantId: asId<"tenant">(tenantId),
            firstEventAtUnixMs: Number(firstAt),
          });
      });
      if (gone.length > 0) void this.#redis.zrem(key, ...gone).catch(() => {});
      return succeed(open);
    } catch (error) {
      return fail(redisAway(error));
    }
  }

  async journal(
    entries: readonly { readonly contactId: CallId; readonly decision: Decision }[],
  ): Promise<Outcome<void, StoreAway>> {
    const byContact = Map.groupBy(entries, ({ contactId }) => contactId);
    try {
      const batch = this.#redis.multi();
      for (const [contactId, own] of byContact) {
        const key = contactKey(contactId, "decisions");
        batch.rpush(key, ...own.map(({ decision }) => JSON.stringify(decision)));
        batch.ltrim(key, -this.#limits.decisionsMax, -1);
        batch.expire(key, this.#limits.retentionSeconds);
      }
      await batch.exec();
      return succeed(undefined);
    } catch (error) {
      return fail(redisAway(error));
    }
  }

  async contact(contactId: CallId): Promise<Outcome<ContactHistory | undefined, StoreAway>> {
    try {
      const [events, record, decisions] = await Promise.all([
        this.#redis.hvals(contactKey(contactId, "events")),
        this.#redis.hget(contactKey(contactId, "head"), "record"),
        this.#redis.lrange(contactKey(contactId, "decisions"), 0, -1),
      ]);
      if (events.length === 0 && decisions.length === 0) return succeed(undefined);
      return succeed({
        record: record === null ? undefined : (JSON.parse(record) as ContactRecord),
        events: events.map((json) => JSON.parse(json) as CallEvent).sort((a, b) => a.sequence - b.sequence),
        decisions: decisions.map((json) => JSON.parse(json) as Decision),
      });
    } catch (error) {
      return fail(redisAway(error));
    }
  }

  async contacts(
    tenantId: TenantId | undefined,
    limit: number,
  ): Promise<Outcome<readonly ContactSummary[], StoreAway>> {
    const index = tenantId === undefined ? `${PREFIX}:contacts` : `${PREFIX}:contacts:${tenantId}`;
    try {
      const ids = await this.#redis.zrevrange(index, 0, limit - 1);
      const heads = await Promise.all(ids.map((id) => this.#redis.hgetall(contactKey(id, "head"))));
      const found: ContactSummary[] = [];
      const gone: string[] = [];
      ids.forEach((id, at) => {
        const { tenantId: tenant, firstAt, record } = heads[at] ?? {};
        if (tenant === undefined)
          gone.push(id); // past its retention
        else
          found.push({
            contactId: asId<"call">(id),
            tenantId: asId<"tenant">(tenant),
            firstEventAtUnixMs: Number(firstAt),
            record: record === undefined ? undefined : (JSON.parse(record) as ContactRecord),
          });
      });
      if (gone.length > 0) void this.#redis.zrem(index, ...gone).catch(() => {});
      return succeed(found);
    } catch (error) {
      return fail(redisAway(error));
    }
  }
}
