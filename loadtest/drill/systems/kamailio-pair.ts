// What an operator would build today from Debian's packages for the same promise: two hosts, keepalived with a virtual address,
// Kamailio as a record-routing proxy, rtpengine active and standby over Redis. A proxy: it knows no flow, no prompt and no queue.
//
// Runs in network namespaces below the one it is called in, which must be a throw-away one: it makes a bridge there.

import { type ChildProcess, execFile, spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { createWriteStream, mkdirSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { promisify } from "node:util";

const run = promisify(execFile);

export interface KamailioPairOptions {
  /** Logs, configuration and Redis' data. */
  readonly folder: string;
  /** Where calls to numbers that begin so are sent: "+496000" → "10.30.0.10". */
  readonly callees: ReadonlyMap<string, string>;
  /** VRRP's advertisement interval. keepalived's default is 1 s; a host is dead after three of them. */
  readonly advertSeconds: number;
}

export interface KamailioPair {
  /** The virtual address: SIP at 5060. */
  readonly address: string;
  /** To everything that runs on the active host; its pids. */
  signalActiveHost(signal: NodeJS.Signals): readonly number[];
  stop(): Promise<void>;
  /** At once. */
  killAll(): void;
}

export const BASELINE_PROGRAMS: Readonly<Record<string, string>> = {
  keepalived: "keepalived",
  kamailio: "kamailio",
  rtpengine: "rtpengine-daemon",
  "redis-server": "redis-server",
};

const NET = "10.10.1";
const FABRIC = `${NET}.1`;
const SERVICE = `${NET}.11`;
const READY_WITHIN_MS = 10_000;

interface Host {
  readonly name: "a" | "b";
  /** Its own address; the virtual one comes and goes. */
  readonly address: string;
  readonly peer: string;
  readonly priority: number;
  /** rtpengine writes here and listens to the other's. */
  readonly database: number;
  readonly otherDatabase: number;
}

const HOSTS: readonly Host[] = [
  { name: "a", address: `${NET}.101`, peer: `${NET}.102`, priority: 150, database: 5, otherDatabase: 6 },
  { name: "b", address: `${NET}.102`, peer: `${NET}.101`, priority: 100, database: 6, otherDatabase: 5 },
];

/** @throws Error when a command fails or the pair is not ready in time; nothing is left running then */
export async function startKamailioPair(options: KamailioPairOptions): Promise<KamailioPair> {
  mkdirSync(options.folder, { recursive: true });
  const running: ChildProcess[] = [];
  const byHost = new Map<string, ChildProcess[]>();
  const stop = async () => {
    for (const child of running.toReversed()) kill(child, "SIGKILL");
    await Promise.all(running.map((child) => child.exitCode ?? child.signalCode ?? gone(child)));
    await run("ip", ["link", "del", "br0"]).catch(() => {});
  };
  const start = (name: string, command: string, args: readonly string[]): ChildProcess => {
    const log = createWriteStream(join(options.folder, `${name}.log`));
    const child = spawn("setpriv", ["--pdeathsig", "SIGKILL", "--", command, ...args], {
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
    });
    child.stdout?.pipe(log);
    child.stderr?.pipe(log);
    running.push(child);
    return child;
  };
  try {
    await run("ip", ["link", "add", "br0", "type", "bridge"]);
    await run("ip", ["address", "add", `${FABRIC}/24`, "dev", "br0"]);
    await run("ip", ["link", "set", "br0", "up"]);
    const redis = ["--bind", FABRIC, "--port", "6379", "--protected-mode", "no", "--save", "", "--dir", options.folder];
    start("redis", "redis-server", [...redis, "--notify-keyspace-events", "KEA"]);
    for (const host of HOSTS) byHost.set(host.name, await startHost(host, options, start));
    await serviceAnswers();
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    address: SERVICE,
    signalActiveHost(signal) {
      const active = byHost.get("a") ?? [];
      for (const child of active) kill(child, signal);
      return active.flatMap(({ pid }) => (pid === undefined ? [] : [pid]));
    },
    stop,
    killAll() {
      for (const child of running) kill(child, "SIGKILL");
    },
  };
}

type Start = (name: string, command: string, args: readonly string[]) => ChildProcess;

async function startHost(host: Host, options: KamailioPairOptions, start: Start): Promise<ChildProcess[]> {
  const { folder, callees, advertSeconds } = options;
  // A namespace lives as long as somebody in it.
  const holder = start(`${host.name}-namespace`, "unshare", ["--net", "sleep", "infinity"]);
  const pid = String(await inOwnNamespace(holder));
  const link = `v${host.name}`;
  await run("ip", ["link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", pid]);
  await run("ip", ["link", "set", link, "master", "br0", "up"]);
  const inside = (command: string, ...args: string[]) => run("nsenter", ["-t", pid, "-n", command, ...args]);
  await inside("ip", "link", "set", "lo", "up");
  await inside("ip", "address", "add", `${host.address}/24`, "dev", "eth0");
  await inside("ip", "link", "set", "eth0", "up");
  await inside("ip", "route", "add", "default", "via", FABRIC);
  // The standby binds an address that it does not have yet.
  await inside("sysctl", "-qw", "net.ipv4.ip_nonlocal_bind=1");

  const keepalived = join(folder, `${host.name}-keepalived.conf`);
  writeFileSync(keepalived, keepalivedConfig(host, advertSeconds));
  const kamailio = join(folder, `${host.name}-kamailio.cfg`);
  writeFileSync(kamailio, kamailioConfig(callees));
  const own = (name: string, command: string, ...args: string[]) =>
    start(`${host.name}-${name}`, "nsenter", ["-t", pid, "-n", command, ...args]);
  const pidFiles = ["-p", join(folder, `${host.name}.pid`), "-r", join(folder, `${host.name}-vrrp.pid`)];
  const relay = own(
    "rtpengine",
    "rtpengine",
    ...["--foreground", "--log-stderr", "--log-level=5", "--table=-1", "--config-file=none", "--num-threads=2"],
    ...[`--interface=${SERVICE}`, "--listen-ng=127.0.0.1:2223", "--port-min=30000", "--port-max=40000"],
    ...[`--redis=${FABRIC}:6379/${host.database}`, `--subscribe-keyspace=${host.otherDatabase}`],
    ...["--delete-delay=0", "--timeout=3600", ...(host.name === "b" ? ["--active-switchover"] : [])],
  );
  await wait(400); // Kamailio asks its relay once at its start, and not again for a minute
  const proxy = own("kamailio", "kamailio", "-DD", "-E", "-f", kamailio, "-m", "64", "-M", "8", "-Y", folder);
  const address = own("keepalived", "keepalived", "-n", "-l", "-D", "-P", "-f", keepalived, ...pidFiles);
  return [address, proxy, relay];
}

const keepalivedConfig = (host: Host, advertSeconds: number): string => `global_defs {
  vrrp_version 3
}
vrrp_instance pop {
  state ${host.name === "a" ? "MASTER" : "BACKUP"}
  interface eth0
  virtual_router_id 51
  priority ${host.priority}
  advert_int ${advertSeconds}
  unicast_src_ip ${host.address}
  unicast_peer {
    ${host.peer}
  }
  virtual_ipaddress {
    ${SERVICE}/32 dev eth0
  }
}
`;

/** Record-routes and anchors media at its rtpengine. In-dialog requests need no state of its own. */
const kamailioConfig = (callees: ReadonlyMap<string, string>): string => `#!KAMAILIO
debug=1
log_stderror=yes
children=2
tcp_children=2
auto_aliases=no
listen=udp:${SERVICE}:5060
listen=tcp:${SERVICE}:5060
loadmodule "kex.so"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "rtpengine.so"
modparam("rtpengine", "rtpengine_sock", "udp:127.0.0.1:2223")
modparam("rtpengine", "rtpengine_tout_ms", 500)
request_route {
  if (!mf_process_maxfwd_header("70")) { sl_send_reply("483", "Too Many Hops"); exit; }
  if (is_method("CANCEL")) { if (t_check_trans()) t_relay(); exit; }
  if (is_method("OPTIONS")) { sl_send_reply("200", "OK"); exit; }
  if (has_totag()) {
    if (loose_route()) {
      if (is_method("BYE")) rtpengine_delete();
      else if (has_body("application/sdp")) {
        rtpengine_manage("replace-origin replace-session-connection");
        t_on_reply("MEDIA");
      }
      t_relay();
    } else if (is_method("ACK")) { if (t_check_trans()) t_relay(); }
    else sl_send_reply("404", "Not here");
    exit;
  }
  if (!is_method("INVITE")) { sl_send_reply("405", "Method Not Allowed"); exit; }
  record_route();
  rtpengine_manage("replace-origin replace-session-connection");
  t_on_reply("MEDIA");
${[...callees].map(([prefix, host]) => `  if ($(rU{s.substr,0,${prefix.length}}) == "${prefix}") $du = "sip:${host}:5060";`).join("\n")}
  if ($proto == "tcp") $du = $du + ";transport=tcp";
  t_relay();
}
onreply_route[MEDIA] {
  if (has_body("application/sdp")) rtpengine_manage("replace-origin replace-session-connection");
}
`;

/** The active host has the address, and its proxy answers OPTIONS there. */
async function serviceAnswers(): Promise<void> {
  const socket = createSocket("udp4");
  await new Promise<void>((resolve) => socket.bind(0, FABRIC, resolve));
  const { port } = socket.address();
  const ask = `OPTIONS sip:${SERVICE} SIP/2.0\r\nVia: SIP/2.0/UDP ${FABRIC}:${port};branch=z9hG4bK-ready\r\nMax-Forwards: 70\r\nFrom: <sip:ready@${FABRIC}>;tag=1\r\nTo: <sip:${SERVICE}>\r\nCall-ID: ready\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n`;
  try {
    const answered = new Promise<true>((resolve) => socket.once("message", () => resolve(true)));
    for (const untilMs = performance.now() + READY_WITHIN_MS; performance.now() < untilMs; ) {
      socket.send(ask, 5060, SERVICE, () => {}); // refused while nobody has the address
      if (await Promise.race([answered, wait(100, false)])) return;
    }
  } finally {
    socket.close();
  }
  throw new Error(`Kamailio did not answer at ${SERVICE} within ${READY_WITHIN_MS} ms`);
}

/** The holder's pid once it is in a namespace of its own. */
async function inOwnNamespace(holder: ChildProcess): Promise<number> {
  const own = readlinkSync("/proc/self/ns/net");
  for (const untilMs = performance.now() + READY_WITHIN_MS; performance.now() < untilMs; await wait(10)) {
    if (holder.pid === undefined || holder.exitCode !== null) break;
    try {
      if (readlinkSync(`/proc/${holder.pid}/ns/net`) !== own) return holder.pid;
    } catch {
      break;
    }
  }
  throw new Error("no network namespace could be made: this needs root");
}

const gone = (child: ChildProcess): Promise<void> => new Promise((resolve) => child.once("close", () => resolve()));

/** To its process group: Kamailio and keepalived are several processes. */
function kill(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  try {
    process.kill(-child.pid, signal);
  } catch {
    // gone in between
  }
}
