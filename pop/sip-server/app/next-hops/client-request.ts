// One request on its way: RFC 3263 §4.3, RFC 3261 §9.1, §18.1.1.

import type { Outcome } from "../../../../kernel/outcome.ts";
import type { Flow, ListenPoint } from "../../core/flow.ts";
import { cancelFor } from "../../core/message/build.ts";
import { type Header, headerValue, type SipRequest, type SipResponse } from "../../core/message/message.ts";
import type { QuarantineInput } from "../../core/next-hop/quarantine.ts";
import type { ClientUserRecord } from "../../core/record/record.ts";
import { choosePoint } from "../../core/user-agent/destination.ts";
import { renumbered, sentFrom, type Unsendable } from "../../core/user-agent/outgoing.ts";
import type { Shell } from "../shell/shell.ts";
import type { TimerOwner, WheelTimer } from "../shell/timer-wheel.ts";
import { type ClientTransaction, type ClientUser, DEAF_USER } from "../transactions/client-transaction.ts";
import type { Failed } from "../transactions/transaction-driver.ts";
import type { TransactionLayer } from "../transactions/transaction-layer.ts";
import type { NextHops } from "./next-hops.ts";

/** Where it may go, best first. Empty: the name leads nowhere, and the request fails when it is started. */
export interface Route {
  readonly paths: readonly Path[];
  /** Of the first path. */
  readonly point: ListenPoint;
  /** The only way there is: not changed for size. */
  readonly pinned: boolean;
}

export interface Path {
  readonly point: ListenPoint;
  readonly flow: Flow;
}

/** Makes the request as it leaves from `point`. Asked again for every further target: all but Via and Contact must stay. */
export type BuildRequest = (point: ListenPoint, branch: string) => Outcome<SipRequest, Unsendable>;

export interface ClientRequestUser extends ClientUser {
  /** A target that had been given up accepted the INVITE after all: acknowledge it and end it. */
  onLateAnswer?(response: SipResponse, from: Flow): void;
}

export interface ClientRequestParts {
  readonly shell: Shell;
  readonly transactions: TransactionLayer;
  readonly nextHops: NextHops;
}

/** One request, from target to target. */
export class ClientRequest implements TimerOwner {
  readonly #parts: ClientRequestParts;
  readonly #route: Route;
  readonly #build: BuildRequest;
  #request: SipRequest;
  #path: Path | undefined;
  /** The way over UDP that the request is too long for, to be tried if TCP fails. */
  #overUdp: Path | undefined;
  #at = 0;
  #user: ClientRequestUser = DEAF;
  #transaction: ClientTransaction | undefined;
  #attempt: Attempt | undefined;
  #timer: WheelTimer | undefined;
  #beganMs = 0;
  /** Of further targets too; undefined: as it was built. */
  #number: number | undefined;
  #heldCancel: readonly Header[] | undefined;
  /** The present target has said something. */
  #heard = false;
  /** No further target: it rings, or nobody wants it any more. */
  #settled = false;

  constructor(parts: ClientRequestParts, route: Route, build: BuildRequest, request: SipRequest) {
    this.#parts = parts;
    this.#route = route;
    this.#build = build;
    this.#request = request;
    const [path] = route.paths;
    if (path !== undefined) this.#take(path);
  }

  /** As it is sent to the present target. */
  get request(): SipRequest {
    return this.#request;
  }

  /** undefined: there is nowhere to send it to. */
  get flow(): Flow | undefined {
    return this.#path?.flow;
  }

  get point(): ListenPoint {
    return this.#path?.point ?? this.#route.point;
  }

  /** Before it is started: its dialog has gone on without it. */
  renumber(cseq: number): void {
    this.#number = cseq;
    this.#request = renumbered(this.#request, cseq);
  }

  start(user: ClientRequestUser): void {
    this.#user = user;
    if (this.#path === undefined) user.onFailed("transport");
    else if (this.#hasNext) {
      this.#beganMs = this.#parts.shell.clock.nowMs();
      this.#try(this.#path);
    } else this.#transaction = this.#parts.transactions.startClient(this.#request, this.#path.flow, user);
  }

  /** It has been on its way before it was taken up. */
  adopt(user: ClientRequestUser, transaction: ClientTransaction): void {
    this.#user = user;
    this.#transaction = transaction;
    this.#settled = true;
  }

  /** Who waits for the answer to this attempt; nobody once it has been given up. */
  recordOf(attempt: Attempt, unixMs: number): ClientUserRecord | undefined {
    return attempt === this.#attempt ? this.#user.record?.(unixMs) : undefined;
  }

  /**
   * For an ACK to a 2xx: nothing is answered to it, so that only a transport that cannot deliver leads to the next target.
   * @param sent what leaves, and where to; again for every target
   */
  transmit(sent: (request: SipRequest, flow: Flow) => void): void {
    this.#beganMs = this.#parts.shell.clock.nowMs();
    this.#transmit(sent);
  }

  #transmit(sent: (request: SipRequest, flow: Flow) => void): void {
    const path = this.#path;
    if (path === undefined) return;
    sent(this.#request, path.flow);
    this.#parts.shell.send(this.#request, path.flow, false, () => {
      if (this.#advance("transport")) this.#transmit(sent);
    });
  }

  /**
   * CANCEL to whoever has the request now; no further target. The caller waits for a provisional first (RFC 3261 §9.1); if that
   * was another target's than the present one, the CANCEL waits here for its own.
   */
  cancel(headers: readonly Header[]): void {
    this.settle();
    if (this.#path === undefined) return;
    if (this.#attempt !== undefined && !this.#heard) {
      this.#heldCancel = headers;
      return;
    }
    this.#heldCancel = undefined;
    this.#parts.transactions.startClient(cancelFor(this.#request, headers), this.#path.flow, DEAF);
  }

  /** Changed, on a branch of its own, to whoever has it now: it was asked for a proof. */
  again(request: SipRequest): void {
    if (this.#path === undefined) return;
    this.settle();
    this.#attempt = undefined;
    this.#request = request;
    this.#transaction = this.#parts.transactions.startClient(request, this.#path.flow, this.#user);
  }

  /** Nobody wants it any more: no further target. */
  settle(): void {
    this.#settled = true;
    this.#stopTimer();
  }

  /** Ends it without a word. */
  abandon(): void {
    this.settle();
    this.#transaction?.abandon();
  }

  onResponse(attempt: Attempt, response: SipResponse, from: Flow): void {
    const { status } = response;
    if (attempt !== this.#attempt) {
      if (status < 200) attempt.cancelOnce();
      else if (status < 300) this.#user.onLateAnswer?.(response, from);
      return;
    }
    this.#heard = true;
    this.#stopTimer();
    this.#report(status === 503 ? overload(response) : ANSWERED);
    if (status > 100 && status !== 503) this.#settled = true;
    if (status === 503 && !this.#settled) {
      this.#overUdp = undefined; // the same server would say the same
      if (this.#tryNext("503")) return;
    }
    if (status < 200 && this.#heldCancel !== undefined) this.cancel(this.#heldCancel);
    this.#user.onResponse(response, from);
  }

  onFailed(attempt: Attempt, because: Failed): void {
    if (attempt !== this.#attempt) return;
    this.#stopTimer();
    if (!this.#heard) this.#report(FAILED);
    if (!this.#tryNext(because)) this.#user.onFailed(because);
  }

  /** Not a word from the target. */
  onTimer(): void {
    this.#timer = undefined;
    const silent = this.#attempt;
    this.#report(FAILED);
    if (this.#tryNext("silence")) silent?.transaction?.hush();
  }

  get #hasNext(): boolean {
    return this.#overUdp !== undefined || this.#at + 1 < this.#route.paths.length;
  }

  #try(path: Path): void {
    const { transactions, shell } = this.#parts;
    const attempt = new Attempt(this, transactions, this.#request, path.flow);
    this.#attempt = attempt;
    this.#heard = false;
    this.#report(TRIED);
    if (this.#request.method === "INVITE" && this.#hasNext)
      this.#timer = shell.wheel.start(this, "next-target", shell.limits.nextTargetAfterMs);
    this.#transaction = attempt.start();
  }

  #tryNext(because: string): boolean {
    if (this.#settled || !this.#advance(because) || this.#path === undefined) return false;
    this.#try(this.#path);
    return true;
  }

  /** The request for the next target; false when there is none, or no time. */
  #advance(because: string): boolean {
    const { shell } = this.#parts;
    const overUdp = this.#overUdp;
    const path = overUdp ?? this.#route.paths[this.#at + 1];
    if (path === undefined) return false;
    if (shell.clock.nowMs() - this.#beganMs > TRYING_T1S * shell.timing.t1Ms) return false;
    const branch = shell.ids.branch();
    const made = this.#build(path.point, branch);
    if (!made.ok) return false;
    this.#request = this.#number === undefined ? made.value : renumbered(made.value, this.#number);
    this.#overUdp = undefined;
    if (overUdp !== undefined) this.#path = overUdp;
    else {
      this.#at++;
      this.#take(path);
    }
    shell.counters.add("next_targets", `because="${because}"`);
    return true;
  }

  /** This way; over TCP if the request is too long for UDP, whatever the URI asked for: RFC 3261 §18.1.1 knows no exception. */
  #take(path: Path): void {
    this.#path = path;
    const { shell, nextHops } = this.#parts;
    if (path.flow.transport !== "udp" || this.#route.pinned) return;
    if (shell.textOf(this.#request).length <= shell.limits.udpRequestBytesMax) return;
    const point = tcpBeside(shell.points, path);
    if (point === undefined) return;
    const flow: Flow = { ...path.flow, pointId: point.id, transport: "tcp" };
    if (!nextHops.isFit(flow)) return; // it has no TCP: tried lately
    shell.counters.add("switched_to_tcp");
    this.#request = sentFrom(this.#request, point, this.#request.via.branch);
    this.#path = { point, flow };
    this.#overUdp = path;
  }

  #report(input: QuarantineInput): void {
    if (this.#path !== undefined) this.#parts.nextHops.report(this.#path.flow, input);
  }

  #stopTimer(): void {
    if (this.#timer !== undefined) this.#parts.shell.wheel.stop(this.#timer);
    this.#timer = undefined;
  }
}

const TRIED: QuarantineInput = { kind: "tried" };
const ANSWERED: QuarantineInput = { kind: "answered" };
const FAILED: QuarantineInput = { kind: "failed" };

/** 503 keeps others away for as long as the server asks; without that it is like a 500 (RFC 3261 §21.5.4). */
function overload(response: SipResponse): QuarantineInput {
  const seconds = /^\s*(\d{1,9})/.exec(headerValue(response, "retry-after") ?? "")?.[1];
  return seconds === undefined || Number(seconds) === 0
    ? ANSWERED
    : { kind: "failed", retryAfterMs: Number(seconds) * 1_000 };
}

/** The TCP listener that belongs with a UDP one: same address, else same name, else whatever can reach it. */
function tcpBeside(points: readonly ListenPoint[], { point, flow }: Path): ListenPoint | undefined {
  const others = points.filter(({ transport }) => transport === "tcp");
  const named = others.filter(({ name }) => name === point.name);
  return (
    others.find(({ address }) => address === point.address) ??
    choosePoint(named.length > 0 ? named : others, "tcp", flow.address)
  );
}

/** No new target after this many T1 (64 s): whoever asked has long gone. */
const TRYING_T1S = 128;

/** The request at one target. */
class Attempt implements ClientUser {
  readonly #owner: ClientRequest;
  readonly #transactions: TransactionLayer;
  readonly #request: SipRequest;
  readonly #flow: Flow;
  transaction: ClientTransaction | undefined;
  #cancelled = false;

  constructor(owner: ClientRequest, transactions: TransactionLayer, request: SipRequest, flow: Flow) {
    this.#owner = owner;
    this.#transactions = transactions;
    this.#request = request;
    this.#flow = flow;
  }

  start(): ClientTransaction {
    this.transaction = this.#transactions.startClient(this.#request, this.#flow, this);
    return this.transaction;
  }

  onResponse(response: SipResponse, from: Flow): void {
    this.#owner.onResponse(this, response, from);
  }

  onFailed(because: Failed): void {
    this.#owner.onFailed(this, because);
  }

  record(unixMs: number): ClientUserRecord | undefined {
    return this.#owner.recordOf(this, unixMs);
  }

  /** It rings where nobody waits any more. */
  cancelOnce(): void {
    if (this.#cancelled || this.#request.method !== "INVITE") return;
    this.#cancelled = true;
    this.#transactions.startClient(cancelFor(this.#request, []), this.#flow, DEAF);
  }
}

/** Nobody waits for the answer. */
export const DEAF: ClientUser = DEAF_USER;
