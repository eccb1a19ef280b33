import type { Rng } from "../../../../kernel/rng.ts";
import type { SrvRecord } from "./dns.ts";

/** The order in which to try servers: lowest priority first, within one by weighted chance. RFC 2782, "Usage rules". */
export function srvOrder(records: readonly SrvRecord[], chance: Rng): SrvRecord[] {
  const left = [...records].sort((a, b) => a.priority - b.priority || a.weight - b.weight); // weight 0 goes first
  const ordered: SrvRecord[] = [];
  while (left.length > 0) {
    const priority = left[0]?.priority;
    let sum = 0;
    let size = 0;
    for (; size < left.length && left[size]?.priority === priority; size++) sum += left[size]?.weight ?? 0;
    const drawn = Math.floor(chance.next() * (sum + 1)); // 0 to sum, both included
    let at = 0;
    for (let running = left[0]?.weight ?? 0; running < drawn && at < size - 1; running += left[at]?.weight ?? 0) at++;
    ordered.push(...left.splice(at, 1));
  }
  return ordered;
}
