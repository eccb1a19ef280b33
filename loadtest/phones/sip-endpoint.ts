// One UDP address that speaks SIP: datagrams in, transactions, messages out. Both sides of a simulated call stand on it.
// The messages and machines are those of our own SIP server: what the phones do on the wire is what its tests prove.

import { createSocket, type Socket } from "node:dgram";
import { systemClock } from "../../kernel/time.ts";
import { systemAlarm, TimerWheel } from "../../pop/sip-server/app/shell/timer-wheel.ts";
import type { ClientTransaction, ClientUser } from "../../pop/sip-server/app/transactions/client-transaction.ts";
import type { ServerTransaction, ServerUser } from "../../pop/sip-server/app/transactions/server-transaction.ts";
import { TransactionLayer } from "../../pop/sip-server/app/transactions/transaction-layer.ts";
import type { Flow } from "../../pop/sip-server/core/flow.ts";
import type { Header, SipMessage, SipRequest } from "../../pop/sip-server/core/message/message.ts";
import { parameter } from "../../pop/sip-server/core/message/parameters.ts";
import { parseMessage } from "../../pop/sip-server/core/message/parse.ts";
import { serialise } from "../../pop/sip-server/core/message/serialise.ts";
import { replaceFirstVia, withSource } from "../../pop/sip-server/core/message/via.ts";
import { timingFrom } from "../../pop/sip-server/core/transaction/timing.ts";

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
}

const TRANSACTIONS_MAX = 10_000;

export class SipEndpoint {
  readonly host: string;
  readonly port: number;
  readonly #socket: Socket;
  readonly #wheel = new TimerWheel(systemClock, systemAlarm(), (error) => {
    throw error; // a bug of the phone's: the test shall see it
  });
  readonly #transactions: TransactionLayer;
  readonly #user: EndpointUser;
  #closed = false;
  /** Datagrams that were no SIP. */
  malformed = 0;

  private constructor(socket: Socket, options: EndpointOptions, user: EndpointUser) {
    const { address, port } = socket.address();
    this.host = address;
    this.port = port;
    this.#socket = socket;
    this.#user = user;
    this.#transactions = new TransactionLayer({
      timing: timingFrom(options.t1Ms ?? 500),
      wheel: this.#wheel,
      transactionsMax: TRANSACTIONS_MAX,
      elsewhere: (_response, _tried, failed) => failed(),
      send: (message, flow) => this.#write(message, flow),
    });
    socket.on("message", (bytes, from) => this.#received(bytes.toString("latin1"), from.address, from.port));
    socket.on("error", () => {}); // a refused datagram is what the retransmission is for
  }

  /** @throws Error EADDRINUSE when the address is taken */
  static async open(options: EndpointOptions, user: EndpointUser): Promise<SipEndpoint> {
    const socket = createSocket("udp4");
    await new Promise<void>((resolve, reject) => {
      socket.once("error", reject);
      socket.bind(options.port, options.host, () => {
        socket.off("error", reject);
        resolve();
      });
    });
    return new SipEndpoint(socket, options, user);
  }

  get wheel(): TimerWheel {
    return this.#wheel;
  }

  get timing() {
    return this.#transactions.shell.timing;
  }

  flowTo(address: string, port: number): Flow {
    return { pointId: `udp/${this.host}:${this.port}`, transport: "udp", address, port, connection: undefined };
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

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#wheel.stopAll();
    await new Promise<void>((resolve) => this.#socket.close(() => resolve()));
  }

  #write(message: SipMessage, flow: Flow): void {
    if (this.#closed) return;
    this.#user.onMessage(message, "out");
    this.#socket.send(Buffer.from(serialise(message), "latin1"), flow.port, flow.address);
  }

  #received(text: string, address: string, port: number): void {
    const parsed = parseMessage(text);
    if (!parsed.ok) {
      this.malformed++;
      return;
    }
    const message = parsed.value;
    this.#user.onMessage(message, "in");
    if (message.kind === "response") {
      this.#transactions.receiveResponse(message, this.flowTo(address, port));
      return;
    }
    const request = cameFrom(message, address, port);
    const known = this.#transactions.find(request);
    if (known !== undefined) return known.receive(request);
    // RFC 3261 §18.2.2, RFC 3581 §4: to the source, and to its port when it asked for that.
    const asked = parameter(request.via.params, "rport") !== undefined;
    this.#user.onRequest(request, this.flowTo(address, asked ? port : (request.via.port ?? 5060)));
  }
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
