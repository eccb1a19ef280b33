// A network of its own for a region on one machine: each host a network namespace, joined by a fabric that routes every
// service address to one of them, as a data centre's does. `ip route replace` here is what moves an address there.
//
// The fabric is the namespace that this process runs in, which must be its own (`unshare -n`): nothing of it is seen
// outside, and it vanishes with its processes. So do the hosts' namespaces: they have no names, a sleeping process holds each.

import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { rmSync, writeFileSync } from "node:fs";
import { readlink } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { networkInterfaces } from "node:os";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import type { Region } from "../../regions/schema/region.ts";

const run = promisify(execFile);

export type Network = "loopback" | "netns";

/** Where carriers and agents may sit: every address of these is the fabric's own. */
export const FABRIC_PREFIXES: readonly string[] = ["10.20.0.1/16", "10.30.0.1/16"];

/** 127.10.1.11 → 10.10.1.11: a loopback address leads nowhere but to its own namespace. */
export function routable(region: Region): Region {
  return JSON.parse(JSON.stringify(region).replaceAll('"127.', '"10.')) as Region;
}

/** Nothing but loopback in it, so that what we do to it disturbs nobody. */
export const isOwnNamespace = (): boolean =>
  Object.keys(networkInterfaces()).every((name) => name === "lo" || /^host\d+$/.test(name));

export interface FabricHost {
  readonly hostId: string;
  readonly managementAddress: string;
  /** Every service address it may ever have: its own and its twin's. */
  readonly serviceAddresses: readonly string[];
}

export interface FabricSettings {
  /** The control plane's, on this side. */
  readonly addresses: readonly string[];
  readonly hosts: readonly FabricHost[];
  /** Service → its address. Each begins at its home. */
  readonly services: ReadonlyMap<string, string>;
  /** Where keepers ask for an address. */
  readonly socket: string;
}

interface Joined {
  readonly at: FabricHost;
  readonly holder: ChildProcess;
  readonly pid: number;
  /** Our end of the pair. */
  readonly device: string;
  /** Its end's address. */
  readonly gateway: string;
  cut: boolean;
}

export class Fabric {
  readonly #settings: FabricSettings;
  readonly #hosts = new Map<string, Joined>();
  /** Service address → the host it is routed to. */
  readonly #routes = new Map<string, string>();
  #server: Server | undefined;

  private constructor(settings: FabricSettings) {
    this.#settings = settings;
  }

  /** @throws Error when a command of iproute2 fails; then nothing is left of it */
  static async open(settings: FabricSettings): Promise<Fabric> {
    const fabric = new Fabric(settings);
    try {
      await fabric.#open();
      return fabric;
    } catch (error) {
      await fabric.close();
      throw error;
    }
  }

  async #open(): Promise<void> {
    await ip("link", "set", "lo", "up");
    for (const prefix of [...this.#settings.addresses.map((one) => `${one}/32`), ...FABRIC_PREFIXES])
      await ip("address", "replace", prefix, "dev", "lo");
    setting("ip_forward", "1");
    setting("conf/default/rp_filter", "1");
    setting("conf/all/rp_filter", "1");
    for (const [at, host] of this.#settings.hosts.entries()) await this.#join(host, at);
    for (const [service, address] of this.#settings.services) {
      const home = this.#hosts.get(service);
      if (home !== undefined) await this.#route(address, home);
    }
    await this.#listen();
  }

  /** How a process is started in a host's namespace: put before its command. */
  inside(hostId: string): readonly string[] {
    const { pid } = this.#host(hostId);
    return ["nsenter", `--net=/proc/${pid}/ns/net`, "--"];
  }

  /** Nothing passes between the host and anybody else, without a word to either. */
  async cut(hostId: string): Promise<void> {
    const host = this.#host(hostId);
    host.cut = true;
    await ip("link", "set", host.device, "down");
  }

  async heal(hostId: string): Promise<void> {
    const host = this.#host(hostId);
    await ip("link", "set", host.device, "up"); // its routes went when it went down
    host.cut = false;
    await this.#management(host);
    for (const [address, to] of this.#routes) if (to === hostId) await this.#route(address, host);
  }

  async close(): Promise<void> {
    this.#server?.close();
    rmSync(this.#settings.socket, { force: true });
    for (const { holder } of this.#hosts.values()) {
      if (holder.exitCode !== null || holder.signalCode !== null) continue;
      const gone = once(holder, "exit");
      holder.kill("SIGKILL");
      await gone;
    }
    // With the last process of a namespace its end of the pair goes, and ours with it.
    for (const prefix of [...this.#settings.addresses.map((one) => `${one}/32`), ...FABRIC_PREFIXES])
      await ip("address", "delete", prefix, "dev", "lo").catch(() => {});
  }

  async #join(at: FabricHost, index: number): Promise<void> {
    const device = `host${index}`;
    const [ours, theirs] = [`10.255.${index}.1`, `10.255.${index}.2`];
    const holder = spawn("setpriv", ["--pdeathsig", "SIGKILL", "--", "unshare", "--net", "--", "sleep", "infinity"], {
      detached: true,
      stdio: "ignore",
    });
    await once(holder, "spawn");
    const pid = holder.pid ?? 0;
    const joined: Joined = { at, holder, pid, device, gateway: theirs, cut: false };
    this.#hosts.set(at.hostId, joined);
    await ownNamespace(pid);
    await ip("link", "add", device, "type", "veth", "peer", "name", "uplink", "netns", String(pid));
    await ip("address", "add", `${ours}/30`, "dev", device);
    setting(`conf/${device}/rp_filter`, "1");
    await ip("link", "set", device, "up");
    const lines = [
      "link set lo up",
      `address add ${theirs}/30 dev uplink`,
      "link set uplink up",
      `route add default via ${ours}`,
      ...[at.managementAddress, ...at.serviceAddresses].map((address) => `address add ${address}/32 dev lo`),
    ];
    const batch = run("nsenter", [`--net=/proc/${pid}/ns/net`, "--", "ip", "-batch", "-"]);
    batch.child.stdin?.end(`${lines.join("\n")}\n`);
    await batch;
    await this.#management(joined);
  }

  async #management({ at, gateway, device }: Joined): Promise<void> {
    await ip("route", "replace", `${at.managementAddress}/32`, "via", gateway, "dev", device);
  }

  async #route(address: string, host: Joined): Promise<void> {
    this.#routes.set(address, host.at.hostId);
    if (!host.cut) await ip("route", "replace", `${address}/32`, "via", host.gateway, "dev", host.device);
  }

  /** One line of JSON each way: {"take": SERVICE, "host": HOST} → {"ok": true}. Who is cut off is not heard here either. */
  async #listen(): Promise<void> {
    const { socket, services } = this.#settings;
    rmSync(socket, { force: true });
    const server = createServer((connection) => {
      connection.on("error", () => {});
      connection.setTimeout(5_000, () => connection.destroy());
      const lines = createInterface({ input: connection });
      lines.on("error", () => {});
      lines.on("line", (line) => {
        const { take, host: hostId } = asked(line);
        const address = services.get(take);
        const host = this.#hosts.get(hostId);
        const answer = (body: object) => connection.write(`${JSON.stringify(body)}\n`);
        if (host?.cut === true) return undefined;
        if (address === undefined || host === undefined || !host.at.serviceAddresses.includes(address))
          return answer({ ok: false, code: "address.unknown", detail: `${take} at ${hostId}` });
        return this.#route(address, host).then(
          () => answer({ ok: true }),
          (error) => answer({ ok: false, code: "address.refused", detail: String(error) }),
        );
      });
    });
    server.listen(socket);
    await once(server, "listening");
    this.#server = server;
  }

  #host(hostId: string): Joined {
    const found = this.#hosts.get(hostId);
    if (found === undefined) throw new Error(`no host ${hostId} is on the fabric`);
    return found;
  }
}

function asked(line: string): { take: string; host: string } {
  try {
    const { take, host } = JSON.parse(line) as { take?: unknown; host?: unknown };
    return { take: String(take), host: String(host) };
  } catch {
    return { take: "", host: "" };
  }
}

const ip = async (...args: readonly string[]): Promise<void> => {
  await run("ip", args);
};

const setting = (name: string, value: string): void => writeFileSync(`/proc/sys/net/ipv4/${name}`, value);

/** `unshare` has done its work once the namespace is another than ours. */
async function ownNamespace(pid: number): Promise<void> {
  const ours = await readlink("/proc/self/ns/net");
  for (;;) {
    const theirs = await readlink(`/proc/${pid}/ns/net`);
    if (theirs !== ours) return;
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
