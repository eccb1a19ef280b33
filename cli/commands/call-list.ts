import { z } from "zod";
import { connectRegion } from "../client/region-client.ts";
import { CommandEnd, EXIT } from "../exit.ts";
import { showAge, table } from "../terminal/table.ts";
import {
  type Command,
  dataDirOf,
  print,
  printJson,
  REGION_HELP,
  REGION_OPTIONS,
  regionOf,
  text,
  usageError,
} from "./command.ts";

export const CallSchema = z.looseObject({
  callId: z.string(),
  tenant: z.string().nullish(),
  entryPoint: z.string().nullish(),
  state: z.string(),
  sinceUnixMs: z.number().nullish(),
});
export const CallListSchema = z.union([
  z.array(CallSchema),
  z.object({ calls: z.array(CallSchema) }).transform(({ calls }) => calls),
]);

const RecordSchema = z.looseObject({
  entryPointId: z.string().default(""),
  endCode: z.string().default(""),
  endedBy: z.string().default(""),
  arrivedAtUnixMs: z.number(),
  endedAtUnixMs: z.number(),
});
const ContactsSchema = z.object({
  items: z.array(z.looseObject({ contactId: z.string(), tenantId: z.string(), record: RecordSchema.nullable() })),
});

export const callList: Command = {
  name: "call list",
  summary: "calls that are up, and the last ones that ended",
  usage: "[--ended N] [--tenant ID] [--region ID] [--json]",
  help: `  --ended N       how many ended contacts to show as well (default 10, 0 for none)
  --tenant ID     only this tenant's
  --json          the same as data
${REGION_HELP}`,
  options: {
    ...REGION_OPTIONS,
    tenant: { type: "string" },
    ended: { type: "string", default: "10" },
    json: { type: "boolean" },
  },
  positionals: { min: 0, max: 0 },
  async run(invocation) {
    const limit = Number(text(invocation, "ended"));
    if (!Number.isInteger(limit) || limit < 0 || limit > 1_000) throw usageError("--ended is a number from 0 to 1000");
    const tenant = text(invocation, "tenant");
    const client = connectRegion(dataDirOf(invocation), regionOf(invocation));
    const nowUnixMs = Date.now();

    const live = (
      await Promise.all(
        client.state.hosts.map(async ({ hostId }) => {
          const answer = await client.pop(hostId, "/calls");
          const parsed = CallListSchema.safeParse(answer?.body);
          return { hostId, answered: answer?.status === 200, calls: parsed.success ? parsed.data : [] };
        }),
      )
    ).map((host) => ({ ...host, calls: host.calls.filter((call) => tenant === undefined || call.tenant === tenant) }));

    const query = `?limit=${limit}${tenant === undefined ? "" : `&tenant=${encodeURIComponent(tenant)}`}`;
    const ended = limit === 0 ? [] : await endedContacts(() => client.rest("GET", `/v1/contacts${query}`));

    if (invocation.values.json === true) {
      printJson({ hosts: live, ended });
      return EXIT.ok;
    }
    const rows = live.flatMap(({ hostId, calls }) =>
      calls.map(({ callId, tenant: of, entryPoint, state, sinceUnixMs }) => [
        callId,
        hostId,
        of ?? "",
        entryPoint ?? "",
        state,
        sinceUnixMs == null ? "" : showAge(nowUnixMs - sinceUnixMs),
      ]),
    );
    print(
      rows.length === 0 ? "no call is up" : table(["call", "host", "tenant", "entry point", "state", "since"], rows),
    );
    for (const { hostId, answered } of live) if (!answered) print(`(${hostId} does not answer)`);
    if (ended.length > 0) {
      print("");
      print(
        table(
          ["ended", "tenant", "entry point", "by", "how", "lasted", "ago"],
          ended.map(({ contactId, tenantId, record }) => [
            contactId,
            tenantId,
            record.entryPointId,
            record.endedBy,
            record.endCode,
            showAge(record.endedAtUnixMs - record.arrivedAtUnixMs),
            showAge(nowUnixMs - record.endedAtUnixMs),
          ]),
        ),
      );
    }
    return EXIT.ok;
  },
};

interface Ended {
  readonly contactId: string;
  readonly tenantId: string;
  readonly record: z.output<typeof RecordSchema>;
}

/** None when the control plane is away: the calls that are up are worth showing all the same. */
async function endedContacts(fetch: () => Promise<{ status: number; body: unknown }>): Promise<Ended[]> {
  try {
    const parsed = ContactsSchema.safeParse((await fetch()).body);
    if (!parsed.success) return [];
    return parsed.data.items.flatMap((item) => (item.record === null ? [] : [{ ...item, record: item.record }]));
  } catch (error) {
    if (error instanceof CommandEnd && error.code === EXIT.unavailable) return [];
    throw error;
  }
}
