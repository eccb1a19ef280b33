// Requests that go through us: those an application has us proxy, and those inside the dialogs that came of them.
// RFC 3261 §16. The decisions are in core/proxy; here they are carried out.

import { createHmac, timingSafeEqual } from "node:crypto";
import type { ApplicationLink } from "../../boundary/application-link.ts";
import type { Command } from "../../core/drachtio/command.ts";
import * as report from "../../core/drachtio/report.ts";
import type { Flow, ListenPoint } from "../../core/flow.ts";
import type { ProxyLimits } from "../../core/limits.ts";
import { responseTo } from "../../core/message/build.ts";
import { type Header, header, headersOf, type SipRequest } from "../../core/message/message.ts";
import { bareHost, parseUri, type SipUri, uriParameter } from "../../core/message/uri.ts";
import { hopOf, targetOfAddress } from "../../core/next-hop/hop.ts";
import { breadthOf, forwarded, nextOf, passageOf, unsupportedDemands } from "../../core/proxy/forward.ts";
import { isLooped, loopMark, markedBranch } from "../../core/proxy/loop.ts";
import { isOneOfUs } from "../../core/user-agent/destination.ts";
import { contactUriOf, ourVia } from "../../core/user-agent/outgoing.ts";
import { responseFlow } from "../../core/user-agent/response-flow.ts";
import type { ClientRequests } from "../next-hops/client-requests.ts";
import type { Shell } from "../shell/shell.ts";
import type { ServerTransaction } from "../transactions/server-transaction.ts";
import type { TransactionLayer } from "../transactions/transaction-layer.ts";
import {
  type Plan,
  ProxiedRequest,
  type ProxiedRequestParts,
  type ProxyObserver,
  type Received,
  type Way,
} from "./proxied-request.ts";

export type ProxyCommand = Extract<Command, { kind: "proxy" }>;
/** What is asked for, whoever asks: an application's frame or an HTTP answer. */
export type ProxyOrder = Omit<ProxyCommand, "id" | "kind" | "transactionId">;

export interface ProxyParts extends ProxiedRequestParts {
  readonly limits: ProxyLimits;
  /** What our Record-Routes are signed with: only requests of dialogs that went through us do so again. */
  readonly key: string;
}

/** In our Record-Route URIs: the proof that we wrote them, for this Call-ID. */
const PROOF = "tgk";
const PROOF_CHARACTERS = 16;

export class ProxyLayer {
  readonly #shell: Shell;
  readonly #transactions: TransactionLayer;
  readonly #requests: ClientRequests;
  readonly #limits: ProxyLimits;
  readonly #key: string;
  /** By the transaction of the INVITE: CANCEL looks here. */
  readonly #invites = new Map<ServerTransaction, ProxiedRequest>();
  #count = 0;

  constructor(parts: ProxyParts) {
    this.#shell = parts.shell;
    this.#transactions = parts.transactions;
    this.#requests = parts.requests;
    this.#limits = parts.limits;
    this.#key = parts.key;
  }

  /** Requests on their way. */
  get count(): number {
    return this.#count;
  }

  /** Why none of it can be done; undefined when it can. Asked before the request is taken from the user agent. */
  objection(order: ProxyOrder): string | undefined {
    for (const uri of order.destinations) {
      const hop = hopOf(uri);
      if (!hop.ok) return hop.failure.reason;
      if (!hop.value.isAddress) continue;
      const { transport, address, port } = targetOfAddress(hop.value);
      if (isOneOfUs(this.#shell.points, transport, address, port)) return "can not send request to myself";
    }
    return undefined;
  }

  /** @returns why it was answered instead of proxied, undefined when it is on its way */
  begin(received: Received, order: ProxyOrder, observer: ProxyObserver): string | undefined {
    const { request, transaction, point } = received;
    const passage = passageOf(request, this.#isOurs, () => false);
    const mark = loopMark(request, passage.routes);
    const { given, breadth } = breadthOf(request);
    const demands = unsupportedDemands(request);
    const refuse = (status: number, headers: readonly Header[] = []): string => {
      const response = responseTo(request, { status, toTag: this.#shell.ids.tag(), headers });
      transaction.respond(response);
      this.#shell.records?.stopped("application", response, "call-rejected");
      return `${status} ${response.reason} sent`;
    };
    if (hopsLeft(request) === 0) return refuse(483); // §16.3 step 3
    if (isLooped(request, mark, this.#isOurVia)) return refuse(482); // §16.3 step 4
    if (demands.length > 0) return refuse(420, [header("Unsupported", "unsupported", demands.join(", "))]);
    if (breadth === 0) return refuse(440); // RFC 5393 §5.3.3
    const isOurName = namesUs(request.uri, this.#isOurs);
    const isRegister = request.method === "REGISTER";
    const proof = order.remainInDialog && !isRegister ? this.#proofOf(request.callId) : undefined;
    this.#start(received, observer, {
      context: {
        timing: this.#shell.timing,
        isInvite: request.method === "INVITE",
        forking: order.forking,
        followRedirects: order.followRedirects,
        provisionalTimeoutMs: order.provisionalTimeoutMs,
        finalTimeoutMs: order.finalTimeoutMs,
        timerCMs: this.#limits.timerCMs,
        deadlineMs: this.#shell.limits.unansweredT1s * this.#shell.timing.t1Ms,
        targetsMax: this.#limits.targetsMax,
        breadth,
      },
      targets: order.destinations.map((uri) => ({ uri, isRequestUri: isOurName })),
      pointId: undefined,
      wayTo: (target) => ({
        uri: target.isRequestUri ? target.uri : request.uri,
        routes: passage.routes,
        nextHop: target.uri,
      }),
      copy: (way, share) => (out, branch) =>
        forwarded(request, {
          uri: way.uri,
          routes: way.routes,
          via: ourVia(out, markedBranch(branch, mark)),
          recordRoutes: proof === undefined ? [] : recordRoutesOf(point, out, proof),
          path: order.remainInDialog && isRegister ? `<${contactUriOf(out)};lr>` : undefined,
          headers: order.headers,
          breadth: given || order.forking === "simultaneous" ? share : undefined,
        }),
      isInitial: true,
    });
    return undefined;
  }

  /** Its caller has cancelled it. */
  cancel(invite: ServerTransaction, cancel: SipRequest): void {
    this.#invites.get(invite)?.handle({ kind: "cancel", reasons: headersOf(cancel, "reason") });
  }

  /**
   * A request inside a dialog we once proxied goes on: its Route (or, after a strict router, its Request-URI) is one we
   * wrote. §16.4, §16.6. An ACK is forwarded without state, everything else with a transaction.
   *
   * @returns false when it is not one of these
   */
  passes(request: SipRequest, from: Flow, point: ListenPoint): boolean {
    if (request.toTag === "" || request.method === "CANCEL" || !mayBeRouted(request)) return false;
    const isGenuine = this.#genuine(request.callId);
    const passage = passageOf(request, this.#isOurs, isGenuine);
    const [first] = passage.passed;
    if (first === undefined || !isGenuine(first)) return false;
    const mark = loopMark(request, passage.routes);
    const pointId = this.#pointNamed(passage.passed.at(-1))?.id;
    const copy = (way: Way) => (out: ListenPoint, branch: string) =>
      forwarded(request, {
        uri: way.uri,
        routes: way.routes,
        via: ourVia(out, markedBranch(branch, mark)),
        recordRoutes: [],
        path: undefined,
        headers: [],
        breadth: undefined,
      });
    const way = nextOf(passage);
    if (request.method === "ACK") {
      this.#requests.locate({ uri: way.nextHop, pointId }, (located) => {
        const ack = located.ok ? this.#requests.prepare(located.value, copy(way)) : undefined;
        if (ack?.ok) ack.value.transmit(() => {});
      });
      return true;
    }
    const flow = responseFlow(request, from, this.#shell.trusts);
    const refuse = (status: number): boolean => {
      this.#shell.send(responseTo(request, { status, toTag: this.#shell.ids.tag() }), flow, false, () => {});
      return true;
    };
    if (this.#transactions.full) return refuse(503);
    if (hopsLeft(request) === 0) return refuse(483);
    if (isLooped(request, mark, this.#isOurVia)) return refuse(482);
    const transaction = this.#transactions.startServer(request, flow, DEAF_SERVER);
    this.#start({ request, from, point, transaction }, SILENT, {
      context: {
        timing: this.#shell.timing,
        isInvite: request.method === "INVITE",
        forking: "serial",
        followRedirects: false,
        provisionalTimeoutMs: undefined,
        finalTimeoutMs: undefined,
        timerCMs: this.#limits.timerCMs,
        deadlineMs: this.#shell.limits.unansweredT1s * this.#shell.timing.t1Ms,
        targetsMax: 1,
        breadth: 1,
      },
      targets: [{ uri: way.nextHop, isRequestUri: false }],
      pointId,
      wayTo: () => way,
      copy,
      isInitial: false,
    });
    if (request.method === "BYE") this.#shell.records?.stopped("network", request, "normal-release");
    return true;
  }

  #start(received: Received, observer: ProxyObserver, plan: Plan): void {
    const { transaction } = received;
    const parts = { shell: this.#shell, transactions: this.#transactions, requests: this.#requests };
    const proxied = new ProxiedRequest(parts, received, observer, plan, () => {
      this.#invites.delete(transaction);
      this.#count--;
    });
    if (plan.context.isInvite) this.#invites.set(transaction, proxied);
    this.#count++;
    proxied.begin();
  }

  readonly #isOurs = (uri: SipUri): boolean => this.#pointNamed(uri) !== undefined;

  readonly #isOurVia = ({ host, port }: { readonly host: string; readonly port: number | undefined }): boolean =>
    this.#shell.points.some((point) => point.host === host && point.port === (port ?? 5060));

  #pointNamed(uri: SipUri | undefined): ListenPoint | undefined {
    if (uri === undefined) return undefined;
    const host = bareHost(uri.host);
    const transport = (uriParameter(uri, "transport") ?? (uri.scheme === "sips" ? "tls" : "udp")).toLowerCase();
    const port = uri.port ?? (transport === "tls" || transport === "wss" ? 5061 : 5060);
    let other: ListenPoint | undefined;
    for (const point of this.#shell.points) {
      if (point.port !== port || (point.address !== host && bareHost(point.host) !== host)) continue;
      if (point.transport === transport) return point;
      other ??= point;
    }
    return other;
  }

  #proofOf(callId: string): string {
    const mac = createHmac("sha256", this.#key).update(`record-route|${callId}`).digest("hex");
    return mac.slice(0, PROOF_CHARACTERS);
  }

  #genuine(callId: string): (uri: SipUri) => boolean {
    let proof: Buffer | undefined;
    return (uri) => {
      const given = uriParameter(uri, PROOF);
      if (given === undefined || given.length !== PROOF_CHARACTERS || this.#pointNamed(uri) === undefined) return false;
      proof ??= Buffer.from(this.#proofOf(callId), "latin1");
      return timingSafeEqual(Buffer.from(given, "latin1"), proof);
    };
  }
}

/** Tells an application, by drachtio's frames. One that has gone waits for nothing: the request goes on without it. */
export function applicationObserver(
  shell: Shell,
  link: ApplicationLink,
  { id, fullResponse }: Pick<ProxyCommand, "id" | "fullResponse">,
): ProxyObserver {
  return {
    answered: (meta, text) => {
      if (fullResponse && link.open) link.send(report.branchAnswered(shell.ids.uuid(), id, meta, text));
    },
    done: () => {
      if (link.open) link.send(report.done(shell.ids.uuid(), id, "done"));
    },
  };
}

const SILENT: ProxyObserver = { answered: () => {}, done: () => {} };
const DEAF_SERVER = { onAck: () => {}, onFailed: () => {} };

/** Topmost first: the address it leaves from, below it the one it came to, when that is another (RFC 5658 §3.2). */
function recordRoutesOf(inbound: ListenPoint, outbound: ListenPoint, proof: string): string[] {
  const value = (point: ListenPoint) => `<${contactUriOf(point)};lr;${PROOF}=${proof}>`;
  return inbound.id === outbound.id ? [value(outbound)] : [value(outbound), value(inbound)];
}

/** A look before anything is parsed: most requests are not on their way through us. */
function mayBeRouted(request: SipRequest): boolean {
  if (request.uri.includes(PROOF)) return true;
  for (const { key, value } of request.headers) if (key === "route" && value.includes(PROOF)) return true;
  return false;
}

function namesUs(text: string, isOurs: (uri: SipUri) => boolean): boolean {
  const uri = parseUri(text);
  return uri !== undefined && isOurs(uri);
}

function hopsLeft(request: SipRequest): number {
  const text = request.headers.find(({ key }) => key === "max-forwards")?.value;
  return text === undefined ? 70 : Number(text);
}
