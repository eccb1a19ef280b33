// The server in this process, and real drachtio-srf applications connected to it.

import Srf from "drachtio-srf";
import { silentLog } from "../../../kernel/log.ts";
import { SipServerConfigSchema } from "../config/sip-server-config.ts";
import { type SipServer, startSipServer } from "../start.ts";
import { type Peer, TcpPeer, UdpPeer } from "./peer.ts";

export const SECRET = "for tests";

export interface Stage {
  readonly server: SipServer;
  readonly udpPort: number;
  readonly tcpPort: number;
  /** A connected application. */
  application(): Promise<Srf>;
  udpPeer(address?: string): Promise<UdpPeer>;
  tcpPeer(): Promise<TcpPeer>;
  close(): Promise<void>;
}

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
  const applications: Srf[] = [];
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
      const srf = new Srf();
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
export function leave(srf: Srf): void {
  try {
    srf.disconnect();
  } catch {
    // gone already
  }
}

/** Until it holds; what a test awaits when no message tells it. */
export async function until(holds: () => boolean, what: string, waitMs = 4_000): Promise<void> {
  const deadline = performance.now() + waitMs;
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(`never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
