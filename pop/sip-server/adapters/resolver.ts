import { lookup } from "node:dns/promises";

/** A and AAAA of the operating system; SRV and NAPTR (RFC 3263) are not asked. Never rejects. */
export async function resolveHost(host: string): Promise<string | undefined> {
  try {
    return (await lookup(host)).address;
  } catch {
    return undefined;
  }
}
