// A network of its own for a region on one machine: each host a network namespace, joined by a fabric that routes every
// service address to one of them, as a data centre's does. `ip route replace` here is what moves an address there.
//
// The fabric is the namespace that this process runs in, which must be its own (`unshare -n`): nothing of it is seen
// outside, and it vanishes with its processes. So do the hosts' namespaces: they have no names, a sleeping process holds each.

import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { readlink } from "node:fs/promises";
import { isIPv4 } from "node:net";
import { networkInterfaces } from "node:os";
import { promisify } from "node:util";
import type { Region } from "../../regions/schema/region.ts";
import type { HostNetwork } from "./topology.ts";

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
}

interface Joined {
  readonly at: FabricHost;
  readonly holder: ChildProcess;
  readonly pid: number;
  /** Our end of the pair. */
  readonly device: string;
  /** Its end's address. */
  readonly gateway: string;
  /** What was routed to it before it was cut off. */
  cutOff: readonly string[] | undefined;
}

export class Fabric {
  readonly #settings: FabricSettings;
  readonly #hosts = new Map<string, Joined>();

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
  }

  placeOf(hostId: string): HostNetwork {
    const { pid, device, gateway } = this.#host(hostId);
    return {
      inside: ["nsenter", `--net=/proc/${pid}/ns/net`, "--"],
      addressMover: { kind: "fabric", fabric: `/proc/${process.pid}/ns/net`, device, via: gateway },
    };
  }

  /** Nothing passes between the host and anybody else, without a word to either. */
  async cut(hostId: string): Promise<void> {
    const host = this.#host(hostId);
    if (host.cutOff !== undefined) return;
    host.cutOff = await destinations("dev", host.device);
    await ip("link", "set", host.device, "down"); // its routes go with it
  }

  /** What was routed to it is so again, but for what another has taken meanwhile. */
  async heal(hostId: string): Promise<void> {
    const host = this.#host(hostId);
    if (host.cutOff === undefined) return;
    await ip("link", "set", host.device, "up");
    const taken = new Set(await destinations());
    for (const address of host.cutOff) if (!taken.has(address)) await this.#route(address, host);
    host.cutOff = undefined;
  }

  async close(): Promise<void> {
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
    const joined: Joined = { at, holder, pid, device, gateway: theirs, cutOff: undefined };
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
    await this.#route(at.managementAddress, joined);
  }

  async #route(address: string, { gateway, device }: Joined): Promise<void> {
    await ip("route", "replace", address, "via", gateway, "dev", device);
  }

  #host(hostId: string): Joined {
    const found = this.#hosts.get(hostId);
    if (found === undefined) throw new Error(`no host ${hostId} is on the fabric`);
    return found;
  }
}

/** Single addresses that are routed, of all or of those that this selects. */
async function destinations(...selector: readonly string[]): Promise<string[]> {
  const { stdout } = await run("ip", ["-json", "route", "show", ...selector]);
  return (JSON.parse(stdout) as { dst: string }[]).map(({ dst }) => dst).filter((dst) => isIPv4(dst));
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
