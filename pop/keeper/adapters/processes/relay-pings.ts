// Is the relay alive? One datagram each way, in rtpengine's NG protocol (a cookie, then a bencoded dictionary).

import { createSocket, type Socket } from "node:dgram";

export interface RelayAddress {
  readonly host: string;
  readonly port: number;
}

/** Asks until it is closed; every "pong" is told. */
export class RelayPings {
  readonly #socket: Socket;
  readonly #to: RelayAddress;
  #n = 0;

  constructor(to: RelayAddress, pong: () => void) {
    this.#to = to;
    this.#socket = createSocket(to.host.includes(":") ? "udp6" : "udp4");
    this.#socket.on("error", () => {}); // nobody there: no pong
    this.#socket.on("message", (message) => {
      if (message.includes("4:pong")) pong();
    });
    this.#socket.unref();
  }

  ask(): void {
    this.#socket.send(`keeper${process.pid}_${++this.#n} d7:command4:pinge`, this.#to.port, this.#to.host, () => {});
  }

  close(): void {
    this.#socket.close();
  }
}

/** Resolves once nobody has the port any more, a dead relay's socket closes a moment after it; after `waitMsMax` at the latest. */
export async function untilPortFree(at: RelayAddress, waitMsMax: number): Promise<void> {
  const deadlineMs = performance.now() + waitMsMax;
  while (!(await isFree(at)) && performance.now() < deadlineMs) await new Promise((resolve) => setTimeout(resolve, 5));
}

const isFree = ({ host, port }: RelayAddress): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
    socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code !== "EADDRINUSE"));
    socket.bind({ address: host, port, exclusive: true }, () => socket.close(() => resolve(true)));
  });
