import { createSocket, type Socket } from "node:dgram";
import type { OpenTransport, SipReceiver, SipTransport } from "../boundary/sip-transport.ts";
import { type Flow, facing, type ListenPoint, withPort } from "../core/flow.ts";

/** RFC 3261 §18 over datagrams. Responses leave from the port the request reached (RFC 3581 §4). */
export const openUdp =
  (bufferBytes: number): OpenTransport =>
  (asked, receiver) =>
    new Promise((resolve, reject) => {
      const isV6 = asked.address.includes(":");
      const socket = createSocket({
        type: isV6 ? "udp6" : "udp4",
        ipv6Only: isV6, // one family per listener: an IPv4 peer never looks like ::ffff:192.0.2.1
        // Every destination is an address already: the default look-up costs a turn of the event loop per datagram.
        lookup: (host, _options, callback) => callback(null, host, isV6 ? 6 : 4),
      });
      socket.once("error", reject);
      socket.bind(asked.port, asked.address, () => {
        socket.off("error", reject);
        const point = withPort(asked, socket.address().port);
        resolve(new Udp(socket, point, receiver, bufferBytes));
      });
    });

class Udp implements SipTransport {
  readonly point: ListenPoint;
  readonly #socket: Socket;

  constructor(socket: Socket, point: ListenPoint, receiver: SipReceiver, bufferBytes: number) {
    this.#socket = socket;
    this.point = point;
    const hasNets = point.localNets !== undefined;
    try {
      socket.setRecvBufferSize(bufferBytes);
      socket.setSendBufferSize(bufferBytes);
    } catch {
      // The kernel gives what it allows; a smaller buffer only loses more under a burst.
    }
    socket.on("error", () => {}); // an ICMP error concerns one datagram, not the socket
    socket.on("message", (bytes, remote) => {
      if (!receiver.admits(remote.address, bytes)) return;
      const { address, port } = remote;
      receiver.onMessage(
        bytes.toString("latin1"),
        { pointId: point.id, transport: "udp", address, port, connection: undefined },
        hasNets ? facing(point, address) : point,
      );
    });
  }

  send(text: string, to: Flow, failed: () => void): void {
    try {
      if (to.ttl !== undefined) this.#socket.setMulticastTTL(to.ttl);
      this.#socket.send(Buffer.from(text, "latin1"), to.port, to.address, (error) => {
        if (error !== null) failed();
      });
    } catch {
      setImmediate(failed); // port 0, an address of the other family
    }
  }

  stop(): Promise<void> {
    return new Promise((resolve) => this.#socket.close(() => resolve()));
  }
}
