// Brings up the local target of one region, in order, and takes it down again. `tollgate up`, the demo, the end-to-end
// tests and the capacity runs all call this; only the first shows what the processes write.

import { mkdirSync, rmSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { join, resolve } from "node:path";
import {
  developmentKeeperCertificate,
  developmentSipCertificate,
} from "../../control-plane/adapters/pki/development-ca.ts";
import { silentLog } from "../../kernel/log.ts";
import { fail, type Outcome, succeed } from "../../kernel/outcome.ts";
import { type AlreadyRunning, isAlive, takeLock } from "../../kernel/shell/lock.ts";
import { onPath } from "../../kernel/shell/on-path.ts";
import { Supervised } from "../../kernel/shell/supervised.ts";
import { readCatalogue } from "../../regions/read-catalogue.ts";
import { type CatalogueInvalid, showCatalogueMistakes } from "../../regions/schema/catalogue.ts";
import { controlPlaneRegionOf, type Region } from "../../regions/schema/region.ts";
import { type LogEntry, parseLogLine } from "../terminal/log-line.ts";
import { Fabric, isOwnNamespace, type Network, routable } from "./fabric.ts";
import { askKeeper, type KeeperAt, type KeeperProcess, type KeeperStatus, KeeperWatch } from "./keeper-watch.ts";
import { PassedLogs } from "./passed-lines.ts";
import { type Occupied, occupied, showOccupied } from "./ports.ts";
import { ipv6SipPort, keeperNames, sipNames } from "./process-configs.ts";
import { keeperTokenFileOf, regionPaths, secretFileOf } from "./region-paths.ts";
import { secretIn } from "./secrets.ts";
import { type UpState, writeUpState } from "./state-file.ts";
import { chosenHosts, type ProcessKind, planTopology, SOCKET_NAME } from "./topology.ts";

export interface StartRegionOptions {
  readonly region?: string;
  /** `.tollgate` in the checkout when left out. */
  readonly dataDir?: string;
  /** Recorded prompts and music; DATA/prompts when left out. */
  readonly promptsDir?: string;
  /** Hosts to run; both hosts of the region's first POP when left out. */
  readonly hosts?: readonly string[];
  /** False: neither control plane nor etcd. */
  readonly controlPlane?: boolean;
  readonly redis?: boolean;
  /**
   * netns: each host in a network namespace of its own, every address 127.x of the region as 10.x, carriers and agents
   * in 10.20/16 and 10.30/16. Root only, and only in a process that has a network namespace for itself (`unshare -n`).
   */
  readonly network?: Network;
  /** Last word on the JSON configuration of one of our processes. */
  readonly configure?: (process: { name: string; kind: ProcessKind }, config: object) => object;
  /** Every line of every process and of the supervisor itself; nothing is shown when left out. */
  readonly onLog?: (entry: LogEntry) => void;
  /** Aborted while it still starts: everything is stopped again. */
  readonly signal?: AbortSignal;
}

export type UpFailure =
  | { readonly code: "up.interrupted" }
  | { readonly code: "up.network-needs-root" }
  | { readonly code: "up.network-not-own" }
  | { readonly code: "up.network-failed"; readonly detail: string }
  | AlreadyRunning
  | CatalogueInvalid
  | { readonly code: "up.region-unknown"; readonly region: string; readonly known: readonly string[] }
  | { readonly code: "up.host-unknown"; readonly hosts: readonly string[]; readonly known: readonly string[] }
  | { readonly code: "up.data-path-too-long"; readonly path: string; readonly bytesMax: number }
  | { readonly code: "up.program-missing"; readonly programs: readonly string[] }
  | { readonly code: "up.port-in-use"; readonly occupied: readonly Occupied[] }
  | {
      readonly code: "up.process-failed";
      readonly process: string;
      readonly exitCode: number | null;
      readonly signal: string | null;
      readonly lastLines: readonly string[];
      readonly log: string;
    }
  | { readonly code: "up.not-ready"; readonly process: string; readonly withinMs: number; readonly log: string };

export interface HostAddresses {
  readonly hostId: string;
  readonly popId: string;
  readonly address: string;
  readonly sipPort: number;
  readonly sipTlsPort: number;
  /** WebSocket over TLS. */
  readonly sipWssPort: number;
  /** UDP and TCP on ::1, where the machine has it. */
  readonly sipV6Port?: number;
  readonly sipHttpUrl: string;
  readonly popUrl: string;
  /** Of the host itself, wherever its service is served. */
  readonly keeperUrl: string;
  readonly keeperTokenFile: string;
}

export interface RegionAddresses {
  readonly restUrl: string;
  readonly adminTokenFile: string;
  readonly hosts: readonly HostAddresses[];
  readonly dataDir: string;
  readonly logs: string;
}

export interface RunningRegion {
  readonly region: string;
  readonly addresses: RegionAddresses;
  /** Ours and the keepers': "redis", "fra-01-a/keeper", "fra-01-a/pop", "fra-01-b/pop@fra-01-a" after a takeover, "fra-01-a/spare-pop". */
  processes(): UpState["processes"];
  pid(name: string): number | undefined;
  /** What a host's keeper says of itself; undefined while it does not answer. */
  host(hostId: string): KeeperStatus | undefined;
  /** Resolves when this holds for what a host's keeper says; rejects after so long. */
  untilHost(hostId: string, what: string, holds: (status: KeeperStatus) => boolean, timeoutMs: number): Promise<void>;
  /**
   * To the keeper of a host and all of its processes, at once: SIGKILL is its death (its keeper is not started again before
   * `start("HOST/keeper")`), SIGSTOP and SIGCONT a pause.
   */
  signalHost(hostId: string, signal: "SIGKILL" | "SIGSTOP" | "SIGCONT"): Promise<void>;
  /** A fault. The process is started again as after any death, unless `stayDown`. Resolves when it is gone. */
  kill(name: string, signal: NodeJS.Signals, options?: { readonly stayDown?: boolean }): Promise<void>;
  /** Starts one that is down and waits until it is ready. @fails up.process-failed, up.not-ready */
  start(name: string): Promise<Outcome<void, UpFailure>>;
  /** With the network "netns" only: nothing passes between this host and anybody else any more, and nobody is told. */
  cutLink(hostId: string): Promise<void>;
  healLink(hostId: string): Promise<void>;
  /** Stops one in its own time (SIGTERM), and leaves it stopped. */
  stopProcess(name: string): Promise<void>;
  /** Everything, in the reverse order of its start. May be called again. */
  stop(): Promise<void>;
  /** SIGKILL to all, at once. */
  killAll(): void;
}

const LEVEL_OF: Readonly<Record<string, LogEntry["level"]>> = {
  "process.ready": "info",
  "process.died": "warn",
  "process.did-not-stop": "warn",
  "process.given-up": "error",
};

/** Unix sockets: 107 bytes on Linux; some room for a name of ours beside it. */
const SOCKET_PATH_BYTES_MAX = 100;

export const CHECKOUT = resolve(import.meta.dirname, "..", "..");
export const DEFAULT_DATA_DIR = join(CHECKOUT, ".tollgate");

/** @fails one of UpFailure; then nothing is left running */
export async function startRegion(options: StartRegionOptions = {}): Promise<Outcome<RunningRegion, UpFailure>> {
  const catalogue = readCatalogue();
  if (!catalogue.ok) return catalogue;
  const known = [...catalogue.value.keys()];
  const id = options.region ?? "eu";
  const listed = catalogue.value.get(id);
  if (listed === undefined) return fail({ code: "up.region-unknown", region: id, known });
  const network = options.network ?? "loopback";
  if (network === "netns" && process.getuid?.() !== 0) return fail({ code: "up.network-needs-root" });
  if (network === "netns" && !isOwnNamespace()) return fail({ code: "up.network-not-own" });
  const placed = (one: Region) => (network === "netns" ? routable(one) : one);
  const region = placed(listed);
  const controlPlaneRegion = placed(catalogue.value.get(controlPlaneRegionOf(listed)) ?? listed);
  const ipv6 = network === "loopback" && hasIpv6();

  const hosts = chosenHosts(region, options.hosts);
  const unknown = (options.hosts ?? []).filter((asked) => !hosts.some(({ host }) => host.id === asked));
  if (unknown.length > 0) {
    const all = region.pops.flatMap((pop) => pop.hosts.map((host) => host.id));
    return fail({ code: "up.host-unknown", hosts: unknown, known: all });
  }

  const dataDir = resolve(options.dataDir ?? DEFAULT_DATA_DIR);
  const paths = regionPaths(dataDir, id);
  // Of a host that serves its twin's service too.
  const longest = join(paths.root, hosts[0]?.host.id ?? "", hosts[0]?.host.id ?? "", SOCKET_NAME);
  if (Buffer.byteLength(longest) > SOCKET_PATH_BYTES_MAX)
    return fail({ code: "up.data-path-too-long", path: longest, bytesMax: SOCKET_PATH_BYTES_MAX });
  for (const folder of [dataDir, join(dataDir, "prompts"), paths.root, paths.logs, paths.secrets])
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  const lock = takeLock(paths.lockFile);
  if (!lock.ok) return lock;

  secretIn(paths.adminTokenFile);
  for (const { host } of hosts) {
    secretIn(secretFileOf(paths, host.id));
    secretIn(keeperTokenFileOf(paths, host.id));
  }
  const servedHosts = [...catalogue.value.values()]
    .filter((other) => other !== listed && controlPlaneRegionOf(other) === id)
    .flatMap((other) => other.pops.flatMap((pop) => pop.hosts.map((host) => host.id)));
  let fabric: Fabric | undefined;
  try {
    fabric =
      network === "netns"
        ? await Fabric.open({
            addresses: [region.local.controlPlaneAddress],
            hosts: hosts.map(({ pop, host }) => ({
              hostId: host.id,
              managementAddress: host.managementAddress,
              serviceAddresses: pop.hosts
                .filter(({ id, twin }) => id === host.id || twin === host.id)
                .map((one) => one.localAddress),
            })),
            services: new Map(hosts.map(({ host }) => [host.id, host.localAddress])),
          })
        : undefined;
  } catch (error) {
    lock.value.release();
    return fail({ code: "up.network-failed", detail: error instanceof Error ? error.message.trim() : String(error) });
  }
  const leave = async () => {
    await fabric?.close();
    lock.value.release();
  };
  const plans = planTopology({
    ...options,
    ...(fabric === undefined ? {} : { placeOf: (hostId: string) => fabric.placeOf(hostId) }),
    promptsDir: resolve(options.promptsDir ?? join(dataDir, "prompts")),
    region,
    controlPlaneRegion,
    servedHosts,
    dataDir,
    checkout: CHECKOUT,
    node: process.execPath,
    ipv6,
    secrets: { redisPassword: secretIn(paths.redisPasswordFile) },
  });

  const missing = [
    ...new Set([
      "setpriv",
      "openssl",
      ...(hosts.length > 0 ? ["rtpengine"] : []),
      ...(network === "netns" ? ["ip", "unshare", "nsenter"] : []),
      ...plans.map(({ command }) => command),
    ]),
  ].filter((name) => !onPath(name));
  const taken =
    missing.length > 0
      ? []
      : await occupied(
          // What is in a namespace of its own is free.
          plans.filter(({ kind }) => fabric === undefined || kind !== "keeper").flatMap(({ listens }) => listens),
        );
  if (missing.length > 0 || taken.length > 0) {
    await leave();
    return fail(
      missing.length > 0
        ? { code: "up.program-missing", programs: missing }
        : { code: "up.port-in-use", occupied: taken },
    );
  }

  // Before anything starts: a SIP server wants its certificate at once, and the control plane takes the CA it finds.
  for (const { host } of hosts) {
    await developmentSipCertificate({ dir: paths.pki, hostId: host.id, names: sipNames(region, host) }, silentLog);
    await developmentKeeperCertificate({ dir: paths.pki, hostId: host.id, names: keeperNames(host) }, silentLog);
  }

  const { local } = region;
  const addresses: RegionAddresses = {
    restUrl: `http://${controlPlaneRegion.local.controlPlaneAddress}:${controlPlaneRegion.local.controlPlanePorts.rest}`,
    adminTokenFile: regionPaths(dataDir, controlPlaneRegion.region).adminTokenFile,
    hosts: hosts.map(({ pop, host }) => ({
      hostId: host.id,
      popId: pop.id,
      address: host.localAddress,
      sipPort: local.hostPorts.sip,
      sipTlsPort: local.hostPorts.sipTls,
      sipWssPort: local.hostPorts.sipWss,
      ...(ipv6 ? { sipV6Port: ipv6SipPort(region, host) } : {}),
      sipHttpUrl: `http://${host.localAddress}:${local.hostPorts.sipHttp}`,
      popUrl: `http://${host.localAddress}:${local.hostPorts.popHttp}`,
      keeperUrl: `http://${host.managementAddress}:${local.hostPorts.keeperHttp}`,
      keeperTokenFile: keeperTokenFileOf(paths, host.id),
    })),
    dataDir: paths.root,
    logs: paths.logs,
  };

  const startedAtUnixMs = Date.now();
  const tell = (level: LogEntry["level"], event: string, fields: LogEntry["fields"]) =>
    options.onLog?.({ process: "up", atUnixMs: Date.now(), level, event, fields });
  let closed = false;
  const passed = new PassedLogs(paths.logs);
  const shown = (process: string, line: string) => options.onLog?.(parseLogLine(process, line, Date.now()));
  const observer = {
    line: shown,
    passed: (from: string, line: string) => {
      if (closed) return;
      passed.write(from, line);
      shown(from, line);
    },
    changed: (process: Supervised, event: string, fields: Readonly<Record<string, unknown>>) => {
      if (closed) return;
      const level = LEVEL_OF[event] ?? "debug";
      tell(level, event, { name: process.name, ...fields });
      save();
    },
  };
  const running = plans.map((plan) => new Supervised(plan, paths.logs, observer));
  const keepers = new Map<string, KeeperWatch>();
  const keptProcesses = (): KeeperProcess[] => [...keepers.values()].flatMap(({ status }) => status?.processes ?? []);
  const processes = (): UpState["processes"] =>
    [...running, ...keptProcesses()].map(({ name, state, pid, restarts }) => ({
      name,
      state,
      ...(pid === undefined ? {} : { pid }),
      restarts,
    }));
  const save = () =>
    writeUpState(paths.stateFile, {
      version: 1,
      pid: process.pid,
      region: id,
      network,
      startedAtUnixMs,
      ...(options.controlPlane === false ? {} : { restUrl: addresses.restUrl }),
      adminTokenFile: addresses.adminTokenFile,
      hosts: addresses.hosts.map(({ hostId, popId, popUrl, address, sipPort, keeperUrl, keeperTokenFile }) => ({
        hostId,
        popId,
        popUrl,
        keeperUrl,
        keeperTokenFile,
        sip: `${address}:${sipPort}`,
      })),
      logs: paths.logs,
      processes: processes(),
    });

  const stages = [...new Set(plans.map(({ stage }) => stage))].sort((a, b) => a - b);
  const ofStage = (stage: number) => running.filter((_, at) => plans[at]?.stage === stage);
  let stopping: Promise<void> | undefined;
  const stopAll = async () => {
    // Hosts first: what they still have to tell, the control plane is there to hear.
    await Promise.all(running.filter(({ name }) => hostOfKeeper(name) !== undefined).map((one) => one.stop()));
    for (const stage of stages.toReversed()) await Promise.all(ofStage(stage).map((one) => one.stop()));
    closed = true;
    for (const watch of keepers.values()) watch.close();
    for (const one of running) one.close();
    passed.close();
    rmSync(paths.stateFile, { force: true });
    await leave();
  };
  const stop = () => {
    stopping ??= stopAll();
    return stopping;
  };

  /** A process of a keeper that ends before it was ever ready is why its keeper will not be: no need to wait for that. */
  const failedChild = (host: string): KeeperProcess | undefined =>
    keepers
      .get(host)
      ?.status?.processes.find(
        ({ state, lastEnd, restarts }) => state !== "ready" && lastEnd !== undefined && restarts <= 1,
      );

  const startOne = async (one: Supervised): Promise<Outcome<void, UpFailure>> => {
    const host = hostOfKeeper(one.name);
    let ended: Awaited<ReturnType<Supervised["start"]>>;
    if (host === undefined) ended = await one.start();
    else {
      watchKeeper(host);
      const broken = new AbortController();
      const failed = untilFailed(host, broken.signal);
      const first = await Promise.race([one.start(), failed]);
      broken.abort();
      if (typeof first === "object" && "process" in first) {
        await one.stop();
        const { lastEnd } = first;
        return fail({
          code: "up.process-failed",
          process: first.name,
          exitCode: lastEnd?.exitCode ?? null,
          signal: lastEnd?.signal ?? null,
          lastLines: lastEnd?.lastLines ?? [],
          log: passed.pathOf(first.name),
        });
      }
      ended = first;
    }
    if (ended === undefined) return succeed(undefined);
    return fail(
      ended === "not-ready"
        ? { code: "up.not-ready", process: one.name, withinMs: one.plan.readyWithinMs, log: one.logPath }
        : {
            code: "up.process-failed",
            process: one.name,
            exitCode: ended.code,
            signal: ended.signal,
            lastLines: ended.lastLines,
            log: one.logPath,
          },
    );
  };

  const watchKeeper = (host: string) => {
    const at = addresses.hosts.find(({ hostId }) => hostId === host);
    if (at === undefined || keepers.has(host)) return;
    keepers.set(host, new KeeperWatch(at.keeperUrl, () => (closed ? undefined : save())));
  };
  const untilFailed = async (host: string, signal: AbortSignal): Promise<KeeperProcess> => {
    for (;;) {
      const failed = failedChild(host);
      if (failed !== undefined) return failed;
      await new Promise((resolve) => setTimeout(resolve, 100));
      if (signal.aborted) return new Promise(() => {});
    }
  };

  const interrupted = () => options.signal?.aborted === true;
  options.signal?.addEventListener("abort", () => void stop(), { once: true });
  for (const stage of stages) {
    if (interrupted()) break;
    const outcomes = await Promise.all(ofStage(stage).map(startOne));
    const failed = outcomes.find((outcome) => !outcome.ok);
    if (failed !== undefined && !failed.ok && !interrupted()) {
      await stop();
      return failed;
    }
  }
  if (interrupted()) {
    await stop();
    return fail({ code: "up.interrupted" });
  }

  const find = (name: string): Supervised | KeptProcess => {
    const found = running.find((one) => one.name === name) ?? keptOf(name, keepers, addresses.hosts);
    if (found === undefined)
      throw new Error(
        `no process ${name}: there are ${processes()
          .map((one) => one.name)
          .join(", ")}`,
      );
    return found;
  };
  const keeperOf = (hostId: string): Supervised => {
    const found = running.find(({ name }) => name === `${hostId}/keeper`);
    if (found === undefined) throw new Error(`no host ${hostId} runs`);
    return found;
  };
  return succeed({
    region: id,
    addresses,
    processes,
    pid: (name) => find(name).pid,
    host: (hostId) => keepers.get(hostId)?.status,
    untilHost: async (hostId, what, holds, timeoutMs) =>
      keepers.get(hostId)?.until((status) => status !== undefined && holds(status), what, timeoutMs),
    signalHost: async (hostId, signal) => {
      const keeper = keeperOf(hostId);
      const pids = (keepers.get(hostId)?.status?.processes ?? []).flatMap(({ pid }) => pid ?? []);
      await keeper.kill(signal, { stayDown: true });
      if (signal === "SIGKILL") return untilGone(pids); // they go with it
      for (const pid of pids) signalTo(pid, signal);
    },
    kill: (name, signal, how) => find(name).kill(signal, how),
    start: async (name) => {
      const one = find(name);
      return one instanceof Supervised ? startOne(one) : one.start();
    },
    stopProcess: (name) => find(name).stop(),
    cutLink: async (hostId) => {
      if (fabric === undefined) throw new Error("a link can be cut with --network netns only");
      await fabric.cut(hostId);
    },
    healLink: async (hostId) => fabric?.heal(hostId),
    stop,
    killAll: () => {
      for (const one of running) one.killNow();
    },
  });
}

const hostOfKeeper = (name: string): string | undefined => /^(.+)\/keeper$/.exec(name)?.[1];

/** A process that a keeper keeps, for those who disturb it. */
interface KeptProcess {
  readonly pid: number | undefined;
  kill(signal: NodeJS.Signals, how?: { readonly stayDown?: boolean }): Promise<void>;
  start(): Promise<Outcome<void, UpFailure>>;
  stop(): Promise<void>;
}

const KEPT_NAME = /^([^/]+)\/([a-z-]+)(?:@(.+))?$/;
const KEPT_MS_MAX = 30_000;

function keptOf(
  name: string,
  keepers: ReadonlyMap<string, KeeperWatch>,
  hosts: readonly HostAddresses[],
): KeptProcess | undefined {
  const [, host = "", process = "", service = host] = KEPT_NAME.exec(name) ?? [];
  const watch = keepers.get(host);
  const addresses = hosts.find(({ hostId }) => hostId === host);
  const shown = (): KeeperProcess | undefined => watch?.status?.processes.find((one) => one.name === name);
  if (watch === undefined || addresses === undefined || shown() === undefined) return undefined;
  const at: KeeperAt = { url: addresses.keeperUrl, tokenFile: addresses.keeperTokenFile };
  const ask = async (verb: "hold" | "release", body: object): Promise<void> => {
    const answer = await askKeeper(at, `/processes/${service}/${process}/${verb}`, body);
    if (answer.status !== 200) throw new Error(`${name}: ${verb}: HTTP ${answer.status} ${answer.body.code ?? ""}`);
  };
  const gone = async (pid: number | undefined) => {
    if (pid === undefined) return;
    await untilGone([pid]);
    await watch.until(() => shown()?.pid !== pid, `${name} without ${pid}`, KEPT_MS_MAX);
  };
  return {
    get pid() {
      return shown()?.pid;
    },
    async kill(signal, { stayDown = false } = {}) {
      const pid = shown()?.pid;
      if (pid === undefined) return;
      if (stayDown) await ask("hold", { signal: "SIGKILL" });
      signalTo(signal === "SIGKILL" ? -pid : pid, signal);
      if (signal !== "SIGSTOP" && signal !== "SIGCONT") await gone(pid);
    },
    async start() {
      await ask("release", {});
      try {
        await watch.until(() => shown()?.state === "ready", `${name} ready`, KEPT_MS_MAX);
        return succeed(undefined);
      } catch {
        return fail({ code: "up.not-ready", process: name, withinMs: KEPT_MS_MAX, log: name });
      }
    },
    async stop() {
      const pid = shown()?.pid;
      await ask("hold", { signal: "SIGTERM" });
      await gone(pid);
    },
  };
}

function signalTo(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

async function untilGone(pids: readonly number[]): Promise<void> {
  while (pids.some(isAlive)) await new Promise((resolve) => setTimeout(resolve, 5));
}

const hasIpv6 = (): boolean =>
  Object.values(networkInterfaces()).some((addresses) => addresses?.some(({ address }) => address === "::1") === true);

const PACKAGES: Readonly<Record<string, string>> = {
  etcd: "etcd-server",
  "redis-server": "redis-server",
  rtpengine: "rtpengine-daemon",
  setpriv: "util-linux",
  openssl: "openssl",
  ip: "iproute2",
  unshare: "util-linux",
  nsenter: "util-linux",
};

/** For people: what went wrong, and what to do about it. */
export function showUpFailure(failure: UpFailure): string {
  switch (failure.code) {
    case "up.interrupted":
      return "interrupted while it was starting; everything is stopped";
    case "up.network-needs-root":
      return "network namespaces need root: run it with sudo, or without --network netns";
    case "up.network-not-own":
      return "this network namespace has devices of others: start it in one of its own (unshare --net)";
    case "up.network-failed":
      return `the network could not be set up: ${failure.detail}`;
    case "catalogue.invalid":
      return `the region catalogue is not usable:\n${showCatalogueMistakes(failure.mistakes)}`;
    case "up.region-unknown":
      return `there is no region "${failure.region}"; there are ${failure.known.join(", ")}`;
    case "up.host-unknown":
      return `no such host: ${failure.hosts.join(", ")}; the region has ${failure.known.join(", ")}`;
    case "up.already-running":
      return `it is already up: process ${failure.pid} holds ${failure.lockFile}`;
    case "up.data-path-too-long":
      return `${failure.path} would be the path of a Unix socket, which may have ${failure.bytesMax} bytes; use a shorter --data DIR`;
    case "up.program-missing":
      return `missing: ${failure.programs.map((name) => `${name} (Debian package ${PACKAGES[name] ?? "?"})`).join(", ")}; "make demo" installs them`;
    case "up.port-in-use":
      return `cannot start, these addresses are taken:\n${failure.occupied.map((one) => `  ${showOccupied(one)}`).join("\n")}`;
    case "up.process-failed": {
      const how = failure.signal === null ? `with exit code ${failure.exitCode}` : `by ${failure.signal}`;
      const said = failure.lastLines.map((line) => `  | ${line}`).join("\n");
      return `${failure.process} ended ${how} before it was ready\n${said}\n  log: ${failure.log}`;
    }
    case "up.not-ready":
      return `${failure.process} was not ready within ${failure.withinMs / 1_000} s; log: ${failure.log}`;
  }
}
