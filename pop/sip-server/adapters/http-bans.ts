// The ban list over HTTP: read by whoever may read metrics, changed from this machine only.
//
//   GET    /bans                                    who is banned, for how long, how often before, by whom
//   POST   /bans?address=192.0.2.1&seconds=3600     bans it (an IPv6 address: its /64)
//   DELETE /bans?address=192.0.2.1                  lets it in again, and forgets what it did

import type { IncomingMessage } from "node:http";
import { isIP } from "node:net";
import type { BanAdmin } from "../boundary/observable.ts";

const SECONDS_MAX = 31_536_000;

export interface Answer {
  readonly status: number;
  readonly value: unknown;
}

export function answerBans(bans: BanAdmin, request: IncomingMessage, url: URL): Answer {
  if (request.method === "GET") return { status: 200, value: { bans: bans.list() } };
  if (request.method !== "POST" && request.method !== "DELETE") return refused(405, "GET, POST or DELETE");
  if (!isLoopback(request.socket.remoteAddress)) return refused(403, "from this machine only");
  const address = url.searchParams.get("address") ?? "";
  if (isIP(address) === 0) return refused(400, "address is missing, or no IP address");
  if (request.method === "DELETE")
    return bans.unban(address) ? { status: 200, value: { unbanned: address } } : refused(404, "not banned");
  const seconds = Number(url.searchParams.get("seconds") ?? "3600");
  if (!Number.isInteger(seconds) || seconds < 1 || seconds > SECONDS_MAX)
    return refused(400, `seconds: 1 to ${SECONDS_MAX}`);
  bans.ban(address, seconds * 1_000);
  return { status: 200, value: { banned: address, seconds } };
}

const refused = (status: number, error: string): Answer => ({ status, value: { error } });

const isLoopback = (address: string | undefined): boolean =>
  address !== undefined && (address === "::1" || address.replace("::ffff:", "").startsWith("127."));
