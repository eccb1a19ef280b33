// What an operator does with a region from outside: applies objects, signs agents in, looks at calls and contacts.
// By the same client as the command line, over the same REST API.

import { z } from "zod";
import { type Answer, complaintOf, type RegionClient } from "../../cli/client/region-client.ts";
import { type CallTrace, type Contact, ContactSchema } from "../../cli/trace/call-trace.ts";
import { fetchTrace } from "../../cli/trace/fetch-trace.ts";

/** As the REST API tells it: what is not there is null. */
export const RecordSchema = z.object({
  contactId: z.string(),
  tenantId: z.string(),
  regionId: z.string(),
  popId: z.string(),
  hostId: z.string(),
  trunkId: z.string(),
  entryPointId: z.string(),
  flowId: z.string(),
  flowVersion: z.number(),
  callingNumber: z.string(),
  calledNumber: z.string(),
  arrivedAtUnixMs: z.number(),
  answeredAtUnixMs: z.number().nullable(),
  endedAtUnixMs: z.number(),
  endedBy: z.string(),
  endCode: z.string(),
  segments: z.array(
    z.object({
      kind: z.string(),
      startedAtUnixMs: z.number(),
      endedAtUnixMs: z.number(),
      queueId: z.string().nullish(),
      agentId: z.string().nullish(),
      outcome: z.string(),
    }),
  ),
  media: z.array(z.object({ leg: z.string(), localAddress: z.string(), remoteAddress: z.string(), codec: z.string() })),
});
export type ContactRecord = z.output<typeof RecordSchema>;

const ContactsSchema = z.object({
  items: z.array(z.object({ contactId: z.string(), record: RecordSchema.nullish() })),
});
const PopsSchema = z.object({
  items: z.array(
    z.object({
      hostId: z.string(),
      appliedVersion: z.number(),
      link: z.object({ name: z.string() }),
      refused: z.object({ version: z.number() }).nullish(),
    }),
  ),
});
const AppliedSchema = z.object({ version: z.number() });
const AgentSchema = z.object({ state: z.string() });
const CallsSchema = z.array(
  z.object({ callId: z.string(), calledNumber: z.string(), state: z.string(), queue: z.string().nullish() }),
);
export type CallShown = z.output<typeof CallsSchema>[number];

const ASK_EVERY_MS = 40;

/**
 * Asks until the answer is there.
 * @throws Error after `timeoutMs`, saying what was waited for and what the last try said
 */
export async function eventually<Value>(
  what: string,
  timeoutMs: number,
  ask: () => Promise<Value | undefined>,
): Promise<Value> {
  const deadlineMs = performance.now() + timeoutMs;
  let last = "no";
  for (;;) {
    try {
      const value = await ask();
      if (value !== undefined) return value;
      last = "not yet";
    } catch (error) {
      last = error instanceof Error ? error.message : String(error);
    }
    if (performance.now() > deadlineMs) throw new Error(`${what}: not within ${timeoutMs} ms (${last})`);
    await new Promise((resolve) => setTimeout(resolve, ASK_EVERY_MS));
  }
}

export class Operator {
  readonly client: RegionClient;
  readonly tenant: string;

  constructor(client: RegionClient, tenant: string) {
    this.client = client;
    this.tenant = tenant;
  }

  /**
   * Applies documents and waits until these hosts live by them.
   * @throws Error when they are refused, here or by a host
   */
  async apply(documents: readonly unknown[], hostIds: readonly string[], timeoutMs = 10_000): Promise<number> {
    const { version } = AppliedSchema.parse(
      (await this.#ask("POST", `/v1/tenants/${this.tenant}/apply`, { documents })).body,
    );
    await eventually(`configuration ${version} applied by ${hostIds.join(", ")}`, timeoutMs, async () => {
      const hosts = await this.hosts();
      const done = hostIds.every((id) => hosts.some((host) => host.hostId === id && host.appliedVersion >= version));
      return done ? true : undefined;
    });
    return version;
  }

  async hosts(): Promise<z.output<typeof PopsSchema>["items"]> {
    return PopsSchema.parse((await this.#ask("GET", "/v1/pops")).body).items;
  }

  async signIn(agent: string, address: string, state: "available" | "idle" = "available"): Promise<void> {
    const path = `/v1/tenants/${this.tenant}/agents/${agent}`;
    // A control plane that has just come up owns the tenant's queues a moment later.
    await eventually(`agent ${agent} signed in`, 10_000, async () => {
      await this.#ask("POST", `${path}/sign-in`, { address });
      await this.#ask("POST", `${path}/state`, { state });
      return true;
    });
  }

  async setState(agent: string, state: "available" | "idle"): Promise<void> {
    await this.#ask("POST", `/v1/tenants/${this.tenant}/agents/${agent}/state`, { state });
  }

  async signOut(agent: string): Promise<void> {
    await this.#ask("POST", `/v1/tenants/${this.tenant}/agents/${agent}/sign-out`, {});
  }

  async agentState(agent: string): Promise<string> {
    return AgentSchema.parse((await this.#ask("GET", `/v1/tenants/${this.tenant}/agents/${agent}`)).body).state;
  }

  async untilAgentIs(agent: string, state: string, timeoutMs = 5_000): Promise<void> {
    let now = "?";
    await eventually(`agent ${agent} is ${state}`, timeoutMs, async () => {
      now = await this.agentState(agent);
      if (now !== state) throw new Error(`is ${now}`);
      return true;
    });
  }

  /** The calls that a host has at this moment. */
  async calls(hostId: string): Promise<readonly CallShown[]> {
    const answer = await this.client.pop(hostId, "/calls");
    if (answer === undefined) throw new Error(`${hostId} does not answer`);
    return CallsSchema.parse(answer.body);
  }

  /** Every record of calls from this number; `undefined` in it: a call that goes on. */
  async recordsOf(callingNumber: string): Promise<readonly ContactRecord[]> {
    const { items } = ContactsSchema.parse(
      (await this.#ask("GET", `/v1/contacts?tenant=${this.tenant}&limit=1000`)).body,
    );
    return items
      .map(({ record }) => record)
      .filter((record) => record != null && record.callingNumber === callingNumber) as ContactRecord[];
  }

  /** The one record of the one call from this number. @throws Error when there is none in time, or a second one */
  async record(callingNumber: string, timeoutMs = 5_000): Promise<ContactRecord> {
    const [record, second] = await eventually(`contact record of ${callingNumber}`, timeoutMs, async () => {
      const records = await this.recordsOf(callingNumber);
      return records.length > 0 ? records : undefined;
    });
    if (record === undefined || second !== undefined) throw new Error(`two contact records of ${callingNumber}`);
    return record;
  }

  async contact(contactId: string): Promise<Contact> {
    return ContactSchema.parse((await this.#ask("GET", `/v1/contacts/${contactId}`)).body);
  }

  trace(callId: string): Promise<CallTrace> {
    return fetchTrace(this.client, callId);
  }

  /** @throws Error for any answer but 2xx */
  async #ask(method: string, path: string, body?: unknown): Promise<Answer> {
    const answer = await this.client.rest(method, path, body);
    if (answer.status >= 200 && answer.status < 300) return answer;
    const mistakes = JSON.stringify((answer.body as { mistakes?: unknown } | null)?.mistakes ?? "");
    throw new Error(`${method} ${path}: ${complaintOf(answer)} ${mistakes}`);
  }
}
