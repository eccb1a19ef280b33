// SIP over TCP: RFC 3261 §18. One listener, and the connections it accepted or made.

import { connect } from "node:net";
import type { OpenTransport } from "../boundary/sip-transport.ts";
import type { Flow } from "../core/flow.ts";
import type { ConnectionLimits } from "../core/limits.ts";
import { Acceptor } from "./acceptor.ts";
import { ByteStreams } from "./byte-stream.ts";
import type { Connection } from "./connections.ts";

export const openTcp =
  (limits: ConnectionLimits): OpenTransport =>
  async (asked, receiver) => {
    const acceptor = await Acceptor.open(asked, limits, receiver);
    return new Tcp(acceptor, receiver, limits);
  };

class Tcp extends ByteStreams {
  constructor(...parts: ConstructorParameters<typeof ByteStreams>) {
    super(...parts);
    this.acceptor.onSocket = (socket, address) => {
      this.adopt(socket, { address, port: socket.remotePort ?? 0 }, undefined);
    };
  }

  protected dial(to: Flow): Connection | undefined {
    if (this.acceptor.isFull || to.port === 0) return undefined;
    const { address, port } = to;
    const localAddress = this.point.address;
    const socket = connect({ host: address, port, localAddress, noDelay: true, keepAlive: true });
    this.acceptor.counts(socket);
    const connection = this.adopt(socket, { address, port }, address);
    socket.setTimeout(this.limits.connectTimeoutMs, () => this.fault(connection, "connect-timeout"));
    socket.once("connect", () => {
      socket.setTimeout(0);
      this.stands(connection);
    });
    return connection;
  }
}
