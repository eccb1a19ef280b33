// The heartbeat over TCP with mutual TLS, between the management addresses of two twins: JSON lines, beats one way and
// answers the other, one connection made by each.
//
// A connection is worth something only when the other has shown the certificate of the twin's host id and, having seen
// ours, has said the first line. What happens before is told as refused (nobody listens: the keeper does not run) or
// unreachable (it may run).

import { readFile, stat } from "node:fs/promises";
import { connect as connectTcp, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import {
  connect as connectTls,
  createServer as createTlsServer,
  type TLSSocket,
  type Server as TlsServer,
} from "node:tls";
import type { PopHostId } from "../../../../kernel/ids.ts";
import type { Log } from "../../../../kernel/log.ts";
import type { TwinLink, TwinLinkHears } from "../../boundary/twin-link.ts";
import type { TwinUnreachable } from "../../core/keeper-words.ts";
import type { Answer, Beat } from "../../core/twin-talk.ts";
import { Lines, readAnswer, readBeat } from "./lines.ts";

/** From the first SYN to the twin's first line. */
export const CONNECT_MS_MAX = 400;
/** A connection of the twin without a beat for so long is closed. */
export const DEAF_MS = 1_000;
/** Unsent to a twin that does not read: no more is written. */
export const UNSENT_BYTES_MAX = 65_536;
/** Connections at once, those in their handshake included; further ones are closed. */
export const CONNECTIONS_MAX = 8;
const CERTIFICATE_POLL_MS = 60_000;
const HELLO = "{}";

export interface TwinLinkPlace {
  readonly twin: PopHostId;
  /** Of this host, on its management address. */
  readonly listen: { readonly host: string; readonly port: number };
  /** Of the twin. Others than this address are not listened to. */
  readonly peer: { readonly host: string; readonly port: number };
  /** ca.pem, cert.pem, key.pem: of the region's CA, as for the link to the region; the common name is the host's id. */
  readonly certDir: string;
  readonly log: Log;
}

interface Credentials {
  readonly ca: Buffer;
  readonly cert: Buffer;
  readonly key: Buffer;
}

interface Outgoing {
  readonly link: number;
  socket: Socket | TLSSocket | undefined;
  stands: boolean;
  done: boolean;
}

export class TlsTwinLink implements TwinLink {
  readonly #place: TwinLinkPlace;
  #hears: TwinLinkHears | undefined;
  #tcp: Server | undefined;
  #outgoing: Outgoing | undefined;
  #incoming: { readonly from: number; readonly socket: TLSSocket } | undefined;
  readonly #open = new Set<Socket>();
  #nextFrom = 1;
  #certificatesOf = "";
  #poll: NodeJS.Timeout | undefined;

  constructor(place: TwinLinkPlace) {
    this.#place = place;
  }

  // --- the twin's connection to us ---------------------------------------------------------------------------------

  async listen(hears: TwinLinkHears): Promise<void> {
    this.#hears = hears;
    const { listen, peer, certDir } = this.#place;
    this.#certificatesOf = await changedAt(certDir);
    const tls = createTlsServer({
      ...(await credentials(certDir)),
      requestCert: true,
      rejectUnauthorized: true,
      minVersion: "TLSv1.3",
      handshakeTimeout: DEAF_MS,
    });
    tls.on("secureConnection", (socket) => this.#accept(socket));
    tls.on("tlsClientError", (error) => this.#stranger(error.message));
    const tcp = createServer((socket) => {
      this.#open.add(socket);
      socket.on("close", () => this.#open.delete(socket));
      socket.on("error", () => {});
      if (socket.remoteAddress !== peer.host) {
        this.#stranger(`from ${socket.remoteAddress}`);
        socket.destroy();
        return;
      }
      socket.setNoDelay(true);
      tls.emit("connection", socket);
    });
    tcp.maxConnections = CONNECTIONS_MAX;
    this.#tcp = tcp;
    await new Promise<void>((resolve, reject) => {
      tcp.once("error", reject);
      tcp.listen(listen.port, listen.host, () => {
        tcp.off("error", reject);
        tcp.on("error", () => {});
        resolve();
      });
    });
    this.#poll = setInterval(() => void this.#renewCertificates(tls), CERTIFICATE_POLL_MS);
    this.#poll.unref();
  }

  /** The port, where 0 was asked for. */
  get port(): number {
    const address = this.#tcp?.address();
    return typeof address === "object" && address !== null ? address.port : 0;
  }

  #accept(socket: TLSSocket): void {
    const name = commonNameOf(socket);
    socket.on("error", () => {});
    if (name !== this.#place.twin) {
      this.#stranger(`certificate of ${name}`);
      socket.destroy();
      return;
    }
    const from = this.#nextFrom++;
    const former = this.#incoming;
    this.#incoming = { from, socket };
    former?.socket.destroy(); // the twin has connected anew: nothing comes by the old one
    socket.on("close", () => {
      if (this.#incoming?.from === from) this.#incoming = undefined;
      this.#hears?.hungUp(from);
    });
    socket.setTimeout(DEAF_MS, () => socket.destroy());
    eachLine(socket, (line) => {
      const beat = readBeat(line);
      if (beat === undefined) return false;
      this.#hears?.beat(from, beat);
      return true;
    });
    socket.write(`${HELLO}\n`);
  }

  #strangersAtMs = Number.NEGATIVE_INFINITY;

  /** Said once a minute at most: who knocks decides how often. */
  #stranger(detail: string): void {
    if (performance.now() - this.#strangersAtMs < 60_000) return;
    this.#strangersAtMs = performance.now();
    this.#place.log.warn("twin-link.stranger", { detail: detail.slice(0, 200) });
  }

  answerBeat(from: number, answer: Answer): void {
    if (this.#incoming?.from === from) send(this.#incoming.socket, answer);
  }

  async #renewCertificates(tls: TlsServer): Promise<void> {
    try {
      const at = await changedAt(this.#place.certDir);
      if (at === this.#certificatesOf) return;
      tls.setSecureContext({ ...(await credentials(this.#place.certDir)), minVersion: "TLSv1.3" });
      this.#certificatesOf = at;
      this.#place.log.info("twin-link.certificates-renewed");
    } catch (error) {
      this.#place.log.error("twin-link.certificates-kept", { error });
    }
  }

  // --- our connection to the twin ----------------------------------------------------------------------------------

  connect(link: number): void {
    this.#drop(this.#outgoing);
    const outgoing: Outgoing = { link, socket: undefined, stands: false, done: false };
    this.#outgoing = outgoing;
    const timer = setTimeout(() => failed("timed-out"), CONNECT_MS_MAX);
    const failed = (because: TwinUnreachable | "refused", detail = "") => {
      if (outgoing.done) return;
      this.#drop(outgoing);
      clearTimeout(timer);
      if (because === "wrong-certificate") this.#place.log.warn("twin-link.wrong-certificate", { detail });
      if (because === "refused") this.#hears?.refused(link);
      else this.#hears?.unreachable(link, because);
    };
    const stands = () => {
      clearTimeout(timer);
      outgoing.stands = true;
      this.#hears?.connected(link);
    };
    void this.#dial(outgoing, failed, stands).catch((error) => failed("wrong-certificate", String(error)));
  }

  async #dial(
    outgoing: Outgoing,
    failed: (because: TwinUnreachable | "refused", detail?: string) => void,
    stands: () => void,
  ): Promise<void> {
    const { certDir, peer, listen } = this.#place;
    const files = await credentials(certDir);
    if (outgoing.done) return;
    const tcp = connectTcp({ host: peer.host, port: peer.port, localAddress: listen.host, noDelay: true });
    outgoing.socket = tcp;
    tcp.on("error", (error: NodeJS.ErrnoException) => {
      if (outgoing.stands) return; // "close" follows
      failed(error.code === "ECONNREFUSED" ? "refused" : "unreachable");
    });
    await new Promise<void>((resolve) => tcp.once("connect", resolve).once("close", resolve));
    if (outgoing.done || tcp.destroyed) return;
    const socket = connectTls({ socket: tcp, ...files, minVersion: "TLSv1.3", checkServerIdentity: () => undefined });
    outgoing.socket = socket;
    socket.on("error", (error: NodeJS.ErrnoException) => {
      if (!outgoing.stands) failed(error.code === "ECONNRESET" ? "unreachable" : "wrong-certificate", error.message);
    });
    socket.on("secureConnect", () => {
      const name = commonNameOf(socket);
      if (name !== this.#place.twin) failed("wrong-certificate", `it is ${name}`);
    });
    socket.on("close", () => {
      if (!outgoing.stands) return failed("unreachable");
      if (outgoing.done) return;
      this.#drop(outgoing);
      this.#hears?.closed(outgoing.link);
    });
    eachLine(socket, (line) => {
      if (outgoing.done) return false;
      if (!outgoing.stands) {
        if (line !== HELLO) failed("broken-talk");
        else stands();
        return line === HELLO;
      }
      const answer = readAnswer(line);
      if (answer !== undefined) this.#hears?.answer(outgoing.link, answer);
      return answer !== undefined;
    });
  }

  #drop(outgoing: Outgoing | undefined): void {
    if (outgoing === undefined) return;
    outgoing.done = true;
    outgoing.socket?.destroy();
    if (this.#outgoing === outgoing) this.#outgoing = undefined;
  }

  close(link: number): void {
    if (this.#outgoing?.link === link) this.#drop(this.#outgoing);
  }

  sendBeat(link: number, beat: Beat): void {
    const outgoing = this.#outgoing;
    if (outgoing?.link === link && outgoing.stands && outgoing.socket !== undefined) send(outgoing.socket, beat);
  }

  async end(): Promise<void> {
    clearInterval(this.#poll);
    this.#hears = undefined;
    // What was said last, a goodbye, is to arrive
    const { socket } = this.#outgoing ?? {};
    if (socket !== undefined && !socket.destroyed)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, CONNECT_MS_MAX);
        socket.end(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    this.#drop(this.#outgoing);
    for (const open of this.#open) open.destroy();
    const tcp = this.#tcp;
    if (tcp !== undefined) await new Promise<void>((resolve) => tcp.close(() => resolve()));
  }
}

const changedAt = async (certDir: string): Promise<string> =>
  (await Promise.all(FILES.map((name) => stat(join(certDir, name)))))
    .map(({ mtimeMs, ino }) => `${mtimeMs}/${ino}`)
    .join();

const FILES = ["ca.pem", "cert.pem", "key.pem"];

async function credentials(certDir: string): Promise<Credentials> {
  const [ca, cert, key] = await Promise.all(FILES.map((name) => readFile(join(certDir, name))));
  if (ca === undefined || cert === undefined || key === undefined) throw new Error(`no certificates in ${certDir}`);
  return { ca, cert, key };
}

const commonNameOf = (socket: TLSSocket): string => {
  const name: unknown = socket.getPeerCertificate().subject?.CN;
  return typeof name === "string" ? name : "nobody";
};

function send(socket: Socket, message: Beat | Answer): void {
  if (socket.writable && socket.writableLength < UNSENT_BYTES_MAX) socket.write(`${JSON.stringify(message)}\n`);
}

/** @param heard false: it speaks no sense, and the connection is closed */
function eachLine(socket: TLSSocket, heard: (line: string) => boolean): void {
  const lines = new Lines();
  socket.setEncoding("utf8");
  socket.on("data", (chunk: string) => {
    for (const line of lines.take(chunk) ?? [""]) if (!socket.destroyed && !heard(line)) socket.destroy();
  });
}
