// One request on its way through us, with all its branches. RFC 3261 §16.6 to §16.9.

import * as report from "../../core/drachtio/report.ts";
import type { Flow, ListenPoint } from "../../core/flow.ts";
import { responseTo } from "../../core/message/build.ts";
import type { SipRequest, SipResponse } from "../../core/message/message.ts";
import type { NoHop } from "../../core/next-hop/hop.ts";
import { withoutOurVia } from "../../core/proxy/forward.ts";
import * as responseContext from "../../core/proxy/response-context.ts";
import type { Target } from "../../core/proxy/target.ts";
import type { BuildRequest, ClientRequest } from "../next-hops/client-request.ts";
import type { ClientRequests } from "../next-hops/client-requests.ts";
import { metaOfArrived } from "../shell/frames.ts";
import type { Shell } from "../shell/shell.ts";
import { NamedTimers, type TimerOwner } from "../shell/timer-wheel.ts";
import type { ServerTransaction } from "../transactions/server-transaction.ts";
import type { TransactionLayer } from "../transactions/transaction-layer.ts";

/** A request of the network and the transaction it came with. */
export interface Received {
  readonly request: SipRequest;
  readonly from: Flow;
  readonly point: ListenPoint;
  readonly transaction: ServerTransaction;
}

/** Who hears what came of it. */
export interface ProxyObserver {
  answered(meta: report.Meta, text: string): void;
  done(): void;
}

export interface ProxiedRequestParts {
  readonly shell: Shell;
  readonly transactions: TransactionLayer;
  readonly requests: ClientRequests;
}

export interface Way {
  readonly uri: string;
  readonly routes: readonly string[];
  readonly nextHop: string;
}

export interface Plan {
  readonly context: responseContext.SearchContext;
  readonly targets: readonly Target[];
  /** The address of ours it must leave from, if any will do. */
  readonly pointId: string | undefined;
  wayTo(target: Target): Way;
  copy(way: Way, breadth: number): BuildRequest;
  /** It may begin a call, which then has records. */
  readonly isInitial: boolean;
}

/** Drives core/proxy/response-context.ts for one request: one input, one step, every effect, then the next input. */
export class ProxiedRequest implements TimerOwner {
  readonly #shell: Shell;
  readonly #transactions: TransactionLayer;
  readonly #requests: ClientRequests;
  readonly #received: Received;
  readonly #observer: ProxyObserver;
  readonly #plan: Plan;
  readonly #onOver: () => void;
  readonly #timers: NamedTimers;
  readonly #sent = new Map<number, ClientRequest>();
  readonly #inbox: responseContext.ContextInput[] = [];
  /** Where the latest response of a branch came from. */
  readonly #heardFrom = new Map<number, Flow>();
  #state: responseContext.ContextState | undefined;
  #busy = false;
  #over = false;

  constructor(
    { shell, transactions, requests }: ProxiedRequestParts,
    received: Received,
    observer: ProxyObserver,
    plan: Plan,
    onOver: () => void,
  ) {
    this.#shell = shell;
    this.#transactions = transactions;
    this.#requests = requests;
    this.#received = received;
    this.#observer = observer;
    this.#plan = plan;
    this.#onOver = onOver;
    this.#timers = new NamedTimers(shell.wheel, this);
  }

  begin(): void {
    this.#take(responseContext.start(this.#plan.context, this.#plan.targets));
  }

  handle(input: responseContext.ContextInput): void {
    this.#inbox.push(input);
    if (!this.#busy) this.#drain();
  }

  onTimer(name: string): void {
    if (name === "deadline") return this.handle({ kind: "deadline" });
    const [timer, branch] = name.split(" ");
    this.handle({ kind: "timer", timer: timer as responseContext.BranchTimer, branch: Number(branch) });
  }

  #take({ state, effects }: responseContext.ContextStep): void {
    this.#busy = true;
    this.#state = state;
    for (const effect of effects) this.#perform(effect);
    this.#busy = false;
    this.#drain();
  }

  #drain(): void {
    this.#busy = true;
    for (let input = this.#inbox.shift(); input !== undefined; input = this.#inbox.shift()) {
      if (this.#state === undefined) break;
      const { state, effects } = responseContext.step(this.#plan.context, this.#state, input);
      this.#state = state;
      for (const effect of effects) this.#perform(effect);
    }
    this.#busy = false;
    if (this.#over || this.#state === undefined || !responseContext.isOver(this.#state)) return;
    this.#over = true;
    this.#timers.stopAll();
    this.#onOver();
  }

  #perform(effect: responseContext.ContextEffect): void {
    switch (effect.kind) {
      case "fork":
        this.#fork(effect.branch, effect.target, effect.breadth);
        break;
      case "settle":
        this.#sent.get(effect.branch)?.settle();
        break;
      case "cancel-branch":
        this.#sent.get(effect.branch)?.cancel(effect.headers);
        break;
      case "abandon":
        this.#sent.get(effect.branch)?.abandon();
        break;
      case "forward":
        this.#forward(effect.response);
        break;
      case "refuse": {
        const { request } = this.#received;
        const response = responseTo(request, { status: effect.status, toTag: this.#shell.ids.tag() });
        this.#forward(response);
        this.#observer.answered(report.nowhere(this.#shell.timeOfDay()), this.#shell.textOf(response));
        break;
      }
      case "report":
        this.#report(effect.branch, effect.response);
        break;
      case "done":
        this.#observer.done();
        break;
      case "start-timer":
        this.#timers.start(`${effect.timer} ${effect.branch}`, effect.afterMs);
        break;
      case "stop-timer":
        this.#timers.stop(`${effect.timer} ${effect.branch}`);
        break;
      case "start-deadline":
        this.#timers.start("deadline", effect.afterMs);
        break;
      case "stop-deadline":
        this.#timers.stop("deadline");
        break;
    }
  }

  #fork(branch: number, target: Target, breadth: number): void {
    const way = this.#plan.wayTo(target);
    this.#requests.locate({ uri: way.nextHop, pointId: this.#plan.pointId }, (located) => {
      if (this.#over || this.#hasEnded(branch)) return;
      if (!located.ok) return this.#fail(branch, STATUS_OF[located.failure.code]);
      if (this.#transactions.full) return this.#fail(branch, 503);
      const prepared = this.#requests.prepare(located.value, this.#plan.copy(way, breadth));
      if (!prepared.ok) return this.#fail(branch, 483);
      const sent = prepared.value;
      this.#sent.set(branch, sent);
      const { method } = sent.request;
      if (this.#plan.isInitial && method === "INVITE") this.#shell.records?.attempt("application", sent.request);
      if (method === "BYE") this.#shell.records?.stopped("application", sent.request, "normal-release");
      const onResponse = (response: SipResponse, from: Flow) => this.#onResponse(branch, response, from);
      sent.start({
        onResponse,
        onLateAnswer: onResponse, // a target we had left accepts: its 2xx is the caller's as well
        onFailed: (because) => this.#fail(branch, because === "timeout" ? 408 : 503),
      });
    });
  }

  #fail(branch: number, status: number): void {
    this.handle({ kind: "failed", branch, status });
  }

  #hasEnded(branch: number): boolean {
    return this.#state?.branches.some(({ id, phase }) => id === branch && phase === "ended") === true;
  }

  #onResponse(branch: number, arrived: SipResponse, from: Flow): void {
    const response = withoutOurVia(arrived);
    if (response === undefined) return; // it ends here, and was not for us
    this.#heardFrom.set(branch, from);
    this.handle({ kind: "response", branch, response });
    const { records } = this.#shell;
    if (records === undefined || !this.#plan.isInitial || !this.#plan.context.isInvite || response.status < 200) return;
    if (response.status < 300) records.started("network", response, "proxy-uac");
    else records.stopped("network", response, response.status === 487 ? "call-canceled" : "call-rejected");
  }

  /** To the caller. */
  #forward(response: SipResponse): void {
    const { transaction } = this.#received;
    const isLate2xx = response.status >= 200 && response.status < 300 && !isListening(transaction);
    // §16.7 step 5: a 2xx goes up although the transaction has had its answer.
    if (isLate2xx && this.#plan.context.isInvite) this.#shell.send(response, transaction.flow, false, () => {});
    else transaction.respond(response);
    const { records } = this.#shell;
    if (records === undefined || !this.#plan.isInitial || !this.#plan.context.isInvite || response.status < 200) return;
    if (response.status < 300) records.started("application", response, "proxy-uas");
    else records.stopped("application", response, response.status === 487 ? "call-canceled" : "call-rejected");
  }

  #report(branch: number, response: SipResponse): void {
    const from = this.#heardFrom.get(branch);
    if (from === undefined) return;
    this.#observer.answered(metaOfArrived(this.#shell, response, from), this.#shell.textOf(response));
  }
}

/** §16.9, §16.3: what a branch that never began counts as. */
const STATUS_OF: Readonly<Record<NoHop["code"], number>> = {
  "next-hop.invalid": 404,
  "next-hop.unsupported": 503,
  "next-hop.self": 482,
};

const isListening = ({ state }: ServerTransaction): boolean => state === "proceeding" || state === "accepted";
