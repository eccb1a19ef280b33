// rtpengine's NG control protocol over UDP: a cookie, a space, a dictionary. We write JSON, which 10.5 understands
// beside bencode; it answers in kind. A datagram may be lost, so a request is sent again under the same cookie:
// rtpengine then repeats its answer without doing the work twice.

import { createSocket, type Socket } from "node:dgram";
import { fail, type Outcome, succeed } from "../../../kernel/outcome.ts";
import type { RtpAddress } from "../../core/media/addresses.ts";
import type { MediaFailure } from "../../core/media/media-failure.ts";

export type NgValue = string | number | readonly NgValue[] | { readonly [key: string]: NgValue };
export type NgRequest = { readonly command: string } & { readonly [key: string]: NgValue };
export type NgReply = Readonly<Record<string, unknown>>;

export interface NgLimits {
  /** Until the same datagram is sent once more. */
  readonly resendAfterMs: number;
  /** In all. */
  readonly timeoutMs: number;
  /** Requests without an answer yet; more fail at once. */
  readonly waitingMax: number;
}

export const NG_LIMITS: NgLimits = { resendAfterMs: 300, timeoutMs: 1_000, waitingMax: 2_000 };

interface Waiting {
  readonly request: NgRequest;
  readonly datagram: string;
  readonly resend: NodeJS.Timeout;
  readonly expire: NodeJS.Timeout;
  readonly settle: (reply: Outcome<NgReply, MediaFailure>) => void;
}

export class NgClient {
  readonly #socket: Socket;
  readonly #relay: RtpAddress;
  readonly #limits: NgLimits;
  /** Tells our cookies from those of the process before us on the same port. */
  readonly #cookiePrefix: string;
  #cookies = 0;
  readonly #waiting = new Map<string, Waiting>();
  #closed = false;

  private constructor(socket: Socket, relay: RtpAddress, limits: NgLimits, cookiePrefix: string) {
    this.#socket = socket;
    this.#relay = relay;
    this.#limits = limits;
    this.#cookiePrefix = cookiePrefix;
    socket.on("message", (bytes) => this.#receive(bytes));
    socket.on("error", () => {}); // "connection refused" while the relay is away: the time limit tells
  }

  static async open(relay: RtpAddress, limits: NgLimits = NG_LIMITS): Promise<NgClient> {
    const socket = createSocket(relay.host.includes(":") ? "udp6" : "udp4");
    await new Promise<void>((resolve, reject) => {
      socket.once("error", reject);
      socket.connect(relay.port, relay.host, () => {
        socket.off("error", reject);
        resolve();
      });
    });
    return new NgClient(socket, relay, limits, crypto.randomUUID().slice(0, 8));
  }

  /** @fails media.relay-away after the time limit, media.relay-refused when the relay says "error" */
  request(request: NgRequest): Promise<Outcome<NgReply, MediaFailure>> {
    const { resendAfterMs, timeoutMs, waitingMax } = this.#limits;
    if (this.#closed || this.#waiting.size >= waitingMax)
      return Promise.resolve(fail({ code: "media.relay-away", command: request.command, waitedMs: 0 }));
    const cookie = `${this.#cookiePrefix}${(this.#cookies++).toString(36)}`;
    const datagram = `${cookie} ${JSON.stringify(request)}`;
    return new Promise((resolve) => {
      const settle = (reply: Outcome<NgReply, MediaFailure>) => {
        const waiting = this.#waiting.get(cookie);
        if (waiting === undefined) return;
        clearTimeout(waiting.resend);
        clearTimeout(waiting.expire);
        this.#waiting.delete(cookie);
        resolve(reply);
      };
      const away = () => settle(fail({ code: "media.relay-away", command: request.command, waitedMs: timeoutMs }));
      const resend = setTimeout(() => this.#send(datagram), resendAfterMs);
      const expire = setTimeout(away, timeoutMs);
      this.#waiting.set(cookie, { request, datagram, resend, expire, settle });
      this.#send(datagram);
    });
  }

  get relay(): RtpAddress {
    return this.#relay;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const { request, settle } of [...this.#waiting.values()])
      settle(fail({ code: "media.relay-away", command: request.command, waitedMs: 0 }));
    await new Promise<void>((resolve) => this.#socket.close(() => resolve()));
  }

  #send(datagram: string): void {
    if (!this.#closed) this.#socket.send(datagram, () => {});
  }

  #receive(bytes: Buffer): void {
    const space = bytes.indexOf(0x20);
    const waiting = this.#waiting.get(bytes.toString("latin1", 0, Math.max(0, space)));
    if (waiting === undefined) return; // an answer that came twice, or too late
    const reply = readReply(bytes.toString("utf8", space + 1));
    if (reply === undefined) return;
    const { command } = waiting.request;
    if (reply.result === "error")
      waiting.settle(
        fail({ code: "media.relay-refused", command, detail: String(reply["error-reason"] ?? "no reason") }),
      );
    else waiting.settle(succeed(reply));
  }
}

function readReply(text: string): NgReply | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as NgReply) : undefined;
  } catch {
    return undefined;
  }
}
