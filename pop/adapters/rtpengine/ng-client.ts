// rtpengine's NG control protocol over UDP: a cookie, a space, a dictionary. We write JSON, which 10.5 understands
// beside bencode; it answers in kind. A datagram may be lost, so a request is sent again under the same cookie:
// rtpengine then repeats its answer without doing the work twice.
//
// A relay that is away is asked whether it is back, often; what is asked of it meanwhile waits for that within its own
// time limit, and once it has been away for longer, fails at once: who waits for a relay waits for media only, and not for long.

import { createSocket, type Socket } from "node:dgram";
import { fail, type Outcome, succeed } from "../../../kernel/outcome.ts";
import type { RtpAddress } from "../../core/media/addresses.ts";
import type { MediaFailure } from "../../core/media/media-failure.ts";

export type NgValue = string | number | readonly NgValue[] | { readonly [key: string]: NgValue };
export type NgRequest = { readonly command: string } & { readonly [key: string]: NgValue };
export type NgReply = Readonly<Record<string, unknown>>;

export interface NgLimits {
  /** Until the same datagram is sent once more, then after twice that, and so on. */
  readonly resendAfterMs: number;
  /** In all, of a relay that says nothing to anybody. */
  readonly timeoutMs: number;
  /** In all, of one that answers others meanwhile: it is busy. */
  readonly busyTimeoutMs: number;
  /** Requests without an answer yet; more fail at once. */
  readonly waitingMax: number;
}

export const NG_LIMITS: NgLimits = { resendAfterMs: 100, timeoutMs: 500, busyTimeoutMs: 2_000, waitingMax: 2_000 };
/** A restart in place takes less: nothing need fail for it. */
const AWAY_PATIENCE_MS = 1_000;
const PROBE_EVERY_MS = 50;
/** A timer that is so late tells of our loop, not of the relay. */
const OWN_PAUSE_MS = 50;

interface Waiting {
  readonly request: NgRequest;
  readonly datagram: string;
  resend: NodeJS.Timeout;
  expire: NodeJS.Timeout;
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
  #heardAtMs = 0;
  #away: { readonly sinceMs: number; readonly probe: NodeJS.Timeout } | undefined;
  readonly #backListeners: (() => void)[] = [];

  private constructor(socket: Socket, relay: RtpAddress, limits: NgLimits, cookiePrefix: string) {
    this.#socket = socket;
    this.#relay = relay;
    this.#limits = limits;
    this.#cookiePrefix = cookiePrefix;
    socket.on("message", (bytes) => this.#receive(bytes));
    socket.on("error", () => this.#isAway()); // "connection refused": nobody listens there
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

  /**
   * @param patient as long for one that says nothing to anybody: for what has time, a new call
   * @fails media.relay-away after the time limit, media.relay-refused when the relay says "error"
   */
  request(request: NgRequest, patient = false): Promise<Outcome<NgReply, MediaFailure>> {
    const { resendAfterMs, busyTimeoutMs, waitingMax } = this.#limits;
    const timeoutMs = patient ? busyTimeoutMs : this.#limits.timeoutMs;
    const awayMs = this.#away === undefined ? 0 : performance.now() - this.#away.sinceMs;
    if (this.#closed || this.#waiting.size >= waitingMax || awayMs > AWAY_PATIENCE_MS)
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
      const sentAtMs = performance.now();
      // Both need looking at what has come: our own loop may have been late, and its answer waits in the socket.
      let lookAtMs = sentAtMs + timeoutMs;
      const late = () => {
        const nowMs = performance.now();
        const isPaused = nowMs - lookAtMs > OWN_PAUSE_MS;
        const isBusy = this.#heardAtMs > sentAtMs && this.#away === undefined;
        const waitMs = isPaused ? resendAfterMs : isBusy ? Math.min(timeoutMs, sentAtMs + busyTimeoutMs - nowMs) : 0;
        const waiting = this.#waiting.get(cookie);
        if (waiting === undefined) return;
        if (waitMs > 0 && nowMs < sentAtMs + busyTimeoutMs) {
          lookAtMs = nowMs + waitMs;
          waiting.expire = setTimeout(late, waitMs);
          return;
        }
        const waitedMs = Math.max(timeoutMs, Math.round(lookAtMs - sentAtMs));
        settle(fail({ code: "media.relay-away", command: request.command, waitedMs }));
        if (this.#heardAtMs < sentAtMs) this.#isAway();
      };
      const resend = setTimeout(() => this.#resend(cookie, 2 * resendAfterMs), resendAfterMs);
      const expire = setTimeout(late, timeoutMs);
      this.#waiting.set(cookie, { request, datagram, resend, expire, settle });
      this.#send(datagram);
    });
  }

  get relay(): RtpAddress {
    return this.#relay;
  }

  /** Called when the relay answers again after it was away. */
  onBack(listener: () => void): void {
    this.#backListeners.push(listener);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#away?.probe);
    for (const { request, settle } of [...this.#waiting.values()])
      settle(fail({ code: "media.relay-away", command: request.command, waitedMs: 0 }));
    await new Promise<void>((resolve) => this.#socket.close(() => resolve()));
  }

  #send(datagram: string): void {
    if (!this.#closed) this.#socket.send(datagram, () => {});
  }

  #resend(cookie: string, againAfterMs: number): void {
    const waiting = this.#waiting.get(cookie);
    if (waiting === undefined) return;
    this.#send(waiting.datagram);
    waiting.resend = setTimeout(() => this.#resend(cookie, 2 * againAfterMs), againAfterMs);
  }

  #isAway(): void {
    if (this.#away !== undefined || this.#closed) return;
    const probe = setInterval(
      () => this.#send(`${this.#cookiePrefix}${this.#cookies++} {"command":"ping"}`),
      PROBE_EVERY_MS,
    );
    probe.unref();
    this.#away = { sinceMs: performance.now(), probe };
  }

  #isBack(): void {
    if (this.#away === undefined) return;
    clearInterval(this.#away.probe);
    this.#away = undefined;
    for (const { datagram } of this.#waiting.values()) this.#send(datagram); // what the relay has lost with its socket
    for (const listener of this.#backListeners) listener();
  }

  #receive(bytes: Buffer): void {
    this.#heardAtMs = performance.now();
    this.#isBack();
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
