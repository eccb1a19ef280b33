// Who may speak to us, by address: everybody, or whom applications name; and whom the guard treats as a carrier of ours.

import { BlockList } from "node:net";
import { parsePrefix } from "../../core/address.ts";
import type { Counters } from "../shell/counters.ts";

const ADMITTED_MAX = 10_000;

export class Sources {
  readonly #counters: Counters;
  readonly #configured: BlockList;
  /** Named by applications; undefined until one has. */
  #told: BlockList | undefined;
  /** Only these are heard; undefined: everybody is. */
  #only: BlockList | undefined;
  /** What the list said of an address: it looks at every entry each time. */
  readonly #admitted = new Map<string, boolean>();

  constructor(heard: "any" | "told", trusted: readonly string[], counters: Counters) {
    this.#counters = counters;
    this.#configured = blockOf(trusted) ?? new BlockList();
    if (heard === "told") this.#only = new BlockList();
  }

  /** Addresses and prefixes that applications name, all of them. */
  tell(all: readonly string[]): void {
    if (this.#only !== undefined) {
      this.#only = blockOf(all);
      this.#admitted.clear();
    }
    this.#told = blockOf(all);
  }

  /** What the guard gives a larger budget, and never bans by itself. */
  isTrusted(address: string): boolean {
    const family = address.includes(":") ? "ipv6" : "ipv4";
    return this.#configured.check(address, family) || this.#told?.check(address, family) === true;
  }

  /** Whether we hear it at all. */
  isKnown(address: string): boolean {
    const sources = this.#only;
    if (sources === undefined) return true;
    let admitted = this.#admitted.get(address);
    if (admitted === undefined) {
      admitted = sources.check(address, address.includes(":") ? "ipv6" : "ipv4");
      if (this.#admitted.size >= ADMITTED_MAX) this.#admitted.clear();
      this.#admitted.set(address, admitted);
    }
    if (admitted) return true;
    this.#counters.add("dropped", 'reason="unknown-source"');
    return false;
  }
}

/** An address, or a prefix. */
export const isSource = (cidr: string): boolean => blockOf([cidr]) !== undefined;

/** As they were written down. undefined: these are none */
export function sourcesIn(text: string): readonly string[] | undefined {
  try {
    const read: unknown = JSON.parse(text);
    return Array.isArray(read) && read.every((one) => typeof one === "string" && isSource(one)) ? read : undefined;
  } catch {
    return undefined;
  }
}

/** undefined when one of them is no address and no prefix. */
function blockOf(cidrs: readonly string[]): BlockList | undefined {
  const list = new BlockList();
  for (const cidr of cidrs) {
    const prefix = parsePrefix(cidr);
    if (prefix === undefined) return undefined;
    const [address = ""] = cidr.split("/");
    list.addSubnet(address, prefix.bits, prefix.words.length === 8 ? "ipv6" : "ipv4");
  }
  return list;
}
