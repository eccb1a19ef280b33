import { addressFamily } from "../address.ts";
import { nameOf } from "./hop.ts";

/** Names and their addresses in a hosts file (hosts(5)), in the order of its lines. What cannot be read is skipped. */
export function parseHosts(text: string): ReadonlyMap<string, readonly string[]> {
  const hosts = new Map<string, string[]>();
  for (const line of text.split("\n")) {
    const hash = line.indexOf("#");
    const [address = "", ...names] = (hash === -1 ? line : line.slice(0, hash)).split(/\s+/).filter(Boolean);
    if (addressFamily(address) === 0) continue;
    for (const name of names.map(nameOf)) {
      const known = hosts.get(name);
      if (known === undefined) hosts.set(name, [address]);
      else if (!known.includes(address)) known.push(address);
    }
  }
  return hosts;
}
