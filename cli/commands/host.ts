import type { RegionClient } from "../client/region-client.ts";
import { connectRegion } from "../client/region-client.ts";
import { CommandEnd, EXIT } from "../exit.ts";
import { table } from "../terminal/table.ts";
import { askKeeper, type KeeperAnswer, type KeeperStatus, keeperStatus } from "../up/keeper-watch.ts";
import { CallListSchema } from "./call-list.ts";
import {
  type Command,
  dataDirOf,
  type Invocation,
  print,
  printJson,
  REGION_HELP,
  REGION_OPTIONS,
  regionOf,
  text,
  usageError,
} from "./command.ts";

const OPTIONS = { ...REGION_OPTIONS, json: { type: "boolean" } } as const;
const ASK_EVERY_MS = 1_000;
const DECLINED_MS_MAX = 8_000;
const WAIT_MS_MAX = 24 * 3_600_000;

type Host = RegionClient["state"]["hosts"][number];

/** As it answers; undefined when it does not. */
const statusOf = (host: Host): Promise<KeeperStatus | undefined> => keeperStatus(host.keeperUrl).catch(() => undefined);

function hostNamed(client: RegionClient, hostId: string): Host {
  const found = client.state.hosts.find((one) => one.hostId === hostId);
  if (found !== undefined) return found;
  const known = client.state.hosts.map((one) => one.hostId).join(", ");
  throw new CommandEnd(EXIT.usage, `no host ${hostId} runs; there is ${known}`);
}

async function callsOf(client: RegionClient, service: string): Promise<number | undefined> {
  const list = CallListSchema.safeParse((await client.pop(service, "/calls"))?.body);
  return list.success ? list.data.length : undefined;
}

async function ask(host: Host, path: string, body: object): Promise<KeeperAnswer> {
  try {
    return await askKeeper({ url: host.keeperUrl, tokenFile: host.keeperTokenFile }, path, body);
  } catch (error) {
    throw new CommandEnd(
      EXIT.unavailable,
      `the keeper of ${host.hostId} does not answer: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

const WHY: Readonly<Record<string, string>> = {
  "hand-over.no-twin": "it has no twin that runs",
  "hand-over.not-serving": "it does not serve it",
  "hand-over.already-home": "it is at home already",
  "hand-over.under-way": "another move is under way",
  "hand-over.twin-unheard": "its twin is not heard",
  "hand-over.twin-declines": "its twin cannot take it now",
  "hand-over.store-away": "etcd is away: nobody can change owners",
  "hand-over.state-away": "Redis is away: its calls would be lost on the way",
  "hand-over.timed-out": "it was not done in time",
  "hand-over.stopping": "it is stopping",
  "drain.pop-away": "its POP does not answer just now; it is told when it is back",
};
const why = ({ status, body }: KeeperAnswer): string =>
  `${WHY[body.code ?? ""] ?? "refused"} (${body.code ?? `HTTP ${status}`})`;

export const hostList: Command = {
  name: "host list",
  summary: "hosts, what each serves, and whether its twin could take over",
  usage: "[--region ID] [--json]",
  help: `  --json          the same as data
${REGION_HELP}

Exit: 0 every host answers and every service is served · 1 otherwise · 69 the region is not up`,
  options: OPTIONS,
  positionals: { min: 0, max: 0 },
  async run(invocation) {
    const client = connectRegion(dataDirOf(invocation), regionOf(invocation));
    const hosts = await Promise.all(
      client.state.hosts.map(async (host) => ({
        hostId: host.hostId,
        keeper: await statusOf(host),
        calls: await callsOf(client, host.hostId),
      })),
    );
    const served = new Set(
      hosts.flatMap(({ keeper }) => keeper?.services.filter(({ complete }) => complete).map(({ service }) => service)),
    );
    const healthy = hosts.every(({ hostId, keeper }) => keeper !== undefined && served.has(hostId));
    if (invocation.values.json === true) printJson({ healthy, hosts });
    else
      print(
        table(
          ["host", "serves", "epoch", "calls", "twin", "spares", "drained", "takeovers"],
          hosts.map(({ hostId, keeper, calls }) => {
            const serves = keeper?.services.filter(({ role }) => role !== "standby") ?? [];
            return [
              hostId,
              keeper === undefined
                ? "(its keeper does not answer)"
                : serves
                    .map(
                      ({ service, role, complete }) =>
                        `${service}${role === "serving" && complete ? "" : ` (${role})`}`,
                    )
                    .join(", ") || "nothing",
              serves.map(({ epoch }) => String(epoch)).join(", "),
              calls === undefined ? "?" : String(calls),
              keeper === undefined ? "?" : keeper.twin.host === undefined ? "none" : keeper.twin.state,
              String(keeper?.processes.filter(({ state }) => state === "spare").length ?? 0),
              keeper?.draining === true ? "yes" : "no",
              String(keeper?.takeovers ?? 0),
            ];
          }),
        ),
      );
    return healthy ? EXIT.ok : EXIT.failed;
  },
};

/** A twin that has just given something up is not ready to take it: asked again for a few seconds. */
async function askForMove(...asked: Parameters<typeof ask>): ReturnType<typeof ask> {
  const untilMs = performance.now() + DECLINED_MS_MAX;
  let answer = await ask(...asked);
  while (answer.body.code === "hand-over.twin-declines" && performance.now() < untilMs) {
    await new Promise((resolve) => setTimeout(resolve, ASK_EVERY_MS));
    answer = await ask(...asked);
  }
  return answer;
}

/** "10m", "90s", "1h" */
function waitMsOf(invocation: Invocation): number {
  const said = text(invocation, "wait") ?? "10m";
  const [, count, unit] = /^(\d{1,6})(s|m|h)$/.exec(said) ?? [];
  const ms = Number(count) * ({ s: 1_000, m: 60_000, h: 3_600_000 }[unit ?? ""] ?? Number.NaN);
  if (!(ms <= WAIT_MS_MAX)) throw usageError(`--wait is a time up to 24h, like 90s, 10m or 2h, not "${said}"`);
  return ms;
}

export const hostDrain: Command = {
  name: "host drain",
  summary: "no new calls at a host; its calls end by themselves or move to its twin",
  usage: "HOST [--wait 10m | --move] [--region ID] [--json]",
  help: `New calls at HOST get 503 with Retry-After, so that carriers use the other host. Its calls have until the deadline to
end by themselves; what is left then, and the address, go to its twin, without a SIP message to anybody. Afterwards HOST
serves nothing and may be restarted; "tollgate host return HOST" brings all of it back.

  --wait TIME     how long calls may take to end: 90s, 10m (default), 2h
  --move          move them at once
  --json          what came of it, as data
${REGION_HELP}

Exit: 0 HOST serves nothing any more · 1 it could not be moved, and still serves (without new calls) · 69 the region is not up`,
  options: { ...OPTIONS, wait: { type: "string" }, move: { type: "boolean" } },
  positionals: { min: 1, max: 1 },
  async run(invocation) {
    const json = invocation.values.json === true;
    const say = (line: string) => (json ? undefined : print(line));
    const waitMs = invocation.values.move === true ? 0 : waitMsOf(invocation);
    const client = connectRegion(dataDirOf(invocation), regionOf(invocation));
    const host = hostNamed(client, invocation.positionals[0] ?? "");
    const drained = await ask(host, "/drain", { on: true });
    say(
      drained.status === 200
        ? `${host.hostId} takes no new calls`
        : `${host.hostId} is told to take no new calls: ${why(drained)}`,
    );

    const servedNow = async () =>
      ((await statusOf(host))?.services ?? []).filter(({ role }) => role !== "standby").map(({ service }) => service);
    const callsUp = async () => {
      const counts = await Promise.all((await servedNow()).map((service) => callsOf(client, service)));
      return counts.reduce<number>((sum, one) => sum + (one ?? 0), 0);
    };
    const deadlineMs = performance.now() + waitMs;
    const before = await callsUp();
    let left = before;
    if (waitMs > 0) say(`${left} calls are up`);
    while (left > 0 && performance.now() < deadlineMs) {
      await new Promise((resolve) => setTimeout(resolve, Math.min(ASK_EVERY_MS, deadlineMs - performance.now())));
      const now = await callsUp();
      if (now !== left) say(`${now} calls are up`);
      left = now;
    }

    const moved: { service: string; ok: boolean; code?: string }[] = [];
    for (const service of await servedNow()) {
      const answer = await askForMove(host, "/hand-over", { service });
      const ok = answer.status === 200;
      moved.push({ service, ok, ...(answer.body.code === undefined ? {} : { code: answer.body.code }) });
      say(
        ok
          ? `${service} is served by its twin now, ${left} calls with it`
          : `${service} stays at ${host.hostId}: ${why(answer)}`,
      );
    }
    const done = moved.every(({ ok }) => ok);
    if (json) printJson({ host: host.hostId, callsBefore: before, callsMoved: done ? left : 0, moved, done });
    else if (done) print(`${host.hostId} serves nothing: it may be restarted`);
    return done ? EXIT.ok : EXIT.failed;
  },
};

export const hostReturn: Command = {
  name: "host return",
  summary: "bring a host's own service home from its twin, calls and all",
  usage: "HOST [--region ID] [--json]",
  help: `  --json          what came of it, as data
${REGION_HELP}

Exit: 0 HOST serves its own service and takes new calls · 1 it could not be brought back · 69 the region is not up`,
  options: OPTIONS,
  positionals: { min: 1, max: 1 },
  async run(invocation) {
    const client = connectRegion(dataDirOf(invocation), regionOf(invocation));
    const host = hostNamed(client, invocation.positionals[0] ?? "");
    await ask(host, "/drain", { on: false });
    const answer = await askForMove(host, "/return", {});
    const home = answer.status === 200 || answer.body.code === "hand-over.already-home";
    if (invocation.values.json === true)
      printJson({
        host: host.hostId,
        done: home,
        ...(answer.body.code === undefined ? {} : { code: answer.body.code }),
      });
    else print(home ? `${host.hostId} serves its own service` : `${host.hostId} stands by still: ${why(answer)}`);
    return home ? EXIT.ok : EXIT.failed;
  },
};
