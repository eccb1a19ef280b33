// Is an address free, and if not, who has it? Asked before anything is started, so that the answer names it.

import { createSocket } from "node:dgram";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { createServer } from "node:net";
import type { Listen } from "./topology.ts";

export interface Occupied extends Listen {
  /** Unknown when the process belongs to another user, or to another network namespace. */
  readonly holder: { readonly pid: number; readonly command: string } | undefined;
}

/** Those of the addresses that cannot be bound, each with who holds it where that can be seen. */
export async function occupied(listens: readonly Listen[]): Promise<Occupied[]> {
  const free = await Promise.all(listens.map(isFree));
  return listens.filter((_, at) => free[at] === false).map((listen) => ({ ...listen, holder: holderOf(listen) }));
}

export const showOccupied = ({ transport, host, port, what, holder }: Occupied): string =>
  `${host}:${port}/${transport} (${what}) is in use${
    holder === undefined ? " by a process that cannot be seen" : ` by process ${holder.pid} (${holder.command})`
  }`;

const isFree = ({ transport, host, port }: Listen): Promise<boolean> =>
  new Promise((resolve, reject) => {
    const failed = (error: NodeJS.ErrnoException) =>
      error.code === "EADDRINUSE" ? resolve(false) : error.code === "EADDRNOTAVAIL" ? reject(error) : resolve(false);
    if (transport === "tcp") {
      const server = createServer().on("error", failed);
      server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(true)));
    } else {
      const socket = createSocket(host.includes(":") ? "udp6" : "udp4").on("error", failed);
      socket.bind({ address: host, port, exclusive: true }, () => socket.close(() => resolve(true)));
    }
  });

/** The process behind an address: its socket's inode from /proc/net, then whoever has that inode open. */
export function holderOf({ transport, host, port }: Listen): Occupied["holder"] {
  try {
    const inodes = new Set(socketInodes(transport, host, port));
    return inodes.size === 0 ? undefined : processWith(inodes);
  } catch {
    return undefined; // no /proc: not Linux
  }
}

const TCP_LISTEN = "0A";

function socketInodes(transport: "tcp" | "udp", host: string, port: number): string[] {
  const inodes: string[] = [];
  const own = hexAddress(host);
  for (const table of [transport, `${transport}6`])
    for (const line of readFileSync(`/proc/net/${table}`, "latin1").split("\n").slice(1)) {
      const [, local, , state, , , , , , inode] = line.trim().split(/\s+/);
      if (local === undefined || inode === undefined) continue;
      const [address = "", hexPort = ""] = local.split(":");
      const everywhere = /^0+$/.test(address);
      if (Number.parseInt(hexPort, 16) !== port || !(everywhere || address.endsWith(own))) continue;
      if (transport === "tcp" && state !== TCP_LISTEN) continue;
      inodes.push(inode);
    }
  return inodes;
}

/** As /proc/net writes it on a little-endian machine: 127.10.1.11 → 0B010A7F. */
const hexAddress = (host: string): string => (host === "::1" ? "00000000000000000000000001000000" : hexV4(host));

const hexV4 = (host: string): string =>
  host
    .split(".")
    .reverse()
    .map((part) => Number(part).toString(16).padStart(2, "0"))
    .join("")
    .toUpperCase();

function processWith(inodes: ReadonlySet<string>): Occupied["holder"] {
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    let links: string[];
    try {
      links = readdirSync(`/proc/${pid}/fd`);
    } catch {
      continue; // another user's, or gone
    }
    for (const link of links) {
      const inode = /^socket:\[(\d+)\]$/.exec(targetOf(`/proc/${pid}/fd/${link}`))?.[1];
      if (inode !== undefined && inodes.has(inode)) return { pid: Number(pid), command: commandOf(pid) };
    }
  }
  return undefined;
}

function targetOf(link: string): string {
  try {
    return readlinkSync(link);
  } catch {
    return "";
  }
}

const COMMAND_LENGTH_MAX = 80;

function commandOf(pid: string): string {
  try {
    const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").join(" ").trim();
    return words.length > COMMAND_LENGTH_MAX ? `${words.slice(0, COMMAND_LENGTH_MAX)}…` : words;
  } catch {
    return "?";
  }
}
