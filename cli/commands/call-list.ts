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
  contactId: z.string().nullish(),
  callId: z.string().nullish(),
  tenantId: z.string().nullish(),
  entryPointId: z.string().nullish(),
  endCode: z.string().nullish(),
  endedBy: z.string().nullish(),
  arrivedAtUnixMs: z.number().nullish(),
  endedAtUnixMs: z.number().nullish(),
});
const RecordListSchema = z.union([
  z.array(z.unknown()),
  z.object({ contacts: z.array(z.unknown()) }).transform(({ contacts }) => contacts),
]);

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
          ended.map((record) => [
            record.contactId ?? record.callId ?? "?",
            record.tenantId ?? "",
            record.entryPointId ?? "",
            record.endedBy ?? "",
            record.endCode ?? "",
            record.arrivedAtUnixMs == null || record.endedAtUnixMs == null
              ? ""
              : showAge(record.endedAtUnixMs - record.arrivedAtUnixMs),
            record.endedAtUnixMs == null ? "" : showAge(nowUnixMs - record.endedAtUnixMs),
          ]),
        ),
      );
    }
    return EXIT.ok;
  },
};

/** Calls that are up are worth showing even with the control plane away. */
async function endedContacts(
  fetch: () => Promise<{ status: number; body: unknown }>,
): Promise<z.output<typeof RecordSchema>[]> {
  try {
    const answer = await fetch();
    const parsed = RecordListSchema.safeParse(answer.body);
    if (!parsed.success) return [];
    // Either the records themselves or each with its events around it.
    return parsed.data.flatMap((item) => {
      const inner = z.looseObject({ record: RecordSchema.nullish() }).safeParse(item);
      const record = inner.success && inner.data.record != null ? inner.data.record : RecordSchema.safeParse(item).data;
      return record === undefined ? [] : [record];
    });
  } catch (error) {
    if (error instanceof CommandEnd && error.code === EXIT.unavailable) return [];
    throw error;
  }
}
