// A region of ours as the system under test: started by the same code as `tollgate up`, in a folder of its own.

import { globSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { connectRegion } from "../../../cli/client/region-client.ts";
import { type RunningRegion, showUpFailure, startRegion } from "../../../cli/up/start-region.ts";
import { developmentSipCertificate } from "../../../control-plane/adapters/pki/development-ca.ts";
import { silentLog } from "../../../kernel/log.ts";
import { Operator } from "../../demo/operator.ts";
import type { FaultSignal } from "../drill-file.ts";
import { type ClassName, LOAD_CLASSES } from "../load-classes.ts";
import {
  agentIdOf,
  agentsFor,
  documents,
  LOAD_NUMBERS,
  numberOf,
  referUri,
  TENANT,
  writePrompts,
} from "./drill-tenant.ts";
import { dialogsOf, relayCallsOf, workerEndpointsOf } from "./leftovers.ts";
import { sendSignal, withDescendants } from "./process-tree.ts";
import type {
  CallRecord,
  LanePlan,
  Leftovers,
  RunningSystem,
  Signalled,
  SystemEvent,
  SystemPlan,
  SystemUnderTest,
} from "./system-under-test.ts";

const EVENTS_MAX = 50_000;
const SIGN_INS_AT_ONCE = 8;
/** Of the region schema's defaults. */
const SIP_HTTP_PORT = 9_023;
const NG_PORT = 22_222;
const CONTACTS_MAX = 1_000;
export const LOAD_HOST = "127.20.9.1";

export const tollgateRegion: SystemUnderTest = {
  name: "tollgate",
  abilities: new Set(["bridge", "tcp", "tls", "srtp", "ivr", "queue", "refer", "session-refresh"]),
  lanesMax: 4,
  address: (network, loopback) => (network === "netns" ? loopback.replace(/^127\./, "10.") : loopback),
  cannotRunOn: (network) => (network === "netns" ? whyNoNamespaces() : undefined),
  start: (plan) => startTollgate(plan),
};

function whyNoNamespaces(): string | undefined {
  return process.getuid?.() === 0 ? undefined : "network namespaces need root";
}

async function startTollgate(plan: SystemPlan): Promise<RunningSystem> {
  const { drill, network, folder } = plan;
  const { region, hosts, service } = drill.topology;
  const at = (loopback: string) => tollgateRegion.address(network, loopback);
  const promptsDir = join(folder, "prompts");
  rmSync(join(folder, region), { recursive: true, force: true });
  writePrompts(promptsDir);
  const events: SystemEvent[] = [];
  const started = await startRegion({
    region,
    dataDir: folder,
    hosts,
    promptsDir,
    network,
    signal: plan.signal,
    onLog: (entry) => {
      events.push(entry);
      if (events.length > EVENTS_MAX) events.splice(0, EVENTS_MAX / 10);
    },
  });
  if (!started.ok) throw new Error(showUpFailure(started.failure));
  const running = started.value;
  try {
    const tls = await phoneCertificate(running, plan.lanes);
    const operator = new Operator(connectRegion(folder, region), TENANT);
    const wish = {
      lanes: plan.lanes,
      carrierCidr: at("127.20.0.0/24"),
      agentCidr: at("127.30.0.0/24"),
      loadHost: at(LOAD_HOST),
    };
    for (const part of inParts(documents(wish))) await operator.apply(part, hosts, 20_000);
    return new TollgateUnderTest(plan, running, operator, events, tls, service);
  } catch (error) {
    await running.stop();
    throw error;
  }
}

/** What the region takes at once; each part stands on the ones before it. */
const OBJECTS_AT_ONCE_MAX = 100;
const KINDS = ["tenant", "trunk", "team", "agent", "queue", "flow", "entry-point", "dn"];

function inParts(all: readonly object[]): readonly (readonly object[])[] {
  const kindOf = (one: object) => KINDS.indexOf("kind" in one ? String(one.kind) : "");
  const sorted = [...all].sort((a, b) => kindOf(a) - kindOf(b));
  return Array.from({ length: Math.ceil(sorted.length / OBJECTS_AT_ONCE_MAX) }, (_, at) =>
    sorted.slice(at * OBJECTS_AT_ONCE_MAX, (at + 1) * OBJECTS_AT_ONCE_MAX),
  );
}

/** For the phones that speak TLS: of the region's own CA. */
async function phoneCertificate(running: RunningRegion, lanes: readonly LanePlan[]) {
  const names = lanes.flatMap(({ agentHost, carrierHost }) => [`IP:${agentHost}`, `IP:${carrierHost}`]);
  const dir = join(running.addresses.dataDir, "pki");
  const files = await developmentSipCertificate({ dir, hostId: "drill-phones", names }, silentLog);
  const text = (path: string) => readFileSync(path, "utf8");
  return { ca: text(files.caFile), cert: text(files.certFile), key: text(files.keyFile) };
}

class TollgateUnderTest implements RunningSystem {
  readonly service;
  readonly captureDevice;
  readonly tls;
  readonly events: readonly SystemEvent[];
  readonly loadNumbers = LOAD_NUMBERS;
  readonly referTo;
  readonly #plan: SystemPlan;
  readonly #running: RunningRegion;
  readonly #operator: Operator;
  readonly #agentsUp = new Set<string>();

  constructor(
    plan: SystemPlan,
    running: RunningRegion,
    operator: Operator,
    events: readonly SystemEvent[],
    tls: { ca: string; cert: string; key: string },
    serviceHostId: string,
  ) {
    this.#plan = plan;
    this.#running = running;
    this.#operator = operator;
    this.events = events;
    this.tls = tls;
    const host = running.addresses.hosts.find(({ hostId }) => hostId === serviceHostId);
    if (host === undefined) throw new Error(`no host ${serviceHostId}`);
    this.service = { host: host.address, sipPort: host.sipPort, sipTlsPort: host.sipTlsPort };
    this.captureDevice = plan.network === "netns" ? "any" : "lo";
    this.referTo = referUri(host.address);
  }

  numberOf(lane: number, className: ClassName): string {
    return numberOf(lane, className);
  }

  async bringAgents(lane: number, className: ClassName): Promise<void> {
    const plan = this.#plan.lanes.find((one) => one.lane === lane);
    const { transport } = LOAD_CLASSES[className];
    const where = `${plan?.agentHost}:${transport === "tls" ? 5061 : 5060}${transport === "udp" ? "" : `;transport=${transport}`}`;
    const waiting = Array.from({ length: agentsFor(plan?.classes.get(className) ?? 0) }, (_, at) =>
      agentIdOf(lane, className, at),
    ).filter((id) => !this.#agentsUp.has(id));
    await Promise.all(
      Array.from({ length: SIGN_INS_AT_ONCE }, async () => {
        for (let id = waiting.shift(); id !== undefined; id = waiting.shift()) {
          await this.#operator.signIn(id, `sip:${id}@${where}`);
          this.#agentsUp.add(id);
        }
      }),
    );
  }

  async signal(victim: string, signal: FaultSignal, stayDown: boolean): Promise<Signalled> {
    const [kind, name = ""] = victim.split(" ");
    const isHost = kind === "host";
    const supervised = this.#running
      .processes()
      .filter((one) => (isHost ? one.name === name || one.name.startsWith(`${name}/`) : one.name === name));
    const roots = supervised.flatMap(({ pid }) => (pid === undefined ? [] : [pid]));
    const all = isHost ? withDescendants(roots) : roots;
    if (all.length === 0) throw new Error(`nothing runs that is called "${victim}"`);
    const atUnixMs = Date.now();
    // Its supervisor must know that the end is meant; the signal itself waits for nobody.
    if (isHost && signal !== "SIGTERM") this.#running.signalHost(name, signal).catch(() => {});
    else if (stayDown) this.#running.kill(name, signal, { stayDown }).catch(() => {});
    for (const pid of all) sendSignal(pid, signal);
    return { pids: all, atUnixMs };
  }

  async start(victim: string): Promise<void> {
    const [kind, name = ""] = victim.split(" ");
    const names = this.#running.processes().map((one) => one.name);
    for (const one of names.filter((own) => own === (kind === "host" ? `${name}/keeper` : name))) {
      const started = await this.#running.start(one);
      if (!started.ok) throw new Error(showUpFailure(started.failure));
    }
  }

  /** A host hangs on one link: between two hosts, the first one's is cut. */
  async cut([hostId]: readonly [string, string]): Promise<() => Promise<void>> {
    await this.#running.cutLink(hostId);
    return () => this.#running.healLink(hostId);
  }

  async leftovers(): Promise<Leftovers> {
    const counts: Record<string, number> = {};
    const unknown: string[] = [];
    const add = (what: string, count: number | undefined, where: string) => {
      if (count === undefined) unknown.push(`${what} of ${where}`);
      else counts[what] = (counts[what] ?? 0) + count;
    };
    for (const { hostId, address } of this.#running.addresses.hosts) {
      add(
        "pop calls",
        await this.#operator.calls(hostId).then(
          (calls) => calls.length,
          () => undefined,
        ),
        hostId,
      );
      add("sip-server dialogs", await dialogsOf(address, SIP_HTTP_PORT), hostId);
      add("rtpengine calls", await relayCallsOf(address, NG_PORT), hostId);
    }
    for (const socket of globSync("**/*.sock", { cwd: this.#running.addresses.dataDir }))
      if (socket.includes("worker")) {
        const count = await workerEndpointsOf(join(this.#running.addresses.dataDir, socket));
        if (count !== undefined) add("media-worker endpoints", count, socket); // a socket file nobody listens on is a dead worker's
      }
    return { counts, unknown };
  }

  async records(): Promise<readonly CallRecord[]> {
    const answer = await this.#operator.client.rest("GET", `/v1/contacts?tenant=${TENANT}&limit=${CONTACTS_MAX}`);
    const { items } = ContactsSchema.parse(answer.body);
    return items.flatMap(({ record }) => (record == null ? [] : [record]));
  }

  stop(): Promise<void> {
    return this.#running.stop();
  }

  killAll(): void {
    this.#running.killAll();
  }
}

const ContactsSchema = z.object({
  items: z.array(
    z.object({
      record: z.object({ callingNumber: z.string(), endedBy: z.string(), endCode: z.string() }).nullish(),
    }),
  ),
});
