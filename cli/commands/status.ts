import { z } from "zod";
import { connectRegion, type RegionClient } from "../client/region-client.ts";
import { CommandEnd, EXIT } from "../exit.ts";
import { showAge, table } from "../terminal/table.ts";
import { CallListSchema } from "./call-list.ts";
import { type Command, dataDirOf, print, printJson, REGION_HELP, REGION_OPTIONS, regionOf, text } from "./command.ts";

const listOf = <Item extends z.ZodType>(item: Item) =>
  z.object({ items: z.array(item) }).transform(({ items }) => items);

const PopLinkSchema = z.looseObject({
  hostId: z.string(),
  popId: z.string(),
  link: z.looseObject({ name: z.string() }),
  appliedVersion: z.number(),
  refused: z.looseObject({ version: z.number(), mistakes: z.array(z.unknown()) }).nullish(),
  presence: z.looseObject({ calls: z.number(), draining: z.boolean() }).nullish(),
});
const AgentSchema = z.looseObject({
  id: z.string(),
  state: z.string().default("?"),
  address: z.string().default(""),
  contactId: z.string().default(""),
});
const NamedSchema = z.looseObject({ id: z.string() });
const QueueContactsSchema = z.looseObject({ waiting: z.number() });

interface HostStatus {
  readonly hostId: string;
  readonly popId: string;
  readonly sip: string;
  readonly ready: boolean;
  readonly calls: number | undefined;
}

export const status: Command = {
  name: "status",
  summary: "processes, POP links and versions, calls, agents, queues",
  usage: "[--tenant ID] [--region ID] [--json]",
  help: `  --tenant ID     agents and queues of this tenant (default: of every tenant the control plane names)
  --json          the same as data
${REGION_HELP}

Exit: 0 everything runs and is ready · 1 something is not · 69 the region is not up`,
  options: { ...REGION_OPTIONS, tenant: { type: "string" }, json: { type: "boolean" } },
  positionals: { min: 0, max: 0 },
  async run(invocation) {
    const client = connectRegion(dataDirOf(invocation), regionOf(invocation));
    const { state } = client;
    const hosts = await Promise.all(state.hosts.map((host) => hostStatus(client, host)));
    const controlPlane = await controlPlaneStatus(client, text(invocation, "tenant"));
    const healthy =
      state.processes.every((one) => one.state === "ready" || one.state === "spare") &&
      hosts.every(({ ready }) => ready) &&
      (state.restUrl === undefined || controlPlane !== undefined);

    if (invocation.values.json === true) printJson({ healthy, up: state, hosts, controlPlane });
    else show(state, hosts, controlPlane);
    return healthy ? EXIT.ok : EXIT.failed;
  },
};

async function hostStatus(
  client: RegionClient,
  host: { hostId: string; popId: string; sip: string },
): Promise<HostStatus> {
  const [ready, calls] = await Promise.all([client.pop(host.hostId, "/readyz"), client.pop(host.hostId, "/calls")]);
  const list = CallListSchema.safeParse(calls?.body);
  return { ...host, ready: ready?.status === 200, calls: list.success ? list.data.length : undefined };
}

interface ControlPlaneStatus {
  readonly pops: readonly z.output<typeof PopLinkSchema>[];
  readonly tenants: readonly {
    readonly tenant: string;
    readonly agents: readonly z.output<typeof AgentSchema>[];
    readonly queues: readonly { readonly id: string; readonly waiting: number | undefined }[];
  }[];
}

/** Undefined when it does not answer: the POPs' half is still worth showing. */
async function controlPlaneStatus(
  client: RegionClient,
  only: string | undefined,
): Promise<ControlPlaneStatus | undefined> {
  const list = async <Item extends z.ZodType>(item: Item, path: string): Promise<z.output<Item>[]> => {
    const answer = await client.rest("GET", path);
    const parsed = listOf(item).safeParse(answer.body);
    return answer.status === 200 && parsed.success ? (parsed.data as z.output<Item>[]) : [];
  };
  const waitingIn = async (path: string): Promise<number | undefined> => {
    const parsed = QueueContactsSchema.safeParse((await client.rest("GET", path)).body);
    return parsed.success ? parsed.data.waiting : undefined;
  };
  try {
    const pops = await list(PopLinkSchema, "/v1/pops");
    const tenants = only === undefined ? (await list(NamedSchema, "/v1/tenants")).map(({ id }) => id) : [only];
    return {
      pops,
      tenants: await Promise.all(
        tenants.map(async (tenant) => {
          const base = `/v1/tenants/${encodeURIComponent(tenant)}`;
          const queues = await list(NamedSchema, `${base}/queues`);
          return {
            tenant,
            agents: await list(AgentSchema, `${base}/agents`),
            queues: await Promise.all(
              queues.map(async ({ id }) => ({
                id,
                waiting: await waitingIn(`${base}/queues/${encodeURIComponent(id)}/contacts`),
              })),
            ),
          };
        }),
      ),
    };
  } catch (error) {
    if (error instanceof CommandEnd && error.code === EXIT.unavailable) return undefined;
    throw error;
  }
}

function show(
  state: RegionClient["state"],
  hosts: readonly HostStatus[],
  controlPlane: ControlPlaneStatus | undefined,
): void {
  print(
    `region ${state.region}, up for ${showAge(Date.now() - state.startedAtUnixMs)} (process ${state.pid}), logs in ${state.logs}\n`,
  );
  print(
    table(
      ["process", "state", "pid", "restarts"],
      state.processes.map(({ name, state: now, pid, restarts }) => [name, now, String(pid ?? ""), String(restarts)]),
    ),
  );
  print("");
  const links = new Map((controlPlane?.pops ?? []).map((link) => [link.hostId, link]));
  print(
    table(
      ["host", "SIP", "ready", "calls", "link", "version", "refused"],
      hosts.map(({ hostId, sip, ready, calls }) => {
        const link = links.get(hostId);
        return [
          hostId,
          sip,
          ready ? "yes" : "no",
          calls === undefined ? "?" : String(calls),
          link?.link.name ?? (controlPlane === undefined ? "?" : "never"),
          String(link?.appliedVersion ?? "-"),
          link?.refused == null ? "" : `version ${link.refused.version}: ${link.refused.mistakes.length} mistakes`,
        ];
      }),
    ),
  );
  if (controlPlane === undefined) {
    print(
      state.restUrl === undefined
        ? "\nno control plane (left out)"
        : `\nthe control plane at ${state.restUrl} does not answer`,
    );
    return;
  }
  for (const { tenant, agents, queues } of controlPlane.tenants) {
    print(`\ntenant ${tenant}`);
    if (agents.length > 0)
      print(
        table(
          ["agent", "state", "address", "call"],
          agents.map(({ id, state: now, address, contactId }) => [id, now, address, contactId]),
        ),
      );
    if (queues.length > 0)
      print(
        table(
          ["queue", "waiting"],
          queues.map(({ id, waiting }) => [id, String(waiting ?? "?")]),
        ),
      );
  }
}
