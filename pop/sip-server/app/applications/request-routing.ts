// Which application gets a new request: one that is connected and asked for its method, or, where the configuration names
// a handler for the method, one we connect to, or whatever an HTTP handler says.

import type { Log } from "../../../../kernel/log.ts";
import type { Outcome } from "../../../../kernel/outcome.ts";
import type { ApplicationHost, ApplicationLink } from "../../boundary/application-link.ts";
import type { ApplicationAddress, HandlerFailure, RequestHandlers } from "../../boundary/request-handlers.ts";
import {
  type HandlerInstruction,
  parseInstruction,
  questionUrl,
  type RequestHandler,
} from "../../core/drachtio/request-handler.ts";
import type { Flow } from "../../core/flow.ts";
import type { HandlerLimits } from "../../core/limits.ts";
import { type Header, header, type SipRequest } from "../../core/message/message.ts";
import type { Received } from "../proxy/proxied-request.ts";
import type { ProxyLayer } from "../proxy/proxy.ts";
import type { Shell } from "../shell/shell.ts";
import type { TimerOwner } from "../shell/timer-wheel.ts";
import type { Applications } from "./applications.ts";
import { OutboundApplication } from "./outbound-application.ts";
import type { Owner } from "./owners.ts";

/** What the user agent lets be done to a request that no application has answered. */
export interface UndecidedRequests {
  /** False: there is no such request any more. */
  refuse(transactionId: string, status: number, reason?: string, headers?: readonly Header[]): boolean;
  reassign(transactionId: string, to: Owner): boolean;
  isPending(transactionId: string): boolean;
  take(transactionId: string): Received | undefined;
}

export interface RoutingParts {
  readonly applications: Applications;
  readonly handlers: readonly RequestHandler[];
  readonly reach: RequestHandlers;
  readonly limits: HandlerLimits;
  readonly log: Log;
  /** Told of a bug met while an answer was worked off. */
  readonly failed: (error: unknown) => void;
  /** Hears of the frames and ends of connections we make. */
  readonly host: ApplicationHost;
  readonly owners: {
    of(link: ApplicationLink): Owner;
    /** Whether its application still has anything to do with a call. */
    isInUse(link: ApplicationLink): boolean;
    /** Nobody will speak on it. */
    release(link: ApplicationLink): void;
  };
}

export class RequestRouting {
  readonly #parts: RoutingParts;
  /** Of connections we made, by the connection's name. */
  readonly #outbound = new Map<string, OutboundApplication>();
  #asking = 0;
  #sequence = 0;
  #shell: Shell | undefined;
  #requests: UndecidedRequests | undefined;
  #proxy: ProxyLayer | undefined;

  constructor(parts: RoutingParts) {
    this.#parts = parts;
  }

  /** The rest of the server, which needs this one first. */
  serve(shell: Shell, requests: UndecidedRequests, proxy: ProxyLayer): void {
    this.#shell = shell;
    this.#requests = requests;
    this.#proxy = proxy;
  }

  /** Whether somebody would take requests of that verb. A handler of the configuration is believed to be there. */
  takes(verb: string): boolean {
    const { applications, handlers } = this.#parts;
    const method = verb.toUpperCase();
    return handlers.some(({ methods }) => methods.length === 0 || methods.includes(method)) || applications.takes(verb);
  }

  /** undefined: nobody wants it. */
  pick(request: SipRequest, from: Flow): ApplicationLink | undefined {
    const { handlers, applications, limits } = this.#parts;
    if (handlers.length === 0) return applications.pick(request.method.toLowerCase());
    const handler = handlers.find(({ methods }) => methods.length === 0 || methods.includes(request.method));
    if (handler === undefined) return applications.pick(request.method.toLowerCase());
    if (this.#outbound.size + this.#asking >= limits.connectionsMax) {
      this.#shell?.counters.add("handler_failures", 'because="too-many"');
      return undefined;
    }
    const application = new OutboundApplication(`out-${++this.#sequence}`);
    if (handler.kind === "connect") this.#dial(application, handler);
    else this.#ask(application, handler, request, from);
    return application;
  }

  /** The request has its name: whatever becomes of the application is told to that one. */
  opened(link: ApplicationLink, transactionId: string): void {
    if (link instanceof OutboundApplication) link.transactionId = transactionId;
  }

  /** The application behind a connection: our own object for those we made. */
  linkOf(connection: ApplicationLink): ApplicationLink {
    return this.#outbound.size === 0 ? connection : (this.#outbound.get(connection.id) ?? connection);
  }

  admit(link: ApplicationLink): void {
    if (link instanceof OutboundApplication) link.admit();
  }

  /** @returns whether it was one of ours */
  forget(connection: ApplicationLink): boolean {
    return this.#outbound.delete(connection.id);
  }

  /** It closed before it said who it is: the request it was for gets 480, as from drachtio. */
  neverCame(link: ApplicationLink): void {
    if (!(link instanceof OutboundApplication)) return;
    this.#shell?.counters.add("handler_failures", 'because="application-away"');
    this.#requests?.refuse(link.transactionId, 480);
    this.#parts.owners.release(link);
  }

  #dial(application: OutboundApplication, to: ApplicationAddress): void {
    const { reach, applications, host, limits } = this.#parts;
    const connection = reach.dial({ host: to.host, port: to.port, tls: to.tls }, host);
    application.attach(connection);
    this.#outbound.set(connection.id, application);
    applications.open(application);
    const stranger: TimerOwner = {
      onTimer: () => {
        if (!applications.isAuthenticated(application)) connection.close();
        else this.#watch(application);
      },
    };
    this.#shell?.wheel.start(stranger, "authenticate", limits.authenticateMs);
  }

  /** A connection we made is let go when its application has had nothing to do for a while. */
  #watch(application: OutboundApplication): void {
    const { limits, owners } = this.#parts;
    let wasIdle = false;
    const watch: TimerOwner = {
      onTimer: () => {
        const connection = application.connection;
        if (connection === undefined || !this.#outbound.has(connection.id)) return;
        const isIdle = !owners.isInUse(application);
        if (isIdle && wasIdle) return connection.close();
        wasIdle = isIdle;
        this.#shell?.wheel.start(watch, "idle", limits.idleMs / 2);
      },
    };
    this.#shell?.wheel.start(watch, "idle", limits.idleMs / 2);
  }

  #ask(
    application: OutboundApplication,
    handler: Extract<RequestHandler, { kind: "ask" }>,
    request: SipRequest,
    from: Flow,
  ): void {
    const url = questionUrl(handler, request, { address: from.address, protocol: from.transport });
    const body = handler.method === "POST" ? (this.#shell?.textOf(request) ?? "") : "";
    this.#asking++;
    void this.#parts.reach.ask({ url, method: handler.method, body }).then((answer) => {
      this.#asking--;
      try {
        this.#onAnswer(application, answer);
      } catch (error) {
        this.#parts.failed(error); // a rejection that nobody hears would end the process
      }
      if (application.connection === undefined) this.#parts.owners.release(application);
    });
  }

  #onAnswer(application: OutboundApplication, answer: Outcome<string, HandlerFailure>): void {
    const requests = this.#requests;
    const { transactionId } = application;
    if (requests?.isPending(transactionId) !== true) return; // cancelled meanwhile
    const fault = (status: number, code: string, detail: string) => {
      this.#shell?.counters.add("handler_failures", `because="${code}"`);
      this.#parts.log.warn("request-handler.failed", { code, detail });
      requests?.refuse(transactionId, status);
    };
    if (!answer.ok) {
      const { code, detail } = answer.failure;
      return fault(code === "handler.away" ? 480 : 500, code, detail);
    }
    const instruction = parseInstruction(answer.value);
    if (instruction.ok) this.#follow(application, instruction.value, fault);
    else fault(500, instruction.failure.code, instruction.failure.detail);
  }

  #follow(
    application: OutboundApplication,
    instruction: HandlerInstruction,
    fault: (status: number, code: string, detail: string) => void,
  ): void {
    const { transactionId } = application;
    switch (instruction.action) {
      case "reject":
        this.#requests?.refuse(transactionId, instruction.status, instruction.reason);
        break;
      case "redirect": {
        const contacts = instruction.contacts.map((uri) => header("Contact", "contact", `<${uri}>`));
        this.#requests?.refuse(transactionId, 302, undefined, contacts);
        break;
      }
      case "proxy": {
        const { action: _, ...order } = instruction;
        const asked = { ...order, fullResponse: false, headers: [] };
        const objection = this.#proxy?.objection(asked);
        if (objection !== undefined) return fault(500, "handler.instruction-unusable", objection);
        const received = this.#requests?.take(transactionId);
        if (received !== undefined) this.#proxy?.begin(received, asked, NOBODY);
        break;
      }
      case "connect":
        this.#dial(application, instruction);
        break;
      case "tag": {
        const link = this.#parts.applications.pickTagged(instruction.tag);
        if (link === undefined) return fault(480, "handler.no-such-tag", instruction.tag);
        if (this.#requests?.reassign(transactionId, this.#parts.owners.of(link))) application.handTo(link);
        break;
      }
    }
  }
}

const NOBODY = { answered: () => {}, done: () => {} };
