// SIP over TLS: RFC 3261 §26.2, RFC 5922, RFC 5923. Who the peer is, is settled before its first byte is read.

import type { Socket } from "node:net";
import { connect, createServer, type Server, type TLSSocket } from "node:tls";
import type { OpenTransport, SipReceiver } from "../boundary/sip-transport.ts";
import type { Flow } from "../core/flow.ts";
import type { ConnectionLimits } from "../core/limits.ts";
import { Acceptor } from "./acceptor.ts";
import { ByteStreams } from "./byte-stream.ts";
import type { Connection } from "./connections.ts";
import { peerIdentities, type TlsIdentity } from "./tls-identity.ts";

export const openTls =
  (limits: ConnectionLimits, identity: TlsIdentity): OpenTransport =>
  async (asked, receiver) => {
    const acceptor = await Acceptor.open(asked, limits, receiver);
    return new Tls(acceptor, receiver, limits, identity);
  };

class Tls extends ByteStreams {
  protected override readonly isTls = true;
  protected override readonly wildcards: boolean;
  readonly #identity: TlsIdentity;
  readonly #server: Server;

  constructor(acceptor: Acceptor, receiver: SipReceiver, limits: ConnectionLimits, identity: TlsIdentity) {
    super(acceptor, receiver, limits);
    this.#identity = identity;
    this.wildcards = identity.wildcards;
    this.#server = createServer({ ...identity.serverOptions(), handshakeTimeout: limits.handshakeMs });
    identity.serves(this.#server);
    this.#server.on("tlsClientError", (error, socket) => this.#refused(error, socket));
    this.#server.on("secureConnection", (socket) => this.#accepted(socket));
    this.acceptor.onSocket = (socket) => this.#server.emit("connection", socket);
  }

  #accepted(socket: TLSSocket): void {
    const { remoteAddress: address, remotePort: port = 0 } = socket;
    if (address === undefined) {
      socket.destroy();
      return;
    }
    const proven = peerIdentities(socket);
    if (proven === "unproven") {
      // Asked for, not required, and given all the same: a certificate that is no good is worse than none.
      this.#refused(undefined, socket);
      socket.destroy();
      return;
    }
    this.adopt(socket, { address, port, ...(proven === undefined ? {} : { peerIdentities: proven }) }, undefined);
  }

  #refused(error: Error | undefined, socket: Socket): void {
    // The code of a certificate we do not believe is the socket's; the error says only that it was closed.
    const because = reasonOf((socket as TLSSocket).authorizationError ?? error);
    this.receiver.onStreamFault("tls-handshake", this.point, { address: socket.remoteAddress ?? "", because });
  }

  protected dial(to: Flow): Connection | undefined {
    if (this.acceptor.isFull || to.port === 0) return undefined;
    const { address, port, domain = address } = to;
    const where = { host: address, port, localAddress: this.point.address };
    const socket = connect({ ...where, ...this.#identity.clientOptions(domain) });
    socket.setNoDelay(true);
    socket.setKeepAlive(true, 30_000);
    this.acceptor.counts(socket);
    const connection = this.adopt(socket, { address, port }, domain);
    socket.setTimeout(this.limits.connectTimeoutMs, () => this.fault(connection, "connect-timeout"));
    socket.once("error", (error) => {
      if (connection.unsent !== undefined && !socket.authorized)
        this.receiver.onStreamFault("tls-handshake", this.point, { address, because: reasonOf(error) });
    });
    socket.once("secureConnect", () => {
      socket.setTimeout(0);
      this.stands(connection);
    });
    return connection;
  }
}

/** A code of OpenSSL or Node: "CERT_HAS_EXPIRED". Never what the peer wrote. */
function reasonOf(error: Error | string | null | undefined): string {
  if (typeof error === "string") return error.slice(0, 64);
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  return typeof code === "string" ? code : "unknown";
}
