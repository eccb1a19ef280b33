// A SIP party for tests: it says exactly what the test says, retransmits nothing, and hands over what arrives.

import { createSocket, type Socket } from "node:dgram";
import { connect, createServer, type Server, type Socket as TcpSocket } from "node:net";
import { headersOf, headerValue, type SipMessage, type SipRequest, type SipResponse } from "../core/message/message.ts";
import { parseMessage } from "../core/message/parse.ts";
import { MessageStream } from "../core/message/stream.ts";

export const SDP =
  "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\n";
const WAIT_MS = 4_000;

type Wanted<M extends SipMessage> = (message: SipMessage) => message is M;

export const aRequest =
  (method: string): Wanted<SipRequest> =>
  (message): message is SipRequest =>
    message.kind === "request" && message.method === method;

export const aResponse =
  (status: number, method?: string): Wanted<SipResponse> =>
  (message): message is SipResponse =>
    message.kind === "response" &&
    message.status === status &&
    (method === undefined || message.cseq.method === method);

export abstract class Peer {
  readonly received: SipMessage[] = [];
  #unread: SipMessage[] = [];
  #waiting: { wanted: (message: SipMessage) => boolean; take: (message: SipMessage) => void }[] = [];
  #sequence = 0;
  abstract readonly transport: "UDP" | "TCP" | "TLS" | "WS" | "WSS";
  /** As in a Via: IPv6 in brackets. */
  readonly host: string = "127.0.0.1";
  abstract readonly port: number;
  abstract sendText(text: string): void;
  abstract close(): void;

  protected take(text: string): void {
    const parsed = parseMessage(text);
    if (!parsed.ok) return;
    this.received.push(parsed.value);
    const at = this.#waiting.findIndex(({ wanted }) => wanted(parsed.value));
    if (at === -1) this.#unread.push(parsed.value);
    else for (const { take } of this.#waiting.splice(at, 1)) take(parsed.value);
  }

  /** The next message of that kind, whether it is here already or still to come. */
  async next<M extends SipMessage>(wanted: Wanted<M>, waitMs = WAIT_MS): Promise<M> {
    const at = this.#unread.findIndex(wanted);
    const [here] = at === -1 ? [] : this.#unread.splice(at, 1);
    if (here !== undefined) return here as M;
    return new Promise((resolve, reject) => {
      const waiting = {
        wanted,
        take: (message: SipMessage) => {
          clearTimeout(timer);
          resolve(message as M);
        },
      };
      const timer = setTimeout(() => {
        this.#waiting = this.#waiting.filter((other) => other !== waiting);
        const seen = this.received.map((m) => (m.kind === "request" ? m.method : `${m.status}/${m.cseq.method}`));
        reject(new Error(`not received within ${waitMs} ms; received: ${seen.join(" ")}`));
      }, waitMs);
      this.#waiting.push(waiting);
    });
  }

  count(wanted: (message: SipMessage) => boolean): number {
    return this.received.filter(wanted).length;
  }

  get contact(): string {
    const named = this.transport === "UDP" ? "" : `;transport=${this.transport.toLowerCase()}`;
    return `<sip:peer@${this.host}:${this.port}${named}>`;
  }

  branch(): string {
    return `z9hG4bK-${this.port}-${++this.#sequence}`;
  }

  /** A call of ours towards the server. */
  call(to: string, more: Partial<CallFacts> = {}): Call {
    return new Call(this, {
      to,
      callId: `${process.pid}-${this.port}-${++this.#sequence}-${Date.now().toString(36)}`,
      tag: `t${this.#sequence}`,
      headers: [],
      body: SDP,
      ...more,
    });
  }

  /** Answers a request that came to us. */
  respond(
    request: SipRequest,
    status: number,
    reason: string,
    more: { headers?: string[]; body?: string; tag?: string } = {},
  ) {
    const to = headerValue(request, "to") ?? "";
    const tag = more.tag ?? "callee";
    const lines = [
      `SIP/2.0 ${status} ${reason}`,
      ...headersOf(request, "via").map(({ value }) => `Via: ${value}`),
      ...(status < 300 ? headersOf(request, "record-route").map(({ value }) => `Record-Route: ${value}`) : []),
      `From: ${headerValue(request, "from")}`,
      `To: ${request.toTag === "" && status > 100 ? `${to};tag=${tag}` : to}`,
      `Call-ID: ${request.callId}`,
      `CSeq: ${request.cseq.number} ${request.cseq.method}`,
      ...(status > 100 && status < 300 ? [`Contact: ${this.contact}`] : []),
      ...(more.headers ?? []),
    ];
    this.sendText(finish(lines, more.body ?? ""));
  }

  /** A request inside the dialog that an INVITE of the server's application opened with us. */
  requestTo(
    invite: SipRequest,
    method: string,
    cseq: number,
    more: { headers?: string[]; body?: string; tag?: string } = {},
  ) {
    const contact = headerValue(invite, "contact") ?? "";
    const uri = /<([^>]*)>/.exec(contact)?.[1] ?? contact;
    this.sendText(
      finish(
        [
          `${method} ${uri} SIP/2.0`,
          `Via: SIP/2.0/${this.transport} ${this.host}:${this.port};rport;branch=${this.branch()}`,
          "Max-Forwards: 70",
          `From: ${headerValue(invite, "to")};tag=${more.tag ?? "callee"}`,
          `To: ${headerValue(invite, "from")}`,
          `Call-ID: ${invite.callId}`,
          `CSeq: ${cseq} ${method}`,
          `Contact: ${this.contact}`,
          ...(more.headers ?? []),
        ],
        more.body ?? "",
      ),
    );
  }
}

export const finish = (lines: readonly string[], body: string): string => {
  const type = body === "" ? [] : ["Content-Type: application/sdp"];
  return `${[...lines, ...type, `Content-Length: ${Buffer.byteLength(body)}`, "", body].join("\r\n")}`;
};

interface CallFacts {
  readonly to: string;
  readonly callId: string;
  readonly tag: string;
  readonly headers: readonly string[];
  readonly body: string;
}

/** A caller's side of a dialog. */
export class Call {
  readonly peer: Peer;
  readonly facts: CallFacts;
  cseq = 1;
  inviteBranch = "";
  toTag = "";
  target: string;

  constructor(peer: Peer, facts: CallFacts) {
    this.peer = peer;
    this.facts = facts;
    this.target = facts.to;
  }

  lines(method: string, branch: string, headers: readonly string[] = [], cseq = this.cseq): string[] {
    const { to, callId, tag } = this.facts;
    return [
      `${method} ${this.target} SIP/2.0`,
      `Via: SIP/2.0/${this.peer.transport} ${this.peer.host}:${this.peer.port};rport;branch=${branch}`,
      "Max-Forwards: 70",
      `From: "Alice" <sip:alice@127.0.0.1>;tag=${tag}`,
      `To: <${to}>${this.toTag === "" ? "" : `;tag=${this.toTag}`}`,
      `Call-ID: ${callId}`,
      `CSeq: ${cseq} ${method}`,
      `Contact: ${this.peer.contact}`,
      ...headers,
    ];
  }

  invite(): string {
    this.inviteBranch = this.peer.branch();
    return this.again();
  }

  /** The same INVITE, bit by bit. */
  again(): string {
    const text = finish(this.lines("INVITE", this.inviteBranch, this.facts.headers), this.facts.body);
    this.peer.sendText(text);
    return text;
  }

  /** Takes over what a dialog-making response said. */
  learn(response: SipResponse): SipResponse {
    this.toTag = response.toTag;
    const contact = /<([^>]*)>/.exec(headerValue(response, "contact") ?? "")?.[1];
    if (contact !== undefined) this.target = contact;
    return response;
  }

  async answered(): Promise<SipResponse> {
    return this.learn(await this.peer.next(aResponse(200, "INVITE")));
  }

  /** To a 2xx: a branch of its own. */
  ack(body = ""): void {
    this.peer.sendText(finish(this.lines("ACK", this.peer.branch()), body));
  }

  /** To a refusal: the INVITE's branch. */
  ackFailure(response: SipResponse): void {
    this.toTag = response.toTag;
    this.peer.sendText(finish(this.lines("ACK", this.inviteBranch), ""));
    this.toTag = "";
  }

  cancel(headers: readonly string[] = []): void {
    this.peer.sendText(finish(this.lines("CANCEL", this.inviteBranch, headers), ""));
  }

  request(method: string, headers: readonly string[] = [], body = ""): void {
    this.cseq++;
    this.peer.sendText(finish(this.lines(method, this.peer.branch(), headers), body));
  }

  reinvite(body = SDP): void {
    this.cseq++;
    this.inviteBranch = this.peer.branch();
    this.peer.sendText(finish(this.lines("INVITE", this.inviteBranch), body));
  }
}

export class UdpPeer extends Peer {
  readonly transport = "UDP";
  override readonly host: string;
  readonly port: number;
  readonly #socket: Socket;
  readonly #to: number;

  static open(serverPort: number, address = "127.0.0.1"): Promise<UdpPeer> {
    return new Promise((resolve) => {
      const socket = createSocket(address.includes(":") ? "udp6" : "udp4");
      socket.bind(0, address, () => resolve(new UdpPeer(socket, serverPort)));
    });
  }

  private constructor(socket: Socket, to: number) {
    super();
    this.#socket = socket;
    this.#to = to;
    this.port = socket.address().port;
    const { address } = socket.address();
    this.host = address.includes(":") ? `[${address}]` : "127.0.0.1";
    socket.on("message", (bytes) => this.take(bytes.toString("latin1")));
  }

  sendText(text: string): void {
    this.#socket.send(Buffer.from(text, "latin1"), this.#to, this.host.startsWith("[") ? "::1" : "127.0.0.1");
  }

  close(): void {
    this.#socket.close();
  }
}

/** Listens, and has one connection to the server; answers go out on the connection the request came by. */
export class TcpPeer extends Peer {
  readonly transport = "TCP";
  readonly port: number;
  readonly #server: Server;
  #socket: TcpSocket;
  readonly sockets: TcpSocket[] = [];

  static async open(serverPort: number): Promise<TcpPeer> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
    const socket = connect(serverPort, "127.0.0.1");
    await new Promise((resolve) => socket.once("connect", resolve));
    return new TcpPeer(server, socket);
  }

  private constructor(server: Server, socket: TcpSocket) {
    super();
    this.#server = server;
    this.#socket = socket;
    const bound = server.address();
    this.port = typeof bound === "object" && bound !== null ? bound.port : 0;
    this.#listen(socket);
    server.on("connection", (accepted) => {
      this.sockets.push(accepted);
      this.#socket = accepted;
      this.#listen(accepted);
    });
  }

  #listen(socket: TcpSocket): void {
    const stream = new MessageStream(65_535);
    socket.on("error", () => {});
    socket.on("data", (bytes) => {
      const taken = stream.take(bytes.toString("latin1"));
      if (taken.ok) for (const text of taken.value.messages) this.take(text);
    });
  }

  sendText(text: string): void {
    this.#socket.write(text, "latin1");
  }

  close(): void {
    this.#socket.destroy();
    for (const socket of this.sockets) socket.destroy();
    this.#server.close();
  }
}
