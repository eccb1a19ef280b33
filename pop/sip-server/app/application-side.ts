// The applications' side: connections that come and go, and their frames, each to whoever it is for.

import type { Log } from "../../../kernel/log.ts";
import type { ApplicationHost, ApplicationLink } from "../boundary/application-link.ts";
import { parseCommand } from "../core/drachtio/command.ts";
import * as report from "../core/drachtio/report.ts";
import { RESUME_TAG } from "../core/drachtio/resume.ts";
import { type Applications, FailedAttempts, isSameSecret } from "./applications/applications.ts";
import type { Owner, Owners } from "./applications/owners.ts";
import type { RequestRouting } from "./applications/request-routing.ts";
import type { UnrestoredCalls } from "./checkpoints/unrestored-calls.ts";
import type { UserAgentClient } from "./client/user-agent-client.ts";
import type { DialogStore } from "./dialogs/dialog-store.ts";
import type { Orphans } from "./dialogs/orphans.ts";
import { isSource, type Sources } from "./guard/sources.ts";
import { applicationObserver, type ProxyCommand, type ProxyLayer } from "./proxy/proxy.ts";
import { Resumption } from "./resumption.ts";
import type { UserAgentServer } from "./server/user-agent-server.ts";
import type { Shell } from "./shell/shell.ts";
import type { TimerOwner } from "./shell/timer-wheel.ts";

/** drachtio-srf asks for at least v0.8.2 before it pings. */
const PROTOCOL_VERSION = "v0.9.10-tollgate";

/** A connection that does not say who it is would keep others out. */
const AUTHENTICATE_WITHIN_MS = 5_000;

export interface ApplicationSideParts {
  readonly shell: Shell;
  readonly log: Log;
  readonly secret: string;
  readonly applications: Applications;
  readonly owners: Owners;
  readonly orphans: Orphans;
  readonly dialogs: DialogStore;
  readonly client: UserAgentClient;
  readonly server: UserAgentServer;
  readonly proxy: ProxyLayer;
  readonly routing: RequestRouting;
  readonly sources: Sources;
  readonly unrestored: UnrestoredCalls;
  onSourcesTold(all: readonly string[]): void;
  onBug(input: "frame", error: unknown): void;
}

export class ApplicationSide implements ApplicationHost {
  readonly #parts: ApplicationSideParts;
  readonly #failedAttempts = new FailedAttempts();
  readonly #resumption: Resumption;

  constructor(parts: ApplicationSideParts) {
    this.#parts = parts;
    this.#resumption = new Resumption(parts);
  }

  onOpen(link: ApplicationLink): void {
    if (this.#failedAttempts.isBarred(link.address, this.#parts.shell.clock.nowMs())) {
      this.#parts.shell.counters.add("dropped", 'reason="application-barred"');
      link.close();
      return;
    }
    this.#parts.applications.open(link);
    const stranger: TimerOwner = {
      onTimer: () => {
        if (!this.#parts.applications.isAuthenticated(link)) link.close();
      },
    };
    this.#parts.shell.wheel.start(stranger, "authenticate", AUTHENTICATE_WITHIN_MS);
  }

  onUnusable(link: ApplicationLink, id: string, reason: string): void {
    this.#parts.shell.counters.add("frames_refused", 'verdict="NO"');
    link.send(report.refused(this.#parts.shell.ids.uuid(), id, "NO", reason));
    link.close();
  }

  onPayload(connection: ApplicationLink, payload: string): void {
    try {
      this.#onPayload(connection, payload);
    } catch (error) {
      this.#parts.onBug("frame", error);
    }
  }

  #onPayload(connection: ApplicationLink, payload: string): void {
    const link = this.#parts.routing.linkOf(connection);
    const parsed = parseCommand(payload);
    const id = this.#parts.shell.ids.uuid();
    if (!parsed.ok) {
      const { id: commandId, verdict, reason } = parsed.failure;
      this.#parts.shell.counters.add("frames_refused", `verdict="${verdict}"`);
      connection.send(report.refused(id, commandId, verdict, reason));
      if (verdict === "NO") connection.close();
      return;
    }
    const command = parsed.value;
    if (command.kind === "authenticate") {
      if (!isSameSecret(command.secret, this.#parts.secret)) {
        this.#parts.shell.counters.add("frames_refused", 'verdict="NO"');
        this.#parts.log.warn("application.refused", { link: link.id });
        this.#failedAttempts.note(connection.address, this.#parts.shell.clock.nowMs());
        connection.send(report.refused(id, command.id, "NO", "incorrect secret"));
        connection.close();
        return;
      }
      this.#parts.applications.authenticate(link, command.tags);
      connection.authenticated?.();
      this.#parts.log.info("application.connected", { link: link.id });
      const hostPorts = this.#parts.shell.points.map((point) => point.id).join(",");
      const localHostPorts = this.#parts.shell.points.map((p) => `${p.transport}/${p.address}:${p.port}`).join(",");
      connection.send(report.done(id, command.id, hostPorts, PROTOCOL_VERSION, localHostPorts));
      this.#parts.routing.admit(link);
      const { owner, isBack } = this.#parts.owners.authenticated(link, command.tags);
      if (isBack) this.#parts.log.info("application.returned", { link: link.id, owner: owner.id });
      if (command.tags.includes(RESUME_TAG)) {
        this.#resumption.expect(link);
        if (isBack && owner.open) {
          owner.away(); // its old connection is closed, and it says first what it remembers on the new one
          this.ownerAway(owner);
        }
      } else if (isBack) {
        owner.back(link); // after the hello: what waited for it goes out now
        this.ownerBack(owner);
      }
      return;
    }
    // The C++ server lets a stranger ping and route; we do not.
    if (!this.#parts.applications.isAuthenticated(link)) {
      connection.send(report.refused(id, command.id, "NO", "not authenticated"));
      connection.close();
      return;
    }
    switch (command.kind) {
      case "ping":
        link.send(report.done(id, command.id, "pong"));
        break;
      case "route": {
        const taken = this.#parts.applications.route(link, command.verb);
        link.send(taken ? report.done(id, command.id) : report.refused(id, command.id, "NOK", "too many routes"));
        break;
      }
      case "remove_route":
        this.#parts.applications.unroute(link, command.verb);
        link.send(report.done(id, command.id));
        break;
      case "resume":
        this.#resumption.onCommand(link, id, command);
        break;
      case "proxy":
        this.#restoreFor("", command.transactionId);
        this.#startProxy(link, id, command);
        break;
      case "sources":
        this.#tellSources(link, id, command.id, command.allow);
        break;
      case "send-request":
        this.#restoreFor(command.dialogId, command.transactionId);
        this.#parts.client.request(this.#parts.owners.of(link), command);
        break;
      case "send-response":
        this.#restoreFor("", command.transactionId);
        this.#parts.server.answers.respond(this.#parts.owners.of(link), command);
        break;
    }
  }

  /** The application's name for a request does not tell its call: then it may be any. */
  #restoreFor(dialogId: string, transactionId: string): void {
    const { unrestored } = this.#parts;
    if (unrestored.size === 0) return;
    const callIdEnds = dialogId.lastIndexOf(";from-tag=");
    if (callIdEnds !== -1) unrestored.need(dialogId.slice(0, callIdEnds));
    else if (dialogId !== "" || transactionId !== "") unrestored.needLive();
  }

  onClose(connection: ApplicationLink): void {
    try {
      this.#onClose(connection);
    } catch (error) {
      this.#parts.onBug("frame", error);
    }
  }

  #onClose(connection: ApplicationLink): void {
    const link = this.#parts.routing.linkOf(connection);
    this.#parts.routing.forget(connection);
    this.#resumption.forget(link);
    const wasAuthenticated = this.#parts.applications.isAuthenticated(link);
    const verbs = new Set(this.#parts.applications.verbsOf(link));
    this.#parts.applications.close(link);
    if (!wasAuthenticated) {
      this.#parts.routing.neverCame(link);
      return;
    }
    this.#parts.log.info("application.disconnected", { link: link.id });
    const { away, givenUp } = this.#parts.owners.closed(link, verbs);
    for (const owner of away) this.ownerAway(owner);
    for (const owner of givenUp) this.#parts.orphans.giveUp(owner);
  }

  ownerAway(owner: Owner): void {
    if (!this.isInUse(owner)) {
      const { owners, shell } = this.#parts;
      if (!owners.isExpected(owner)) return owners.forget(owner);
      const expected: TimerOwner = {
        onTimer: () => {
          if (!this.isInUse(owner)) owners.forget(owner);
        },
      };
      shell.wheel.start(expected, "expected", shell.limits.returnWaitMs);
      return;
    }
    this.#parts.server.answers.onOwnerMoved(owner);
    this.#parts.client.onOwnerAway(owner);
    this.#parts.orphans.begin(owner);
  }

  ownerBack(owner: Owner): void {
    this.#parts.orphans.end(owner);
    this.#parts.server.answers.onOwnerMoved(owner);
  }

  #startProxy(link: ApplicationLink, id: string, command: ProxyCommand): void {
    const nok = (reason: string) => link.send(report.refused(id, command.id, "NOK", reason));
    const objection = this.#parts.proxy.objection(command);
    if (objection !== undefined) return nok(objection);
    const received = this.#parts.server.answers.take(command.transactionId, this.#parts.owners.of(link));
    if (received === undefined) return nok(`Unknown transaction id: ${command.transactionId}`);
    const refusal = this.#parts.proxy.begin(received, command, applicationObserver(this.#parts.shell, link, command));
    if (refusal !== undefined) nok(refusal);
  }

  /** Whether an application has a call, or part of one, or has yet to hear of one. */
  isInUse(owner: Owner): boolean {
    if (owner.waitingFrames > 0) return true;
    const [first] = this.#parts.dialogs.ownedBy(owner);
    return first !== undefined || this.#parts.server.answers.isOwing(owner) || this.#parts.client.isOwing(owner);
  }

  #tellSources(link: ApplicationLink, id: string, commandId: string, allow: readonly string[]): void {
    const bad = allow.find((cidr) => !isSource(cidr));
    if (bad !== undefined) {
      link.send(report.refused(id, commandId, "NOK", `not an address or prefix: ${bad}`));
      return;
    }
    const all = this.#parts.applications.tellSources(link, allow);
    this.#parts.sources.tell(all);
    this.#parts.onSourcesTold(all);
    link.send(report.done(id, commandId));
  }
}
