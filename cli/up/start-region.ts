// Brings up the local target of one region, in order, and takes it down again. `tollgate up`, the demo, the end-to-end
// tests and the capacity runs all call this; only the first shows what the processes write.

import { accessSync, constants, mkdirSync, rmSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { delimiter, join, resolve } from "node:path";
import { developmentSipCertificate } from "../../control-plane/adapters/pki/development-ca.ts";
import { silentLog } from "../../kernel/log.ts";
import { fail, type Outcome, succeed } from "../../kernel/outcome.ts";
import { type AlreadyRunning, takeLock } from "../../kernel/shell/lock.ts";
import { Supervised } from "../../kernel/shell/supervised.ts";
import { readCatalogue } from "../../regions/read-catalogue.ts";
import { type CatalogueInvalid, showCatalogueMistakes } from "../../regions/schema/catalogue.ts";
import { controlPlaneRegionOf } from "../../regions/schema/region.ts";
import { type LogEntry, parseLogLine } from "../terminal/log-line.ts";
import { type Occupied, occupied, showOccupied } from "./ports.ts";
import { ipv6SipPort, sipNames } from "./process-configs.ts";
import { regionPaths, secretFileOf } from "./region-paths.ts";
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
  /** Last word on the JSON configuration of one of our processes. */
  readonly configure?: (process: { name: string; kind: ProcessKind }, config: object) => object;
  /** Every line of every process and of the supervisor itself; nothing is shown when left out. */
  readonly onLog?: (entry: LogEntry) => void;
  /** Aborted while it still starts: everything is stopped again. */
  readonly signal?: AbortSignal;
}

export type UpFailure =
  | { readonly code: "up.interrupted" }
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
  readonly popUrl: string;
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
  processes(): UpState["processes"];
  pid(name: string): number | undefined;
  /** A fault. The process is started again as after any death, unless `stayDown`. Resolves when it is gone. */
  kill(name: string, signal: NodeJS.Signals, options?: { readonly stayDown?: boolean }): Promise<void>;
  /** Starts one that is down and waits until it is ready. @fails up.process-failed, up.not-ready */
  start(name: string): Promise<Outcome<void, UpFailure>>;
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
  const region = catalogue.value.get(id);
  if (region === undefined) return fail({ code: "up.region-unknown", region: id, known });
  const controlPlaneRegion = catalogue.value.get(controlPlaneRegionOf(region)) ?? region;

  const hosts = chosenHosts(region, options.hosts);
  const unknown = (options.hosts ?? []).filter((asked) => !hosts.some(({ host }) => host.id === asked));
  if (unknown.length > 0) {
    const all = region.pops.flatMap((pop) => pop.hosts.map((host) => host.id));
    return fail({ code: "up.host-unknown", hosts: unknown, known: all });
  }

  const dataDir = resolve(options.dataDir ?? DEFAULT_DATA_DIR);
  const paths = regionPaths(dataDir, id);
  const longest = join(paths.root, hosts[0]?.host.id ?? "", SOCKET_NAME);
  if (Buffer.byteLength(longest) > SOCKET_PATH_BYTES_MAX)
    return fail({ code: "up.data-path-too-long", path: longest, bytesMax: SOCKET_PATH_BYTES_MAX });
  for (const folder of [dataDir, join(dataDir, "prompts"), paths.root, paths.logs, paths.secrets])
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  const lock = takeLock(paths.lockFile);
  if (!lock.ok) return lock;

  secretIn(paths.adminTokenFile);
  for (const { host } of hosts) secretIn(secretFileOf(paths, host.id));
  const servedHosts = [...catalogue.value.values()]
    .filter((other) => other !== region && controlPlaneRegionOf(other) === id)
    .flatMap((other) => other.pops.flatMap((pop) => pop.hosts.map((host) => host.id)));
  const plans = planTopology({
    ...options,
    promptsDir: resolve(options.promptsDir ?? join(dataDir, "prompts")),
    region,
    controlPlaneRegion,
    servedHosts,
    dataDir,
    checkout: CHECKOUT,
    node: process.execPath,
    ipv6: hasIpv6(),
    secrets: { redisPassword: secretIn(paths.redisPasswordFile) },
  });

  const missing = [...new Set(["setpriv", "openssl", ...plans.map(({ command }) => command)])].filter(
    (name) => !onPath(name),
  );
  const taken = missing.length > 0 ? [] : await occupied(plans.flatMap(({ listens }) => listens));
  if (missing.length > 0 || taken.length > 0) {
    lock.value.release();
    return fail(
      missing.length > 0
        ? { code: "up.program-missing", programs: missing }
        : { code: "up.port-in-use", occupied: taken },
    );
  }

  // Before anything starts: a SIP server wants its certificate at once, and the control plane takes the CA it finds.
  for (const { host } of hosts)
    await developmentSipCertificate({ dir: paths.pki, hostId: host.id, names: sipNames(region, host) }, silentLog);

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
      ...(hasIpv6() ? { sipV6Port: ipv6SipPort(region, host) } : {}),
      popUrl: `http://${host.localAddress}:${local.hostPorts.popHttp}`,
    })),
    dataDir: paths.root,
    logs: paths.logs,
  };

  const startedAtUnixMs = Date.now();
  const tell = (level: LogEntry["level"], event: string, fields: LogEntry["fields"]) =>
    options.onLog?.({ process: "up", atUnixMs: Date.now(), level, event, fields });
  let closed = false;
  const observer = {
    line: (process: string, line: string) => options.onLog?.(parseLogLine(process, line, Date.now())),
    changed: (process: Supervised, event: string, fields: Readonly<Record<string, unknown>>) => {
      if (closed) return;
      const level = LEVEL_OF[event] ?? "debug";
      tell(level, event, { name: process.name, ...fields });
      save();
    },
  };
  const running = plans.map((plan) => new Supervised(plan, paths.logs, observer));
  const processes = (): UpState["processes"] =>
    running.map(({ name, state, pid, restarts }) => ({ name, state, ...(pid === undefined ? {} : { pid }), restarts }));
  const save = () =>
    writeUpState(paths.stateFile, {
      version: 1,
      pid: process.pid,
      region: id,
      startedAtUnixMs,
      ...(options.controlPlane === false ? {} : { restUrl: addresses.restUrl }),
      adminTokenFile: addresses.adminTokenFile,
      hosts: addresses.hosts.map(({ hostId, popId, popUrl, address, sipPort }) => ({
        hostId,
        popId,
        popUrl,
        sip: `${address}:${sipPort}`,
      })),
      logs: paths.logs,
      processes: processes(),
    });

  const stages = [...new Set(plans.map(({ stage }) => stage))].sort((a, b) => a - b);
  const ofStage = (stage: number) => running.filter((_, at) => plans[at]?.stage === stage);
  let stopping: Promise<void> | undefined;
  const stopAll = async () => {
    for (const stage of stages.toReversed()) await Promise.all(ofStage(stage).map((one) => one.stop()));
    closed = true;
    for (const one of running) one.close();
    rmSync(paths.stateFile, { force: true });
    lock.value.release();
  };
  const stop = () => {
    stopping ??= stopAll();
    return stopping;
  };

  const startOne = async (one: Supervised): Promise<Outcome<void, UpFailure>> => {
    const ended = await one.start();
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

  const named = (name: string): Supervised => {
    const found = running.find((one) => one.name === name);
    if (found === undefined)
      throw new Error(`no process ${name}: there are ${running.map((one) => one.name).join(", ")}`);
    return found;
  };
  return succeed({
    region: id,
    addresses,
    processes,
    pid: (name) => named(name).pid,
    kill: (name, signal, how) => named(name).kill(signal, how),
    start: (name) => startOne(named(name)),
    stopProcess: (name) => named(name).stop(),
    stop,
    killAll: () => {
      for (const one of running) one.killNow();
    },
  });
}

const hasIpv6 = (): boolean =>
  Object.values(networkInterfaces()).some((addresses) => addresses?.some(({ address }) => address === "::1") === true);

function onPath(program: string): boolean {
  const folders = program.includes("/") ? [""] : (process.env.PATH ?? "").split(delimiter);
  return folders.some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

const PACKAGES: Readonly<Record<string, string>> = {
  etcd: "etcd-server",
  "redis-server": "redis-server",
  rtpengine: "rtpengine-daemon",
  setpriv: "util-linux",
  openssl: "openssl",
};

/** For people: what went wrong, and what to do about it. */
export function showUpFailure(failure: UpFailure): string {
  switch (failure.code) {
    case "up.interrupted":
      return "interrupted while it was starting; everything is stopped";
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
