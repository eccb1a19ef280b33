// The server, put together: datagrams in, frames out, and back. One thread; every input is worked off before the next.

import type { Latency } from "../../../kernel/latency.ts";
import type { Log } from "../../../kernel/log.ts";
import { fail, type Outcome, succeed } from "../../../kernel/outcome.ts";
import { type Ownership, soleOwner } from "../../../kernel/ownership.ts";
import type { Clock } from "../../../kernel/time.ts";
import type { CheckpointStore } from "../../checkpoint/boundary/checkpoint-store.ts";
import type { ApplicationHost, ApplicationLink } from "../boundary/application-link.ts";
import type { Ids } from "../boundary/ids.ts";
import type { MessageTap } from "../boundary/message-tap.ts";
import type { NameService } from "../boundary/name-service.ts";
import type { BanAdmin, Observable } from "../boundary/observable.ts";
import type { RequestHandlers } from "../boundary/request-handlers.ts";
import type { SipReceiver, SipTransport } from "../boundary/sip-transport.ts";
import { replacesOf } from "../core/dialog/replaces.ts";
import type { RequestHandler } from "../core/drachtio/request-handler.ts";
import { defaultPort, type Flow, isNamed, isWebSocket, type ListenPoint } from "../core/flow.ts";
import { type GuardLimits, POINTS } from "../core/guard/limits.ts";
import type { HandlerLimits, NextHopLimits, ProxyLimits, UserAgentLimits } from "../core/limits.ts";
import { refusalText, responseTo, spreadOf } from "../core/message/build.ts";
import type { Malformed } from "../core/message/malformed.ts";
import { hasHeader, header, type SipMessage, type SipRequest, type SipResponse } from "../core/message/message.ts";
import { parameter, splitList } from "../core/message/parameters.ts";
import { type ParseLimits, parseMessage } from "../core/message/parse.ts";
import { serialise } from "../core/message/serialise.ts";
import { parseVia, replaceFirstVia, withSource } from "../core/message/via.ts";
import { OVERLOAD_LIMITS, type OverloadLimits } from "../core/overload/new-request-rate.ts";
import { isMarkedBranch } from "../core/proxy/loop.ts";
import { CSEQ_RESERVE, type EndpointRecord, type RecordUnusable } from "../core/record/record.ts";
import { RECORD_VERSION, type RecordVersion, writtenFor } from "../core/record/versions.ts";
import type { SessionTimerPolicy } from "../core/session/negotiation.ts";
import { type TraceLimits, WireTrace } from "../core/trace/wire-trace.ts";
import { timingFrom } from "../core/transaction/timing.ts";
import { responseFlow } from "../core/user-agent/response-flow.ts";
import { ApplicationSide } from "./application-side.ts";
import { Applications } from "./applications/applications.ts";
import { type Owner, Owners } from "./applications/owners.ts";
import { RequestRouting } from "./applications/request-routing.ts";
import { Checkpoints, SOURCES_FIELD } from "./checkpoints/checkpoints.ts";
import { UnrestoredCalls } from "./checkpoints/unrestored-calls.ts";
import { UserAgentClient } from "./client/user-agent-client.ts";
import { DialogStore } from "./dialogs/dialog-store.ts";
import { DialogUsages } from "./dialogs/dialog-usages.ts";
import { Orphans } from "./dialogs/orphans.ts";
import { DigestGuards } from "./guard/digest-guards.ts";
import { Guard } from "./guard/guard.ts";
import { Overload } from "./guard/overload.ts";
import { type AccessSettings, OPEN_ACCESS, RequestGate } from "./guard/request-gate.ts";
import { Sources, sourcesIn } from "./guard/sources.ts";
import { ClientRequests } from "./next-hops/client-requests.ts";
import { NextHops } from "./next-hops/next-hops.ts";
import { ResponseRoutes } from "./next-hops/response-routes.ts";
import { ProxyLayer } from "./proxy/proxy.ts";
import { UserAgentServer } from "./server/user-agent-server.ts";
import { CallRecords, type RecordShell } from "./shell/call-records.ts";
import { Counters, methodLabel } from "./shell/counters.ts";
import { MessageCounts } from "./shell/message-counts.ts";
import type { Shell } from "./shell/shell.ts";
import { type Alarm, TimerWheel } from "./shell/timer-wheel.ts";
import { type Restoring, restoreRecord, type StateParts, takeRecord } from "./state-records.ts";
import { TransactionLayer } from "./transactions/transaction-layer.ts";

export interface EndpointSettings {
  readonly secret: string;
  readonly t1Ms: number;
  readonly trustedSources: "any" | "told";
  readonly trace: TraceLimits;
  readonly parse: ParseLimits;
  readonly transactionsMax: number;
  readonly dialogsMax: number;
  readonly limits: UserAgentLimits;
  readonly sessionTimer: SessionTimerPolicy;
  /** Rates, points and bans by source; every source gets through when left out. */
  readonly guard?: GuardSettings;
  readonly overload?: OverloadLimits;
  /** Open to all when left out. */
  readonly access?: AccessSettings;
  /** Event packages an application gets in a call without a subscription; "*": all. Default: those known to be sent so. */
  readonly unsolicitedEvents?: readonly string[] | undefined;
  readonly proxy: ProxyLimits;
  readonly handlers: readonly RequestHandler[];
  readonly handlerLimits: HandlerLimits;
  /** Whether call records are made for applications that route them. */
  readonly records: boolean;
  /** In which version calls are written down: an older one while a host may yet go back to what it ran before. */
  readonly writeVersion?: RecordVersion | undefined;
}

export interface BookRestored {
  calls: number;
  dialogs: number;
  transactions: number;
  unusable: number;
}

export interface GuardSettings {
  readonly limits: GuardLimits;
  /** Addresses and prefixes, besides those that applications tell. */
  readonly trusted: readonly string[];
}

export interface EndpointParts {
  readonly settings: EndpointSettings;
  readonly clock: Clock;
  readonly alarm: Alarm;
  readonly ids: Ids;
  readonly log: Log;
  /** Sees every message, when somebody captures. */
  readonly tap?: MessageTap | undefined;
  readonly names: NameService;
  readonly nextHops: NextHopLimits;
  readonly reach: RequestHandlers;
  /** Where calls are written down for a next owner; undefined: nowhere. */
  readonly checkpoints?: CheckpointStore | undefined;
  /** While it is not held nothing is read, and nothing sent. Default: always. */
  readonly ownership?: Ownership | undefined;
}

export class Endpoint implements SipReceiver, ApplicationHost, Observable {
  readonly counters = new Counters();
  readonly messages = new MessageCounts();
  readonly trace: WireTrace;
  readonly wheel: TimerWheel;
  readonly #parts: EndpointParts;
  readonly #shell: Shell;
  readonly #transports = new Map<string, SipTransport>();
  readonly #points: ListenPoint[] = [];
  readonly #transactions: TransactionLayer;
  readonly #nextHops: NextHops;
  readonly #dialogs: DialogStore;
  readonly #applications = new Applications();
  readonly #owners: Owners;
  readonly #client: UserAgentClient;
  readonly #server: UserAgentServer;
  readonly #proxy: ProxyLayer;
  readonly #routing: RequestRouting;
  readonly #side: ApplicationSide;
  readonly #guard: Guard | undefined;
  readonly #overload: Overload;
  readonly #sources: Sources;
  readonly #checkpoints: Checkpoints | undefined;
  readonly #unrestored: UnrestoredCalls;
  /** What has been taken up of the book so far. */
  readonly #bookRestored: BookRestored = { calls: 0, dialogs: 0, transactions: 0, unusable: 0 };
  readonly #ownersReturning = new Set<Owner>();
  #onBookRestored: ((restored: BookRestored) => void) | undefined;
  readonly #ownership: Ownership;
  #lastMessage: SipMessage | undefined;
  #lastText = "";
  #hasToldMute = false;
  #isSilenced = false;
  #isStopped = false;
  #second = -1;
  #secondText = "";

  constructor(parts: EndpointParts) {
    this.#parts = parts;
    const { settings, clock } = parts;
    this.trace = new WireTrace(settings.trace);
    this.wheel = new TimerWheel(clock, parts.alarm, (error) => this.#onBug("timer", error));
    this.#sources = new Sources(settings.trustedSources, settings.guard?.trusted ?? [], this.counters);
    if (settings.guard !== undefined)
      this.#guard = new Guard(settings.guard.limits, clock, this.counters, (address) =>
        this.#sources.isTrusted(address),
      );
    this.#overload = new Overload(settings.overload ?? OVERLOAD_LIMITS);
    this.#shell = {
      clock,
      timing: timingFrom(settings.t1Ms),
      wheel: this.wheel,
      counters: this.counters,
      ids: parts.ids,
      points: this.#points,
      limits: settings.limits,
      sessionTimer: settings.sessionTimer,
      point: (id) => this.#point(id),
      send: (message, flow, again, failed) => this.#send(message, flow, again, failed),
      changed: (callId) => this.#checkpoints?.touched(callId),
      connectedTo: (address, port) => this.#connectedTo(address, port),
      textOf: (message) => this.#textOf(message),
      records: settings.records ? new CallRecords(this.#recordShell()) : undefined,
      admits: (address) => this.admits(address),
      trusts: (address) => this.#sources.isTrusted(address),
      credentialsRefused: (request, from) => {
        if (hasHeader(request, "authorization") || hasHeader(request, "proxy-authorization"))
          this.#guard?.penalise(from.address, POINTS.credentials);
      },
      timeOfDay: () => this.#timeOfDay(),
    };
    const shell = this.#shell;
    const nextHops = new NextHops({
      shell,
      names: parts.names,
      limits: parts.nextHops,
      failed: (error) => this.#onBug("name", error),
    });
    const responseRoutes = new ResponseRoutes(shell, nextHops);
    this.#unrestored = new UnrestoredCalls(this.wheel, clock, {
      restore: (callId, text) => this.#restoreCall(callId, text),
      restored: () => this.#restoredSome(),
    });
    this.#nextHops = nextHops;
    this.#transactions = new TransactionLayer({
      timing: shell.timing,
      wheel: this.wheel,
      transactionsMax: settings.transactionsMax,
      send: shell.send,
      elsewhere: (response, tried, failed) => responseRoutes.elsewhere(response, tried, failed),
    });
    this.#dialogs = new DialogStore(settings.dialogsMax);
    const requests = new ClientRequests({ shell, transactions: this.#transactions, nextHops });
    const owners = new Owners(clock, settings.limits);
    const usages = new DialogUsages(shell, this.#dialogs, settings.unsolicitedEvents);
    const common = { shell, transactions: this.#transactions, dialogs: this.#dialogs, requests, owners, usages };
    const access = settings.access ?? OPEN_ACCESS;
    const { passwords } = access;
    const client = new UserAgentClient({ ...common, passwords, onOwnerBack: (owner) => this.#side.ownerBack(owner) });
    const guards = new DigestGuards(access.guards, access.nonceKey, clock, this.counters);
    const gate = new RequestGate(access, this.#dialogs, guards, this.counters);
    const orphans = new Orphans(shell, this.#dialogs, owners, client, (error) => this.#onBug("timer", error));
    this.#owners = owners;
    this.#client = client;
    this.#routing = new RequestRouting({
      applications: this.#applications,
      handlers: settings.handlers,
      reach: parts.reach,
      limits: settings.handlerLimits,
      log: parts.log,
      failed: (error) => this.#onBug("handler", error),
      host: this,
      owners: {
        of: (link) => owners.of(link),
        isInUse: (link) => this.#side.isInUse(owners.of(link)),
        release: (link) => {
          for (const owner of owners.closed(link, new Set()).away) owners.forget(owner);
        },
      },
    });
    this.#server = new UserAgentServer({ ...common, takers: this.#routing, orphans, client, gate });
    this.#proxy = new ProxyLayer({ ...common, limits: settings.proxy, key: settings.secret });
    this.#server.onForeignCancel = (invite, cancel) => this.#proxy.cancel(invite, cancel);
    this.#routing.serve(shell, this.#server.answers, this.#proxy);
    this.#side = new ApplicationSide({
      shell,
      log: parts.log,
      secret: settings.secret,
      applications: this.#applications,
      owners,
      orphans,
      dialogs: this.#dialogs,
      client,
      server: this.#server,
      proxy: this.#proxy,
      routing: this.#routing,
      sources: this.#sources,
      unrestored: this.#unrestored,
      onSourcesTold: (all) => {
        this.#guard?.reclassify();
        this.#checkpoints?.sourcesTold(all);
      },
      onBug: (input, error) => this.#onBug(input, error),
    });
    this.#ownership = parts.ownership ?? soleOwner;
    if (parts.checkpoints === undefined) return;
    const checkpoints = new Checkpoints(parts.checkpoints, {
      holds: (callId) => this.knows(callId),
      textOf: (callId) => writtenFor(this.exportState(callId), parts.settings.writeVersion ?? RECORD_VERSION),
    });
    this.#checkpoints = checkpoints;
    this.#dialogs.onLastEnded = (callId) => checkpoints.ended(callId);
    this.#transactions.onLastEnded = (callId) => checkpoints.ended(callId);
  }

  /** What another process needs to go on with these calls: JSON. @param callId one of them; default: all */
  exportState(callId?: string): EndpointRecord {
    if (callId === undefined) this.#unrestored.needAll();
    else this.#unrestored.need(callId);
    return takeRecord(this.#state, callId);
  }

  /**
   * Takes calls up that another process has recorded. Their applications have `orphanGraceMs` to connect.
   * @fails record.unusable: nothing has been taken up
   */
  restoreState(
    record: unknown,
    restoring?: Restoring,
  ): Outcome<{ readonly dialogs: number; readonly transactions: number }, RecordUnusable> {
    const restored = restoreRecord(this.#state, record, restoring);
    if (!restored.ok) return restored;
    const { owners, dialogs, transactions } = restored.value;
    for (const owner of owners) this.#side.ownerAway(owner);
    return succeed({ dialogs, transactions });
  }

  /**
   * Takes up a whole book of an owner before us, as the checkpoint store has it. Before any socket is open: see `announce`.
   * What cannot be read is logged, counted, and left out.
   */
  restoreBook(book: ReadonlyMap<string, string>): BookRestored {
    this.openBook(book, () => {});
    this.#unrestored.needAll();
    return this.#bookRestored;
  }

  /** The same a little at a time, and each call at once when something names it. @param then when all have been taken up */
  openBook(book: ReadonlyMap<string, string>, then: (restored: BookRestored) => void): void {
    this.#onBookRestored = then;
    for (const [callId, text] of book)
      if (callId === SOURCES_FIELD) this.#restoreSources(text);
      else this.#unrestored.put(callId, text);
    this.#reserve();
    if (this.#unrestored.size === 0) this.#restoredSome();
    else this.#unrestored.begin();
  }

  /** The application of this service is coming: new calls wait for it for a while. @param key as it names its process */
  expectApplication(key: string): void {
    this.#owners.restored({ name: `${key}#expected`, key });
  }

  #restoreCall(callId: string, text: string): void {
    const counts = this.#bookRestored;
    const restored = this.#restoreText(text);
    if (restored.ok) {
      const { dialogs, transactions, owners } = restored.value;
      counts.calls++;
      counts.dialogs += dialogs;
      counts.transactions += transactions;
      for (const owner of owners) this.#ownersReturning.add(owner);
      if (dialogs > 0) this.#checkpoints?.restored(callId);
    } else {
      counts.unusable++;
      this.counters.add("records_unusable");
      this.#parts.log.error("record.unusable", { callId, reason: restored.failure.reason });
    }
    // Also of those that have ended by now, or cannot be read: the book is what lives here.
    this.#checkpoints?.ended(callId);
  }

  #restoredSome(): void {
    this.#reserve();
    const owners = [...this.#ownersReturning];
    this.#ownersReturning.clear();
    for (const owner of owners) if (!owner.open) this.#side.ownerAway(owner);
    if (this.#unrestored.size > 0) return;
    const told = this.#onBookRestored;
    this.#onBookRestored = undefined;
    told?.(this.#bookRestored);
  }

  /** Those that wait to be taken up count as what they will be. */
  #reserve(): void {
    this.#dialogs.reserved = this.#unrestored.liveSize;
    this.#transactions.reserved = this.#unrestored.size;
  }

  /** Until an application says it anew: else peers would be dropped unread for as long as none is connected. */
  #restoreSources(text: string): void {
    const all = sourcesIn(text);
    if (all === undefined)
      return this.#parts.log.error("record.unusable", { callId: SOURCES_FIELD, reason: "no sources" });
    this.#sources.tell(all);
    this.#guard?.reclassify();
    this.#checkpoints?.sourcesTold(all);
  }

  #restoreText(text: string) {
    let record: unknown;
    try {
      record = JSON.parse(text);
    } catch {
      return fail({ code: "record.unusable", reason: "no JSON" } as const);
    }
    return restoreRecord(this.#state, record, { cseqReserve: CSEQ_RESERVE });
  }

  /** A listen point that is about to be opened: records may name it. */
  announce(point: ListenPoint): void {
    this.#points.push(point);
  }

  get #state(): StateParts {
    return {
      shell: this.#shell,
      transactions: this.#transactions,
      dialogs: this.#dialogs,
      owners: this.#owners,
      client: this.#client,
      server: this.#server,
    };
  }

  get facts() {
    return {
      transactions: this.#transactions.size,
      dialogs: this.#dialogs.size,
      timers: this.wheel.size,
      pendingRequests: this.#server.pending.size,
      clientCalls: this.#client.callCount,
      proxiedRequests: this.#proxy.count,
      applications: this.#applications.connected,
      tracedCalls: this.trace.size,
      unrestoredCalls: this.#unrestored.size,
      ...this.#nextHops.facts,
    };
  }

  /** What the transactions are at: "invite-client proceeding", and how many. Looks at each: for a scrape, not for a call. */
  transactionStates(): ReadonlyMap<string, number> {
    return this.#transactions.census();
  }

  get answering(): Latency {
    return this.#server.answers.latency;
  }

  addTransport(transport: SipTransport): void {
    const { point } = transport;
    this.#transports.set(point.id, transport);
    const at = this.#points.findIndex(({ id }) => id === point.id);
    if (at === -1) this.#points.push(point);
    else this.#points[at] = point;
  }

  *listeners() {
    for (const { point, connections } of this.#transports.values()) yield { point, connections };
  }

  get points(): readonly ListenPoint[] {
    return this.#points;
  }

  // What transports tell us.

  admits(address: string, datagram?: Uint8Array): boolean {
    if (this.#isMute) return this.#refrain();
    if (!this.#sources.isKnown(address)) return false;
    const guard = this.#guard;
    if (guard === undefined) return true;
    return datagram === undefined ? guard.admitsSource(address) : guard.admits(address, datagram);
  }

  get #isMute(): boolean {
    return this.#isSilenced || !this.#ownership.held();
  }

  /** Another may be answering already. */
  #refrain(): false {
    this.counters.add("muted");
    if (!this.#hasToldMute && !this.#isSilenced)
      this.#parts.log.error("sip-server.mute", { epoch: this.#ownership.epoch });
    this.#hasToldMute = true;
    return false;
  }

  onConnectionLost(flow: Flow): void {
    try {
      this.#transactions.onConnectionLost(flow);
    } catch (error) {
      this.#onBug("message", error);
    }
  }

  onStreamFault(
    fault: string,
    point?: ListenPoint,
    detail?: { readonly address: string; readonly because: string },
  ): void {
    this.counters.add("dropped", `reason="stream-${fault}"`);
    if (point === undefined) return;
    this.counters.add("connection_faults", `listener="${point.name}",transport="${point.transport}",fault="${fault}"`);
    this.#parts.log.debug("sip.connection-fault", { listener: point.name, point: point.id, fault, ...detail });
  }

  /** RFC 3261 §20.14: over a stream the length must be said. Who spoke learns why it is not heard any longer. */
  onUnframed(head: string, from: Flow, point: ListenPoint): void {
    try {
      this.#onUnframed(head, from, point);
    } catch (error) {
      this.#onBug("message", error);
    }
  }

  #onUnframed(head: string, from: Flow, point: ListenPoint): void {
    const parsed = parseMessage(head, this.#parts.settings.parse);
    if (!parsed.ok) this.#onMalformed(parsed.failure, from, point);
    else if (parsed.value.kind === "request") {
      const { method, headers } = parsed.value;
      const answer = method === "ACK" ? undefined : { status: 400 as const, method, headers };
      const fault = { code: "sip.malformed", fault: "content-length", detail: "none in a stream", answer } as const;
      this.#onMalformed(fault, from, point);
    }
  }

  onMessage(text: string, from: Flow, point: ListenPoint): void {
    try {
      this.#onMessage(text, from, point);
    } catch (error) {
      this.#onBug("message", error);
    }
  }

  #onMessage(text: string, from: Flow, point: ListenPoint): void {
    if (this.#isMute) return void this.#refrain();
    if (this.#isDropped(text, from)) return;
    if (text.length < 5 && text.trim() === "") return; // CRLF keep-alive: RFC 5626 §3.5.1, nothing is owed over UDP
    const parsed = parseMessage(text, this.#parts.settings.parse);
    const { tap } = this.#parts;
    if (tap !== undefined) tap.onMessage(text, "in", from, point, parsed.ok ? parsed.value.callId : "");
    if (!parsed.ok) this.#onMalformed(parsed.failure, from, point);
    else if (parsed.value.kind === "request") this.#onRequest(parsed.value, from, point);
    else this.#onResponse(parsed.value, from);
  }

  /** Before anything is parsed. A datagram has paid for its look already, before it became a text. */
  #isDropped(text: string, from: Flow): boolean {
    const guard = this.#guard;
    if (guard === undefined) return false;
    if (from.transport !== "udp" && !guard.admits(from.address, text)) return true;
    return guard.isScanner(from.address, text);
  }

  #onRequest(arrived: SipRequest, from: Flow, point: ListenPoint): void {
    const request = stamped(arrived, from);
    if (this.#unrestored.size > 0) this.#restoreFor(request);
    this.messages.add(request, "in", from.transport);
    const known = this.#transactions.find(request);
    const again = known !== undefined && request.method !== "ACK";
    if (again) this.counters.add("retransmissions", 'direction="in"');
    this.#note(request, "in", from, request.sizeBytes, again);
    if (known !== undefined) known.receive(request);
    else if (isNew(request) && !this.#overload.admits(this.#parts.clock.nowMs())) this.#shed(request, from);
    else if (!this.#proxy.passes(request, from, point)) this.#server.onRequest(request, from, point);
    if (!again) this.#checkpoints?.touched(request.callId);
  }

  #restoreFor(request: SipRequest): void {
    this.#unrestored.need(request.callId);
    const replaces = replacesOf(request);
    if (replaces.ok && replaces.value !== undefined) this.#unrestored.need(replaces.value.callId);
  }

  /** Overload: RFC 3261 §21.5.4, RFC 5390. Stateless: what is refused must cost next to nothing; a copy gets a copy of the answer. */
  #shed(request: SipRequest, from: Flow): void {
    this.counters.add("requests_shed", `method="${methodLabel(request.method)}"`);
    const spread = spreadOf(request.callId);
    const response = responseTo(request, {
      status: 503,
      toTag: `shed-${spread.toString(36)}`,
      // Not all at once: between five and fourteen seconds.
      headers: [header("Retry-After", "retry-after", String(5 + (spread % 10)))],
    });
    this.#send(response, responseFlow(request, from, this.#shell.trusts), false, () => {});
  }

  /** How late the event loop is, several times a second. */
  onLoopProbe(seen: { readonly intervalMs: number; readonly delayMs: number; readonly utilization: number }): void {
    let backlogBytes = 0;
    for (const link of this.#applications.links) backlogBytes = Math.max(backlogBytes, link.backlogBytes ?? 0);
    if (!this.#overload.onProbe({ ...seen, backlogBytes })) return;
    const { rate } = this.#overload;
    if (rate.name === "limited")
      this.#parts.log.warn("sip-server.overloaded", { ...seen, backlogBytes, newPerSecondMax: rate.perSecond });
    else this.#parts.log.info("sip-server.recovered", seen);
  }

  /** New requests per second that overload lets in; undefined: all of them. */
  get newPerSecondMax(): number | undefined {
    const { rate } = this.#overload;
    return rate.name === "limited" ? rate.perSecond : undefined;
  }

  get bans(): BanAdmin {
    return this.#guard ?? NO_BANS;
  }

  #onResponse(response: SipResponse, from: Flow): void {
    this.#unrestored.need(response.callId);
    this.messages.add(response, "in", from.transport);
    this.#note(response, "in", from, response.sizeBytes, false);
    // §18.1.2, §8.1.3.3: a Via that is not ours, or not alone, belongs to somebody else; below one of a proxied request
    // there must be another.
    if (!this.#isOurVia(response)) this.counters.add("dropped", 'reason="foreign-via"');
    else if (!this.#transactions.receiveResponse(response, from))
      this.counters.add("dropped", 'reason="stray-response"');
    else this.#checkpoints?.touched(response.callId);
  }

  #isOurVia(response: SipResponse): boolean {
    const { via } = response;
    if (!this.#points.some((point) => isNamed(point, via.host, via.port ?? defaultPort(point.transport)))) return false;
    let values = 0;
    for (const { key, value } of response.headers)
      if (key === "via") values += value.includes(",") ? splitList(value).length : 1;
    return isMarkedBranch(via.branch) ? values > 1 : values === 1;
  }

  #onMalformed(fault: Malformed, from: Flow, point: ListenPoint): void {
    this.#guard?.penalise(from.address, POINTS.malformed);
    const answered = fault.answer === undefined ? "no" : "yes";
    this.counters.add("malformed", `fault="${fault.fault}",answered="${answered}"`);
    this.#parts.log.debug("sip.malformed", { fault: fault.fault, detail: fault.detail, peer: from.address });
    const { answer } = fault;
    const top = answer?.headers.find(({ key }) => key === "via");
    const via = top === undefined ? undefined : parseVia(top.value, "any-version");
    if (answer === undefined || via === undefined) return;
    const back = withSource(via, from.address, from.port);
    const hasRport = parameter(back.params, "rport") !== undefined;
    const to: Flow = from.transport !== "udp" || hasRport ? from : { ...from, port: via.port ?? 5060 };
    const text = refusalText(answer, back, this.#parts.ids.tag());
    this.messages.count("out", from.transport, "other", answer.status);
    this.#parts.tap?.onMessage(text, "out", to, point, "");
    this.#transports.get(point.id)?.send(text, to, () => {});
  }

  // What applications tell us: application-side.ts.

  onOpen(link: ApplicationLink): void {
    this.#side.onOpen(link);
  }

  onUnusable(link: ApplicationLink, id: string, reason: string): void {
    this.#side.onUnusable(link, id, reason);
  }

  onPayload(link: ApplicationLink, payload: string): void {
    this.#side.onPayload(link, payload);
  }

  onClose(link: ApplicationLink): void {
    this.#side.onClose(link);
  }

  #recordShell(): RecordShell {
    return {
      uuid: () => this.#parts.ids.uuid(),
      timeOfDay: () => this.#timeOfDay(),
      textOf: (message) => this.#textOf(message),
      pick: (kind) => this.#applications.pick(kind),
    };
  }

  /** Nothing is read or sent from now on: another is about to serve. */
  silence(): void {
    this.#isSilenced = true;
  }

  get isStopped(): boolean {
    return this.#isStopped;
  }

  /** Whether anything of this call lives here. */
  knows(callId: string): boolean {
    return this.#dialogs.hasOf(callId) || this.#transactions.hasOf(callId) || this.#unrestored.has(callId);
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.wheel.stopAll();
    await Promise.all([...this.#transports.values()].map((transport) => transport.stop()));
  }

  /** One message that trips over a bug of ours must not take thousands of calls with it. */
  #onBug(input: "message" | "frame" | "timer" | "name" | "handler", error: unknown): void {
    this.counters.add("internal_errors", `input="${input}"`);
    this.#parts.log.error("sip-server.bug", { input, error });
  }

  // The way out.

  #send(message: SipMessage, flow: Flow, again: boolean, failed: () => void): void {
    const way = this.#checkpoints?.wayOf(message, again) ?? "now";
    if (way === "now") this.#transmit(message, this.#textOf(message), flow, again, failed);
    else if (way === "later") {
      const text = this.#textOf(message);
      const isKept = this.#checkpoints?.hold(message, () => {
        try {
          this.#transmit(message, text, flow, again, failed);
        } catch (error) {
          this.#onBug("message", error); // what waits behind it leaves all the same
        }
      });
      if (isKept === false) this.counters.add("dropped", 'reason="unwritten"');
    }
  }

  #transmit(message: SipMessage, text: string, flow: Flow, again: boolean, failed: () => void): void {
    if (this.#isMute) return void this.#refrain();
    const transport = this.#transports.get(flow.pointId);
    if (transport === undefined) {
      setImmediate(() => this.#onUndelivered(failed));
      return;
    }
    this.messages.add(message, "out", flow.transport);
    if (again) this.counters.add("retransmissions", 'direction="out"');
    this.#note(message, "out", flow, text.length, again);
    this.#parts.tap?.onMessage(text, "out", flow, transport.point, message.callId);
    transport.send(text, flow, () => this.#onUndelivered(failed));
  }

  /** Transports tell it from callbacks of sockets: what is thrown there would end the process. */
  #onUndelivered(failed: () => void): void {
    try {
      failed();
    } catch (error) {
      this.#onBug("message", error);
    }
  }

  #connectedTo(address: string, port: number): Flow | undefined {
    for (const transport of this.#transports.values()) {
      const flow = isWebSocket(transport.point.transport) ? transport.connectedTo?.(address, port) : undefined;
      if (flow !== undefined) return flow;
    }
    return undefined;
  }

  #textOf(message: SipMessage): string {
    if (message !== this.#lastMessage) {
      this.#lastText = serialise(message);
      this.#lastMessage = message;
    }
    return this.#lastText;
  }

  #note(message: SipMessage, direction: "in" | "out", flow: Flow, bytes: number, retransmission: boolean): void {
    this.trace.note(message, direction, flow, { unixMs: this.#parts.clock.unixMs(), bytes, retransmission });
  }

  #point(id: string): ListenPoint {
    // One that was announced is opened when the calls that use it have been taken up.
    const point = this.#transports.get(id)?.point ?? this.#points.find((announced) => announced.id === id);
    if (point === undefined) throw new Error(`no such listen point: ${id}`);
    return point;
  }

  #timeOfDay(): string {
    const unixMs = this.#parts.clock.unixMs();
    const second = Math.floor(unixMs / 1_000);
    if (second !== this.#second) {
      this.#second = second;
      this.#secondText = new Date(unixMs).toISOString().slice(11, 19);
    }
    return `${this.#secondText}.${String(Math.floor(unixMs) % 1_000).padStart(3, "0")}000`;
  }
}

/** Outside any dialog, and no part of something that has begun. */
const isNew = ({ method, toTag }: SipRequest): boolean => toTag === "" && method !== "ACK" && method !== "CANCEL";

const NO_BANS: BanAdmin = { ban: () => {}, unban: () => false, list: () => [] };

/** The request with its first Via saying where it came from. RFC 3261 §18.2.1, RFC 3581 §4. */
function stamped(request: SipRequest, from: Flow): SipRequest {
  const via = withSource(request.via, from.address, from.port);
  if (via === request.via) return request;
  let isFirst = true;
  const headers = request.headers.map((line) => {
    if (line.key !== "via" || !isFirst) return line;
    isFirst = false;
    return { ...line, value: replaceFirstVia(line.value, via) };
  });
  return { ...request, via, headers };
}
