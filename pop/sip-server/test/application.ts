// The server in this process, and real drachtio-srf applications connected to it.

import type { EventEmitter } from "node:events";
import { test } from "node:test";
import Srf from "drachtio-srf";
import { silentLog } from "../../../kernel/log.ts";
import { SipServerConfigSchema } from "../config/sip-server-config.ts";
import { type SipServer, startSipServer } from "../start.ts";
import { type Peer, TcpPeer, UdpPeer } from "./peer.ts";

export const SECRET = "for tests";

/** What these tests use of drachtio-srf; its own types leave half of it out. */
export interface Application extends EventEmitter {
  connect(options: { host: string; port: number; secret: string; enablePing?: boolean }): void;
  disconnect(): void;
  invite(handle: Handle): void;
  options(handle: Handle): void;
  message(handle: Handle): void;
  register(handle: Handle): void;
  subscribe(handle: Handle): void;
  notify(handle: Handle): void;
  refer(handle: Handle): void;
  createUAS(req: Req, res: Res, options: { localSdp: string; headers?: Record<string, string> }): Promise<Dialog>;
  createUAC(
    uri: string,
    options: Record<string, unknown>,
    progress?: { cbRequest?: (error: unknown, req: Req) => void; cbProvisional?: (res: Res) => void },
  ): Promise<Dialog>;
  createB2BUA(
    req: Req,
    res: Res,
    uri: string,
    options?: Record<string, unknown>,
  ): Promise<{ uas: Dialog; uac: Dialog }>;
  request(uri: string, options: Record<string, unknown>): Promise<Req>;
  unregisterForMessages(verb: string): void;
  proxyRequest(req: Req, to: string | string[], options?: Record<string, unknown>): Promise<ProxyResults>;
}
export interface ProxyResults {
  readonly connected: boolean;
  readonly finalStatus: number | undefined;
  readonly responses: readonly { readonly msgs: readonly { readonly status: number }[] }[];
}
type Handle = (req: Req, res: Res) => void;
export interface Req extends EventEmitter {
  readonly method: string;
  readonly uri: string;
  readonly body: string;
  readonly stackTxnId: string;
  get(name: string): string;
  cancel(options?: Record<string, unknown>): void;
}
export interface Res {
  readonly status: number;
  readonly reason: string;
  readonly body: string;
  get(name: string): string;
  send(status: number, options?: Record<string, unknown>, done?: (error: unknown) => void): void;
}
export interface Dialog extends EventEmitter {
  readonly id: string;
  readonly sip: { readonly localTag: string; readonly remoteTag: string; readonly callId: string };
  readonly remote: { readonly sdp: string };
  destroy(options?: Record<string, unknown>): Promise<unknown>;
  modify(sdp: string): Promise<string>;
  request(options: Record<string, unknown>): Promise<Res>;
}

export interface Stage {
  readonly server: SipServer;
  readonly udpPort: number;
  readonly tcpPort: number;
  /** A connected application. */
  application(): Promise<Application>;
  udpPeer(address?: string): Promise<UdpPeer>;
  tcpPeer(): Promise<TcpPeer>;
  close(): Promise<void>;
}

/** A test with a server of its own. */
export function scenario(name: string, run: (stage: Stage) => Promise<void>, settings: Record<string, unknown> = {}) {
  test(name, async () => {
    const stage = await openStage(settings);
    try {
      await run(stage);
    } finally {
      await stage.close();
    }
  });
}

/** 64·T1 is 1.3 s: what takes 32 s in the field. */
export const QUICK = { t1Ms: 20 };

export async function openStage(settings: Record<string, unknown> = {}): Promise<Stage> {
  const local = { host: "127.0.0.1", port: 0 };
  const config = SipServerConfigSchema.parse({
    listen: [
      { transport: "udp", ...local },
      { transport: "tcp", ...local },
    ],
    admin: { ...local, secret: SECRET },
    http: local,
    ...settings,
  });
  const server = await startSipServer(config, silentLog);
  const portOf = (transport: string) => server.points.find((point) => point.transport === transport)?.port ?? 0;
  const applications: Application[] = [];
  const peers: Peer[] = [];
  const keep = <P extends Peer>(peer: P): P => {
    peers.push(peer);
    return peer;
  };
  return {
    server,
    udpPort: portOf("udp"),
    tcpPort: portOf("tcp"),
    async application() {
      const srf = new Srf() as unknown as Application;
      applications.push(srf);
      srf.on("error", () => {});
      await new Promise<void>((resolve, reject) => {
        srf.on("connect", (error: unknown) => (error ? reject(error) : resolve()));
        srf.connect({ host: "127.0.0.1", port: server.adminPort, secret: SECRET });
      });
      return srf;
    },
    udpPeer: async (address) => keep(await UdpPeer.open(portOf("udp"), address)),
    tcpPeer: async () => keep(await TcpPeer.open(portOf("tcp"))),
    async close() {
      for (const srf of applications) leave(srf);
      for (const peer of peers) peer.close();
      await server.stop();
    },
  };
}

/** Disconnects, and stays away. Harmless when repeated. */
export function leave(srf: Application): void {
  try {
    srf.disconnect();
  } catch {
    // gone already
  }
}

/** The next event of that name, with its first argument. */
export const event = <T>(of: EventEmitter, name: string): Promise<T> =>
  new Promise((resolve) => of.once(name, (value: T) => resolve(value)));

type OfferedVerb = "invite" | "options" | "message" | "register" | "subscribe" | "notify" | "refer";

/** The next request of that verb the application gets. */
export const offered = (srf: Application, verb: OfferedVerb) =>
  new Promise<{ req: Req; res: Res }>((resolve) => srf[verb]((req, res) => resolve({ req, res })));

/** Until it holds; what a test awaits when no message tells it. */
export async function until(holds: () => boolean, what: string, waitMs = 4_000): Promise<void> {
  const deadline = performance.now() + waitMs;
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(`never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
