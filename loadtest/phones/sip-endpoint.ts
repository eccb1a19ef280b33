// One address that speaks SIP, over UDP, TCP or TLS: messages in, transactions, messages out. Both sides of a simulated call stand on it.
// The messages and machines are those of our own SIP server: what the phones do on the wire is what its tests prove.

import { createSocket, type Socket } from "node:dgram";
import { systemClock } from "../../kernel/time.ts";
import { systemAlarm, TimerWheel } from "../../pop/sip-server/app/shell/timer-wheel.ts";
import type { ClientTransaction, ClientUser } from "../../pop/sip-server/app/transactions/client-transaction.ts";
import type { ServerTransaction, ServerUser } from "../../pop/sip-server/app/transactions/server-transaction.ts";
import { TransactionLayer } from "../../pop/sip-server/app/transactions/transaction-layer.ts";
import { defaultPort, type Flow } from "../../pop/sip-server/core/flow.ts";
import type { Header, SipMessage, SipRequest } from "../../pop/sip-server/core/message/message.ts";
import { parameter } from "../../pop/sip-server/core/message/parameters.ts";
import { parseMessage } from "../../pop/sip-server/core/message/parse.ts";
import { serialise } from "../../pop/sip-server/core/message/serialise.ts";
import { parseUri } from "../../pop/sip-server/core/message/uri.ts";
import { replaceFirstVia, withSource } from "../../pop/sip-server/core/message/via.ts";
import { timingFrom } from "../../pop/sip-server/core/transaction/timing.ts";
import type { PhoneTransport } from "./request.ts";
import { type PhoneTls, StreamLinks } from "./stream-links.ts";

export interface EndpointUser {
  /** A request that no transaction knows; `flow` is where its responses go. */
  onRequest(request: SipRequest, flow: Flow): void;
  /** Everything on the wire, for the message history of a call. */
  onMessage(message: SipMessage, direction: "in" | "out"): void;
}

export interface EndpointOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  readonly t1Ms?: number;
  /** UDP unless said. */
  readonly transport?: PhoneTransport;
  /** What TLS shows and whom it believes. */
  readonly tls?: PhoneTls;
}

const TRANSACTIONS_MAX = 10_000;

export class SipEndpoint {
  readonly host: string;
  readonly port: number;
  readonly transport: PhoneTransport;
  readonly #socket: Socket | undefined;
  #links: StreamLinks | undefined;
  readonly #wheel = new TimerWheel(systemClock, systemAlarm(), (error) => {
    throw error; // a bug of the phone's: the test shall see it
  });
  readonly #transactions: TransactionLayer;
  readonly #user: EndpointUser;
  #closed = false;
  /** Datagrams that were no SIP. */
  malformed = 0;

  private constructor(socket: Socket | undefined, port: number, options: EndpointOptions, user: EndpointUser) {
    this.host = options.host;
    this.port = port;
    this.transport = options.transport ?? "udp";
    this.#socket = socket;
    this.#user = user;
    this.#transactions = new TransactionLayer({
      timing: timingFrom(options.t1Ms ?? 500),
      wheel: this.#wheel,
      transactionsMax: TRANSACTIONS_MAX,
      elsewhere: (_response, _tried, failed) => failed(),
      send: (message, flow) => this.#write(message, flow),
    });
    socket?.on("message", (bytes, from) =>
      this.#received(bytes.toString("latin1"), this.flowTo(from.address, from.port)),
    );
    socket?.on("error", () => {}); // a refused datagram is what the retransmission is for
  }

  /** @throws Error EADDRINUSE when the address is taken */
  static async open(options: EndpointOptions, user: EndpointUser): Promise<SipEndpoint> {
    if (options.transport === "tcp" || options.transport === "tls") {
      if (options.transport === "tls" && options.tls === undefined) throw new Error("TLS needs certificates");
      let received: (text: string, from: Flow) => void = () => {};
      const links = await StreamLinks.open({
        host: options.host,
        port: options.port,
        tls: options.transport === "tls" ? options.tls : undefined,
        onMessage: (text, from) => received(text, from),
      });
      const endpoint = new SipEndpoint(undefined, links.port, options, user);
      received = (text, from) => endpoint.#received(text, from);
      endpoint.#links = links;
      return endpoint;
    }
    const socket = createSocket({ type: "udp4", lookup: (address, _options, found) => found(null, address, 4) });
    await new Promise<void>((resolve, reject) => {
      socket.once("error", reject);
      socket.bind(options.port, options.host, () => {
        socket.off("error", reject);
        resolve();
      });
    });
    return new SipEndpoint(socket, socket.address().port, options, user);
  }

  get wheel(): TimerWheel {
    return this.#wheel;
  }

  get timing() {
    return this.#transactions.shell.timing;
  }

  flowTo(address: string, port: number): Flow {
    const { transport } = this;
    return { pointId: `${transport}/${this.host}:${this.port}`, transport, address, port, connection: undefined };
  }

  startClient(request: SipRequest, flow: Flow, user: ClientUser): ClientTransaction {
    return this.#transactions.startClient(request, flow, user);
  }

  startServer(request: SipRequest, flow: Flow, user: ServerUser): ServerTransaction {
    return this.#transactions.startServer(request, flow, user);
  }

  /** The INVITE that this CANCEL means. */
  inviteOf(cancel: SipRequest): ServerTransaction | undefined {
    return this.#transactions.inviteOf(cancel);
  }

  /** Outside of any transaction: an ACK to a 2xx, or its repetition. */
  send(message: SipMessage, flow: Flow): void {
    this.#write(message, flow);
  }

  get reconnected(): number {
    return this.#links?.reconnected ?? 0;
  }

  /** Every connection, without a word. */
  dropConnections(): void {
    this.#links?.drop();
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#wheel.stopAll();
    await this.#links?.close();
    await new Promise<void>((resolve) =>
      this.#socket === undefined ? resolve() : this.#socket.close(() => resolve()),
    );
  }

  #write(message: SipMessage, flow: Flow): void {
    if (this.#closed) return;
    this.#user.onMessage(message, "out");
    const text = serialise(message);
    if (this.#links !== undefined) this.#links.send(text, flow, targetOf(message, flow));
    else this.#socket?.send(Buffer.from(text, "latin1"), flow.port, flow.address);
  }

  #received(text: string, from: Flow): void {
    const { address, port } = from;
    const parsed = parseMessage(text);
    if (!parsed.ok) {
      this.malformed++;
      return;
    }
    const message = parsed.value;
    this.#user.onMessage(message, "in");
    if (message.kind === "response") {
      this.#transactions.receiveResponse(message, from);
      return;
    }
    const request = cameFrom(message, address, port);
    const known = this.#transactions.find(request);
    if (known !== undefined) return known.receive(request);
    if (this.#links !== undefined) return this.#user.onRequest(request, from);
    // RFC 3261 §18.2.2, RFC 3581 §4: to the source, and to its port when it asked for that.
    const asked = parameter(request.via.params, "rport") !== undefined;
    this.#user.onRequest(request, this.flowTo(address, asked ? port : (request.via.port ?? 5060)));
  }
}

/** Where a message goes whose connection is gone: a request to its URI, a response to the Via's sent-by. RFC 3261 §18 */
function targetOf(message: SipMessage, flow: Flow): { address: string; port: number } {
  if (message.kind === "response") {
    const port = message.via.port ?? defaultPort(flow.transport);
    return { address: message.via.host, port };
  }
  const uri = parseUri(message.uri);
  return uri === undefined ? flow : { address: uri.host, port: uri.port ?? defaultPort(flow.transport) };
}

/** The same request with `received` and `rport` in its first Via, in the headers too: responses copy those. */
function cameFrom(request: SipRequest, address: string, port: number): SipRequest {
  const via = withSource(request.via, address, port);
  let first = true;
  const headers = request.headers.map((line): Header => {
    if (line.key !== "via" || !first) return line;
    first = false;
    return { ...line, value: replaceFirstVia(line.value, via) };
  });
  return { ...request, via, headers };
}
