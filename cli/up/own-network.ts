// Commands of a region that has a network of its own run in it: `tollgate up` makes it, the others join it.

import { readlinkSync } from "node:fs";

/** Never returns: this process becomes the same command, in a new network namespace. Root only. */
export const startAgainInNewNetwork = (): never => become(["unshare", "--net", "--"]);

/** Never returns, where the network is another than ours. @returns when there is nothing to join */
export function joinNetworkOf(pid: number): void {
  try {
    if (readlinkSync(`/proc/${pid}/ns/net`) === readlinkSync("/proc/self/ns/net")) return;
  } catch {
    return; // gone, or not ours to look at: the command itself will say what it cannot reach
  }
  become(["nsenter", `--net=/proc/${pid}/ns/net`, "--"]);
}

function become(wrapper: readonly string[]): never {
  if (process.execve === undefined) throw new Error("this needs Node 24 on Linux");
  const [, ...words] = process.argv;
  return process.execve("/usr/bin/env", ["env", ...wrapper, process.execPath, ...process.execArgv, ...words]);
}
